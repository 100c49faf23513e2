/** Frames of a data channel: messages in parts, and credit for them. The twin of `pando/net/webrtc/channel.py`. */

import { ChannelClosedError } from "../errors";
import type { Bytes } from "../messages";

/** The longest frame. */
export const FRAME_BYTES = 16 * 1024;
const PART_BYTES = FRAME_BYTES - 1;
/** Bytes that may be under way. */
export const WINDOW_BYTES = 4 * 1024 * 1024;
/** What a frame costs besides its bytes, so that empty ones are bounded, too. */
export const FRAME_COST = 64;
/** The longest message, encryption included. */
export const MAX_SEALED_BYTES = 64 * 1024 * 1024 + 1024;
/** Kinds of frames: a part of a message, its last part, and credit for so many bytes. */
const MORE = 0;
const LAST = 1;
const CREDIT = 2;
const CREDIT_BYTES = 5;

const costOf = (frame: Uint8Array): number => frame.length + FRAME_COST;

/** A message as frames. */
export function* cutFrames(message: Uint8Array): Generator<Bytes> {
  for (let start = 0; ; start += PART_BYTES) {
    const content = message.subarray(start, start + PART_BYTES);
    const isLast = start + PART_BYTES >= message.length;
    const frame = new Uint8Array(1 + content.length);
    frame[0] = isLast ? LAST : MORE;
    frame.set(content, 1);
    yield frame;
    if (isLast) return;
  }
}

/** What this end may send, and what has come: no I/O. */
export class FrameState {
  private spent = 0;
  private granted = WINDOW_BYTES;
  private arrived = 0;
  private taken = 0;
  private credited = 0;
  private frames: Uint8Array[] = [];
  private parts: Uint8Array[] = [];
  private partBytes = 0;

  /** Whether there is credit for a frame, which is then spent. */
  spend(frame: Uint8Array): boolean {
    if (this.spent + costOf(frame) > this.granted) return false;
    this.spent += costOf(frame);
    return true;
  }

  /**
   * Note a frame that has come.
   *
   * @throws ChannelClosedError it breaks the rules.
   */
  arrive(frame: unknown): void {
    if (!(frame instanceof ArrayBuffer) || frame.byteLength < 1 || frame.byteLength > FRAME_BYTES)
      throw new ChannelClosedError("what came on the data channel is no frame");
    const bytes = new Uint8Array(frame);
    if (bytes[0] === CREDIT) this.takeCredit(bytes);
    else this.takePart(bytes);
  }

  private takeCredit(frame: Uint8Array): void {
    const more = frame.length === CREDIT_BYTES ? new DataView(frame.buffer).getUint32(1) : NaN;
    // Nobody gives back more than was spent.
    if (!(this.granted + more - this.spent <= WINDOW_BYTES)) throw new ChannelClosedError("wrong credit");
    this.granted += more;
  }

  private takePart(frame: Uint8Array): void {
    const isPart = frame[0] === LAST || (frame[0] === MORE && frame.length === FRAME_BYTES);
    if (!isPart) throw new ChannelClosedError("what came on the data channel is no frame");
    if (this.arrived + costOf(frame) - this.credited > WINDOW_BYTES)
      throw new ChannelClosedError("more came on the data channel than there was credit for");
    this.arrived += costOf(frame);
    this.frames.push(frame);
  }

  /**
   * The next message, and the credit that is to be given for what it was put together from.
   *
   * @throws ChannelClosedError the message is too long.
   */
  take(): { message: Uint8Array | null; credit: Bytes | null } {
    let count = 0;
    let message: Uint8Array | null = null;
    for (const frame of this.frames) {
      count += 1;
      this.taken += costOf(frame);
      this.parts.push(frame.subarray(1));
      this.partBytes += frame.length - 1;
      if (this.partBytes > MAX_SEALED_BYTES) throw new ChannelClosedError("a message is too long");
      if (frame[0] === LAST) {
        message = this.join();
        break;
      }
    }
    this.frames.splice(0, count);
    return { message, credit: this.giveCredit() };
  }

  private join(): Uint8Array {
    const [only] = this.parts;
    let message = only!;
    if (this.parts.length > 1) {
      message = new Uint8Array(this.partBytes);
      let at = 0;
      for (const part of this.parts) {
        message.set(part, at);
        at += part.length;
      }
    }
    [this.parts, this.partBytes] = [[], 0];
    return message;
  }

  private giveCredit(): Bytes | null {
    const more = this.taken - this.credited;
    if (more < WINDOW_BYTES / 2) return null;
    this.credited = this.taken;
    const frame = new Uint8Array(CREDIT_BYTES);
    frame[0] = CREDIT;
    new DataView(frame.buffer).setUint32(1, more);
    return frame;
  }
}
