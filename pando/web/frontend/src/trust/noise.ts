/**
 * The Noise protocol framework, revision 34: the two handshakes that Pando uses.
 *
 * The twin of `pando/net/trust/noise.py`, which says more. Pages that are served by plain http have
 * no cryptography of the browser's, so the algorithms come from the noble libraries.
 */

import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";

import { encodeText, type Bytes, concat } from "./bytes";
import { TrustError } from "./errors";

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
/** The longest message of a handshake; the specification sets it. */
const MAX_HANDSHAKE_BYTES = 65_535;
const NONCE_BYTES = 12;

type Token = "psk" | "e" | "es" | "ee" | "ss" | "se";

export interface Pattern {
  name: string;
  initiatorIsKnown: boolean;
  messages: readonly (readonly Token[])[];
}

export const NK: Pattern = {
  name: "NKpsk0",
  initiatorIsKnown: false,
  messages: [["psk", "e", "es"], ["e", "ee"]],
};
export const KK: Pattern = {
  name: "KKpsk0",
  initiatorIsKnown: true,
  messages: [["psk", "e", "es", "ss"], ["e", "ee", "se"]],
};

export const randomBytes = (length: number): Bytes => crypto.getRandomValues(new Uint8Array(length));
export const publicKeyOf = (secret: Uint8Array): Bytes => new Uint8Array(x25519.getPublicKey(secret));

/** A key, and a counter that makes each message's nonce. */
export class CipherState {
  private counter = 0;

  constructor(private readonly key: Uint8Array) {}

  encrypt(plaintext: Uint8Array, associated: Uint8Array = new Uint8Array(0)): Bytes {
    return chacha20poly1305(this.key, this.nextNonce(), associated).encrypt(plaintext) as Bytes;
  }

  /** @throws TrustError it is not what comes next; nothing more can be decrypted then. */
  decrypt(ciphertext: Uint8Array, associated: Uint8Array = new Uint8Array(0)): Bytes {
    const nonce = this.nextNonce();
    try {
      return chacha20poly1305(this.key, nonce, associated).decrypt(ciphertext) as Bytes;
    } catch {
      this.counter = Number.MAX_SAFE_INTEGER;
      throw new TrustError("what has come was changed on the way, or is out of order");
    }
  }

  /** JavaScript counts to 2^53, which no channel reaches. */
  private nextNonce(): Uint8Array {
    if (this.counter >= Number.MAX_SAFE_INTEGER) throw new TrustError("this key is not used any more");
    const nonce = new Uint8Array(NONCE_BYTES);
    new DataView(nonce.buffer).setBigUint64(4, BigInt(this.counter++), true);
    return nonce;
  }
}

export interface HandshakeOptions {
  isInitiator: boolean;
  /** What both ends must have seen alike. */
  prologue: Uint8Array;
  psk: Uint8Array;
  /** This end's private key, where the pattern has one. */
  static?: Uint8Array | undefined;
  /** The other end's public key, where the pattern has one. */
  remoteStatic?: Uint8Array | undefined;
  /** This end's private ephemeral key; for tests only. */
  ephemeral?: Uint8Array | undefined;
}

/** One end of a handshake, without I/O: `write` and `read` its messages in turn. */
export class HandshakeState {
  private readonly isInitiator: boolean;
  private readonly messages: (readonly Token[])[];
  private readonly psk: Uint8Array;
  private readonly ephemeral: Uint8Array;
  private readonly own: Uint8Array | undefined;
  private readonly remoteStatic: Uint8Array | undefined;
  private remoteEphemeral: Uint8Array | undefined;
  private hash: Uint8Array;
  private chainingKey: Uint8Array;
  private cipher: CipherState | null = null;

  constructor(pattern: Pattern, options: HandshakeOptions) {
    this.isInitiator = options.isInitiator;
    this.messages = [...pattern.messages];
    this.psk = options.psk;
    this.own = options.static;
    this.remoteStatic = options.remoteStatic;
    this.ephemeral = options.ephemeral ?? randomBytes(KEY_BYTES);
    this.hash = this.chainingKey = sha256(encodeText(`Noise_${pattern.name}_25519_ChaChaPoly_SHA256`));
    this.mixHash(options.prologue);
    const own = this.own === undefined ? undefined : publicKeyOf(this.own);
    const pair = this.isInitiator ? [own, this.remoteStatic] : [this.remoteStatic, own];
    for (const key of pattern.initiatorIsKnown ? pair : pair.slice(1)) {
      if (key?.length !== KEY_BYTES) throw new Error("this pattern needs a key that was not given");
      this.mixHash(key);
    }
  }

