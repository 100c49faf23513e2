/**
 * What the two ends of the handshake have in common. The twin of `pando/net/trust/handshake.py`,
 * which tells what is sent, and what it proves.
 */

import { sha256 } from "@noble/hashes/sha2.js";

import { areEqual, type Bytes, concat, encodeText } from "./bytes";
import { CERTIFICATE_BYTES } from "./certificate";
import { TrustError } from "./errors";
import { KEY_BYTES } from "./noise";

export const VERSION = 2;
export const CHALLENGE_BYTES = 16;
const UPDATE = "update Pando on this device: this run speaks a newer version of the protocol";
const MAGIC = concat(new Uint8Array([0x94, 0xa6]), encodeText("denied"), new Uint8Array([0xd9, UPDATE.length]), encodeText(UPDATE));
export const MAX_REASON_BYTES = 1000;
export const REFUSAL_DOMAIN = "refusal";

/** Kinds of responders. */
export const ROOT = 0;
export const OPEN_ROOT = 1;
export const NODE = 2;
/** Bits of a request's mode. */
export const WITH_SECRET = 1;
export const WITH_CERTIFICATE = 2;
/** Bits of a payload's flags. */
export const LEAVE_OPEN = 1;
export const HAS_CERTIFICATE = 2;
/** What a reply begins with. */
export const ACCEPTED = 0;
export const REFUSED = 1;

/** Gives the time in seconds since 1970. */
export type Clock = () => number;
export const now: Clock = () => Date.now() / 1000;

/** The kind of a responder, and what it shows of itself. */
export function readHello(hello: Uint8Array): { kind: number; body: Uint8Array } {
  const [version, shown] = [hello[MAGIC.length], hello.slice(MAGIC.length + 1)];
  if (version === undefined || MAGIC.some((byte, at) => hello[at] !== byte)) {
    throw new TrustError("the other end does not speak as a node does");
  }
  if (version !== VERSION) throw new TrustError(describeVersion(version));
  const kind = shown[2] ?? ROOT;
  const bodyBytes = kind === NODE ? CERTIFICATE_BYTES : 2 * KEY_BYTES;
  const isWhole = shown.length === 3 + CHALLENGE_BYTES + bodyBytes;
  if (!isWhole || !areEqual(shown.slice(0, 2), bytesHead(bodyBytes))) {
    throw new TrustError("the other end does not speak as a node does");
  }
  return { kind, body: shown.slice(3 + CHALLENGE_BYTES) };
}

/** What `readHello` reads; the twin tells why it looks like a message. */
export function makeHello(kind: number, challenge: Uint8Array, body: Uint8Array): Bytes {
  return concat(MAGIC, new Uint8Array([VERSION]), bytesHead(body.length), new Uint8Array([kind]), challenge, body);
}

const bytesHead = (bodyBytes: number): Bytes => new Uint8Array([0xc4, 1 + CHALLENGE_BYTES + bodyBytes]);

export function describeVersion(version: number): string {
  return (
    `this end speaks version ${VERSION} of the protocol and the other end version ${version}: ` +
    "the older Pando should be updated"
  );
}

/** All that is sent in clear, and what the channel is bound to; lengths keep them apart. */
export function makePrologue(hello: Uint8Array, head: Uint8Array, binding: Uint8Array = new Uint8Array(0)): Bytes {
  const bound = binding.length === 0 ? binding : concat(encodeText("\0bound to"), lengthOf(binding), binding);
  return concat(encodeText("Pando handshake\0"), lengthOf(hello), hello, head, bound);
}

const lengthOf = ({ length }: Uint8Array): Bytes => new Uint8Array([length >> 8, length & 0xff]);

/** What the signature of a refusal covers. */
export const refusedBytes = (transcript: Uint8Array, text: Uint8Array): Bytes => concat(sha256(transcript), text);
