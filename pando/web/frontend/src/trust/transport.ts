/** The channel after the handshake; the twin of `pando/net/trust/transport.py`. */

import type { Bytes } from "./bytes";
import { TrustError } from "./errors";
import { type CipherState, TAG_BYTES } from "./noise";

/** As `pando/messages` has it; one message of the channel is one encryption. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

/** Encrypts what is sent and decrypts what comes, in order; or leaves the messages as they are. */
export class Transport {
  constructor(private readonly ciphers: { send: CipherState; receive: CipherState } | null) {}

  get isEncrypted(): boolean {
    return this.ciphers !== null;
  }

  encrypt(message: Bytes): Bytes {
    if (message.length > MAX_MESSAGE_BYTES) throw new Error("the message is too long");
    return this.ciphers === null ? message : this.ciphers.send.encrypt(message);
  }

  /** @throws TrustError the other end has not sent this, or not now. The channel must be closed. */
  decrypt(data: Bytes): Bytes {
    if (this.ciphers === null) return data;
    if (data.length > MAX_MESSAGE_BYTES + TAG_BYTES) throw new TrustError("an encrypted message is too long");
    return this.ciphers.receive.decrypt(data);
  }
}
