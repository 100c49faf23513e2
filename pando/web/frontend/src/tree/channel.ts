/** A channel: two nodes' link, messages in order both ways, with an end that is noticed. */

import { ChannelClosedError } from "../errors";

export { ChannelClosedError };

export interface Channel {
  /** @throws ChannelClosedError the channel has ended. */
  send(bytes: Uint8Array<ArrayBuffer>): void;
  /** The next message; rejects with `ChannelClosedError` when there will be none. */
  receive(): Promise<Uint8Array>;
  /** What carries it, in a word, where that is no WebSocket. */
  readonly kind?: string;
  /** What a handshake over it must be bound to, where it is protected by certificates that it shows. */
  readonly binding?: Uint8Array;
  /** How many bytes wait to be sent, where that is known. */
  backlog?(): number;
  /** The bytes that may wait before more of a large message is sent. */
  readonly maxBacklog?: number;
  /** When something came last, by `performance.now`, where parts of messages count, too. */
  lastActivity?(): number;
  /** Wait until all that was sent is on its way, where the channel holds some of it back. */
  drain?(): Promise<void>;
  /** @param reason - what `receive` then says. */
  close(reason?: string): void;
}

/** What each kind of channel needs: messages that wait for a reader, and an end. */
export class Inbox {
  private readonly waiting: Uint8Array[] = [];
  private reader: { resolve(bytes: Uint8Array): void; reject(error: Error): void } | null = null;
  private ended: ChannelClosedError | null = null;

  get end(): ChannelClosedError | null {
    return this.ended;
  }

  put(bytes: Uint8Array): void {
    if (this.reader === null) {
      this.waiting.push(bytes);
    } else {
      this.reader.resolve(bytes);
      this.reader = null;
    }
  }

  close(reason: string): void {
    this.ended ??= new ChannelClosedError(reason);
    this.reader?.reject(this.ended);
    this.reader = null;
  }

  take(): Promise<Uint8Array> {
    const first = this.waiting.shift();
    if (first !== undefined) return Promise.resolve(first);
    if (this.ended !== null) return Promise.reject(this.ended);
    return new Promise((resolve, reject) => {
      this.reader = { resolve, reject };
    });
  }
}
