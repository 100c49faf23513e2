/** A channel over a data channel, which may live in this thread or in the page's. */

import { ChannelClosedError } from "../errors";
import type { Bytes } from "../messages";
import { type Channel, Inbox } from "./channel";
import { cutFrames, FrameState } from "./data-frames";

/** Bytes that the browser holds before a sender waits, so that other messages come between. */
export const HIGH_BYTES = 256 * 1024;
/** How few it holds when the sender goes on. */
export const LOW_BYTES = 128 * 1024;
/** How long what has been sent before the end may take, in milliseconds. */
export const CLOSE_MILLISECONDS = 1000;
/** How often it is looked whether all has been sent, in milliseconds. */
const LOOK_MILLISECONDS = 10;

/** A data channel that is open, as this end uses it. */
export interface Wire {
  readonly bufferedAmount: number;
  send(frame: Bytes): void;
  close(): void;
  /** Set by whoever uses it: a frame has come, some have been sent, the data channel has ended. */
  onFrame: (frame: unknown) => void;
  onFlushed: () => void;
  onEnd: (reason: string) => void;
}

export class DataChannel implements Channel {
  readonly kind = "webrtc";
  /** What is sent of a large value before other messages get their turn. */
  readonly maxBacklog = HIGH_BYTES;
  private readonly state = new FrameState();
  private readonly inbox = new Inbox();
  private readonly outgoing: Bytes[] = [];
  private cutting: Generator<Bytes> | null = null;
  private next: Bytes | null = null;
  private queuedBytes = 0;
  private wanted = 0;
  private heard = performance.now();
  private closing = false;

  /**
   * @param wire - an open data channel.
   * @param binding - what the handshake over it must be bound to: both ends' DTLS certificates.
   */
  constructor(
    private readonly wire: Wire,
    readonly binding: Bytes,
  ) {
    wire.onFrame = (frame) => this.arrive(frame);
    wire.onFlushed = () => this.pump();
    wire.onEnd = (reason) => this.inbox.close(reason);
  }

  send(bytes: Bytes): void {
    if (this.inbox.end !== null) throw this.inbox.end;
    this.outgoing.push(bytes);
    this.queuedBytes += bytes.length;
    this.pump();
  }

  async receive(): Promise<Uint8Array> {
    this.wanted += 1;
    this.deliver();
    return this.inbox.take();
  }

  backlog(): number {
    return this.queuedBytes + (this.inbox.end === null ? this.wire.bufferedAmount : 0);
  }

  lastActivity(): number {
    return this.heard;
  }

  /** Wait until all that was sent is on its way. */
  async drain(): Promise<void> {
    while (this.inbox.end === null && this.backlog() > 0) await pause(LOOK_MILLISECONDS);
  }

  /** End the channel; what was sent before still goes out, if it can soon. */
  close(reason = "this end is closed"): void {
    if (this.closing) return;
    this.closing = true;
    const isOver = this.inbox.end !== null;
    this.inbox.close(reason);
    if (isOver) this.wire.close();
    else void this.closeWire();
  }

  private async closeWire(): Promise<void> {
    const since = performance.now();
    this.wire.onFrame = (frame) => this.arriveLate(frame);
    while (this.queuedBytes > 0 && performance.now() - since < CLOSE_MILLISECONDS) {
      this.pump();
      if (this.queuedBytes > 0) await pause(LOOK_MILLISECONDS);
    }
    this.wire.close();
  }

  /** Credit is of use as long as something has to be sent. */
  private arriveLate(frame: unknown): void {
    try {
      this.state.arrive(frame);
    } catch {
      this.wire.close();
    }
  }

  private arrive(frame: unknown): void {
    this.heard = performance.now();
    try {
      this.state.arrive(frame);
      this.deliver();
      this.pump();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    if (!(error instanceof ChannelClosedError)) throw error;
    this.inbox.close(error.message);
    this.closing = true;
    this.wire.close();
  }

  /** Hand over as many messages as are waited for: what is not taken earns no credit. */
  private deliver(): void {
    try {
      while (this.wanted > 0) {
        const { message, credit } = this.state.take();
        if (credit !== null && this.inbox.end === null) this.wire.send(credit);
        if (message === null) return;
        this.wanted -= 1;
        this.inbox.put(message);
      }
    } catch (error) {
      this.fail(error);
    }
  }

  /** Send what there is credit for. */
  private pump(): void {
    for (;;) {
      this.next ??= this.cutNext();
      if (this.next === null || this.wire.bufferedAmount > HIGH_BYTES || !this.state.spend(this.next)) return;
      this.queuedBytes -= this.next.length - 1;
      this.wire.send(this.next);
      this.next = null;
    }
  }

  private cutNext(): Bytes | null {
    for (;;) {
      const frame = this.cutting?.next();
      if (frame?.done === false) return frame.value;
      const message = this.outgoing.shift();
      if (message === undefined) return null;
      this.cutting = cutFrames(message);
    }
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
