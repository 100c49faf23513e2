/** Keys, what roots sign, and what is derived from secrets; the twin of `pando/net/trust/keys.py`. */

import { ed25519 } from "@noble/curves/ed25519.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { scryptAsync } from "@noble/hashes/scrypt.js";
import { sha256 } from "@noble/hashes/sha2.js";

import { encodeText, type Bytes, concat } from "./bytes";
import { FINGERPRINT_BYTES, type LinkSecret } from "./join-link";
import { KEY_BYTES, publicKeyOf, randomBytes } from "./noise";

export const SIGNATURE_BYTES = 64;
const SCRYPT_COST = 2 ** 15;
/** The pre-shared key where none is needed. */
export const NO_SECRET: Uint8Array = sha256(encodeText("Pando no secret\0"));

/** A node's key pair for handshakes. */
export class NodeKey {
  readonly public: Bytes;

  constructor(readonly secret: Uint8Array) {
    this.public = publicKeyOf(secret);
  }

  static generate(): NodeKey {
    return new NodeKey(randomBytes(KEY_BYTES));
  }
}

/** 128 bits that stand for a root's two public keys in a link. */
export function fingerprintOf(exchange: Uint8Array, signing: Uint8Array): Bytes {
  return concat(sha256(concat(encodeText("Pando root keys\0"), exchange, signing))).slice(0, FINGERPRINT_BYTES);
}

/** A root's private keys. Tabs are no roots: this is for tests, and to be ready for what roots sign. */
export class RootKeys {
  readonly publicExchange: Bytes;
  readonly publicSigning: Bytes;

  constructor(
    readonly exchange: Uint8Array,
    private readonly signing: Uint8Array,
  ) {
    this.publicExchange = publicKeyOf(exchange);
    this.publicSigning = new Uint8Array(ed25519.getPublicKey(signing));
  }

  get fingerprint(): Bytes {
    return fingerprintOf(this.publicExchange, this.publicSigning);
  }

  sign(domain: string, data: Uint8Array): Bytes {
    return new Uint8Array(ed25519.sign(signedBytes(domain, data), this.signing));
  }
}

/** Whether a root has signed this data for this purpose. */
export function isSigned(signingKey: Uint8Array, domain: string, data: Uint8Array, signature: Uint8Array): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  try {
    // RFC 8032 and not ZIP 215, so that this end takes what the native one takes.
    return ed25519.verify(signature, signedBytes(domain, data), signingKey, { zip215: false });
  } catch {
    return false;
  }
}

/** Make what checking the first signature would have to wait for: its tables. */
export function prepareSignatures(): void {
  const root = new RootKeys(randomBytes(KEY_BYTES), randomBytes(KEY_BYTES));
  const data = new Uint8Array(1);
  isSigned(root.publicSigning, "", data, root.sign("", data));
}

const signedBytes = (domain: string, data: Uint8Array): Bytes => concat(encodeText(`Pando ${domain}\0`), data);

/** The pre-shared key of a link's secret; slow where a person has chosen the secret. */
export async function deriveLinkPsk(secret: LinkSecret, fingerprint: Uint8Array): Promise<Uint8Array> {
  if (!secret.isChosen) return hkdf(sha256, secret.value, fingerprint, encodeText("Pando link secret\0"), KEY_BYTES);
  const material = concat(encodeText("Pando chosen secret\0"), secret.value);
  return scryptAsync(material, fingerprint, { N: SCRYPT_COST, r: 8, p: 1, dkLen: KEY_BYTES });
}

/** The pre-shared key of a ticket for a place below the root. */
export function deriveTicketPsk(ticket: Uint8Array): Uint8Array {
  return hkdf(sha256, ticket, new Uint8Array(0), encodeText("Pando ticket\0"), KEY_BYTES);
}
