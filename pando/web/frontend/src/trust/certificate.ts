/** What the root certifies: an identifier's key. The twin of `pando/net/trust/certificate.py`. */

import { type Bytes, concat } from "./bytes";
import { TrustError } from "./errors";
import { isSigned, type RootKeys, SIGNATURE_BYTES } from "./keys";
import { KEY_BYTES } from "./noise";

const VERSION = 1;
const ID_BYTES = 8;
const SIGNED_BYTES = 1 + ID_BYTES + KEY_BYTES + 8;
export const CERTIFICATE_BYTES = SIGNED_BYTES + SIGNATURE_BYTES;
const DOMAIN = "certificate";

export interface Certificate {
  identifier: Bytes;
  key: Bytes;
  /** The last second in which it is good, since 1970. */
  expiry: number;
  encoded: Bytes;
}

/** For tests: roots are native. */
export function issueCertificate(root: RootKeys, identifier: Uint8Array, key: Uint8Array, expiry: number): Certificate {
  const time = new Uint8Array(8);
  new DataView(time.buffer).setBigUint64(0, BigInt(expiry));
  const signed = concat(new Uint8Array([VERSION]), identifier, key, time);
  return readCertificate(concat(signed, root.sign(DOMAIN, signed)), root.publicSigning);
}

/**
 * A certificate that this root has signed; it may have expired.
 *
 * @throws TrustError it is not one, or the root has not signed it.
 */
export function readCertificate(data: Uint8Array, signingKey: Uint8Array): Certificate {
  if (data.length !== CERTIFICATE_BYTES || data[0] !== VERSION) throw new TrustError("the certificate is none");
  const signed = data.slice(0, SIGNED_BYTES);
  if (!isSigned(signingKey, DOMAIN, signed, data.slice(SIGNED_BYTES))) {
    throw new TrustError("the root has not signed the certificate");
  }
  const keyAt = 1 + ID_BYTES;
  const expiryAt = keyAt + KEY_BYTES;
  return {
    identifier: concat(signed.slice(1, keyAt)),
    key: concat(signed.slice(keyAt, expiryAt)),
    expiry: Number(new DataView(signed.buffer, expiryAt, 8).getBigUint64(0)),
    encoded: concat(data),
  };
}

/** @throws TrustError it has expired. */
export function checkTime(certificate: Certificate, now: number): void {
  if (now > certificate.expiry) {
    throw new TrustError("the certificate has expired, or the clock of this device is wrong");
  }
}