  write(payload: Uint8Array): Bytes {
    let message: Uint8Array = new Uint8Array(0);
    for (const token of this.nextTokens()) {
      if (token === "e") {
        message = publicKeyOf(this.ephemeral);
        this.mixEphemeral(message);
      } else {
        this.mixToken(token);
      }
    }
    const whole = concat(message, this.encryptAndHash(payload));
    if (whole.length > MAX_HANDSHAKE_BYTES) throw new Error("the payload of the handshake is too long");
    return whole;
  }

  /** @throws TrustError the message was not made for this handshake. */
  read(message: Uint8Array): Bytes {
    if (message.length < KEY_BYTES + TAG_BYTES || message.length > MAX_HANDSHAKE_BYTES) {
      throw new TrustError("a message of the handshake has a wrong length");
    }
    for (const token of this.nextTokens()) {
      if (token === "e") {
        this.remoteEphemeral = message.slice(0, KEY_BYTES);
        this.mixEphemeral(this.remoteEphemeral);
      } else {
        this.mixToken(token);
      }
    }
    return this.decryptAndHash(message.slice(KEY_BYTES));
  }

  /** The ciphers of the channel, once both messages are through. */
  split(): { send: CipherState; receive: CipherState } {
    if (this.messages.length > 0) throw new Error("the handshake is not complete");
    const [first, second] = derive(this.chainingKey, new Uint8Array(0), 2);
    const [initiator, responder] = [new CipherState(first!), new CipherState(second!)];
    return this.isInitiator
      ? { send: initiator, receive: responder }
      : { send: responder, receive: initiator };
  }

  private nextTokens(): readonly Token[] {
    const tokens = this.messages.shift();
    if (tokens === undefined) throw new Error("the handshake is complete");
    return tokens;
  }

  private mixHash(data: Uint8Array): void {
    this.hash = sha256(concat(this.hash, data));
  }

  private mixKey(material: Uint8Array): void {
    const [chainingKey, key] = derive(this.chainingKey, material, 2);
    this.chainingKey = chainingKey!;
    this.cipher = new CipherState(key!);
  }

  private mixEphemeral(key: Uint8Array): void {
    this.mixHash(key);
    this.mixKey(key); // as section 9.2 asks of handshakes with a pre-shared key
  }

  private mixToken(token: Exclude<Token, "e">): void {
    if (token === "psk") {
      const [chainingKey, mixed, key] = derive(this.chainingKey, this.psk, 3);
      this.chainingKey = chainingKey!;
      this.mixHash(mixed!);
      this.cipher = new CipherState(key!);
      return;
    }
    const [own, remote] = this.isInitiator ? [token[0], token[1]] : [token[1], token[0]];
    const mine = own === "e" ? this.ephemeral : this.own;
    const theirs = remote === "e" ? this.remoteEphemeral : this.remoteStatic;
    if (mine === undefined || theirs === undefined) throw new Error("a key is missing");
    this.mixKey(exchange(mine, theirs));
  }

  private encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const ciphertext = this.cipher!.encrypt(plaintext, this.hash);
    this.mixHash(ciphertext);
    return ciphertext;
  }

  private decryptAndHash(ciphertext: Uint8Array): Bytes {
    const plaintext = this.cipher!.decrypt(ciphertext, this.hash);
    this.mixHash(ciphertext);
    return plaintext;
  }
}

function exchange(mine: Uint8Array, theirs: Uint8Array): Uint8Array {
  try {
    return x25519.getSharedSecret(mine, theirs);
  } catch {
    throw new TrustError("a key of the handshake is none");
  }
}

/** The specification's HKDF (section 4.3). */
function derive(chainingKey: Uint8Array, material: Uint8Array, count: number): Uint8Array[] {
  const temporary = hmac(sha256, chainingKey, material);
  const keys: Uint8Array[] = [];
  for (let number = 1; number <= count; number++) {
    keys.push(hmac(sha256, temporary, concat(keys.at(-1) ?? new Uint8Array(0), new Uint8Array([number]))));
  }
  return keys;
}
