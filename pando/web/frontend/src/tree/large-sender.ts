/** Sends messages in order, the large ones in parts and no faster than they go out. */

import type { Bytes } from "../messages";
import { encode } from "../messages";
import { cut, FREE_BYTES, MAX_WHOLE_BYTES } from "./large-messages";

/** What the browser may hold of a large message that has not gone out, in bytes, by default. */
const MAX_BACKLOG_BYTES = 4 * 1024 * 1024;
/** How long to wait where it holds more, in milliseconds. */
const PAUSE_MILLISECONDS = 10;
/** Parts that are sent without a pause in which others get their turn. */
const PARTS_AT_ONCE = 4;

/** What follows a large message waits for its end; heartbeats and grants go past this. */
export class LargeSender {
  private waiting: Bytes[] = [];
  private sending: Promise<void> | null = null;
  private granted: () => void = () => {};
  private isClosed = false;

  /**
   * @param transmit - sends bytes as they are; throws where the channel has ended.
   * @param backlog - how many bytes wait in the browser.
   * @param onFailed - called when a large message cannot be sent to its end.
   * @param maxBacklog - the bytes that may wait in the browser.
   */
  constructor(
    private readonly transmit: (bytes: Bytes) => void,
    private readonly backlog: () => number,
    private readonly onFailed: () => void,
    private readonly maxBacklog = MAX_BACKLOG_BYTES,
  ) {}

  /** Send an encoded message, now or after the large one that is on its way. */
  send(message: Bytes): void {
    if (this.isClosed || (this.sending === null && message.length <= MAX_WHOLE_BYTES)) {
      this.transmit(message);
      return;
    }
    this.waiting.push(message);
    this.sending ??= this.sendWaiting();
  }

  /** The other end has room for the message that was announced. */
  grant(): void {
    this.granted();
  }

  /** Wait until nothing waits here. */
  async drain(): Promise<void> {
    await this.sending;
  }

  /** Send nothing more. */
  close(): void {
    this.isClosed = true;
    this.waiting = [];
    this.granted();
  }

  private async sendWaiting(): Promise<void> {
    try {
      for (;;) {
        const message = this.waiting.shift();
        if (message === undefined) break;
        if (message.length <= MAX_WHOLE_BYTES) this.transmit(message);
        else await this.sendLarge(message);
      }
    } catch {
      this.onFailed();
    } finally {
      this.sending = null;
    }
  }

  private async sendLarge(message: Bytes): Promise<void> {
    const granted = new Promise<void>((resolve) => (this.granted = resolve));
    this.transmit(encode({ tag: "large", size: message.length }));
    if (message.length > FREE_BYTES) await granted;
    let parts = 0;
    for (const part of cut(message)) {
      if (this.isClosed) return;
      this.transmit(part);
      parts += 1;
      if (parts % PARTS_AT_ONCE === 0) await pause(0);
      while (this.backlog() > this.maxBacklog && !this.isClosed) await pause(PAUSE_MILLISECONDS);
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
