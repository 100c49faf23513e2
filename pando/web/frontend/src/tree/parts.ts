/** Messages in parts, as a public server passes them on. The twin of `pando/net/relayed/parts.py`. */

import { MalformedError } from "../errors";
import type { Channel } from "./channel";

/** The longest part, in bytes, as `pando/net/relayed/frames.py` has it. */
export const MAX_PART_BYTES = 64 * 1024;
/** The longest message, encryption included. */
const MAX_BYTES = 64 * 1024 * 1024 + 1024;
const [MORE, LAST] = [0, 1];

/** The parts of a message, in order. */
export function* splitParts(message: Uint8Array): Generator<Uint8Array<ArrayBuffer>> {
  const most = MAX_PART_BYTES - 1;
  for (let start = 0; ; start += most) {
    const content = message.subarray(start, start + most);
    const isLast = start + most >= message.length;
    const part = new Uint8Array(1 + content.length);
    part[0] = isLast ? LAST : MORE;
    part.set(content, 1);
    yield part;
    if (isLast) return;
  }
}

/** Puts parts together again. */
export class Assembler {
  private parts: Uint8Array[] = [];
  private size = 0;

  /**
   * Take a part.
   *
   * @returns the message that it completes; null where more of it follows.
   * @throws MalformedError it is no part, or its message is too long.
   */
  add(part: Uint8Array): Uint8Array | null {
    const kind = part[0];
    if ((kind !== MORE && kind !== LAST) || (kind === MORE && part.length === 1))
      throw new MalformedError("a part of a message was malformed");
    this.size += part.length - 1;
    if (this.size > MAX_BYTES) throw new MalformedError("a message was too large");
    this.parts.push(part.subarray(1));
    if (kind === MORE) return null;
    const message = new Uint8Array(this.size);
    let at = 0;
    for (const each of this.parts) {
      message.set(each, at);
      at += each.length;
    }
    [this.parts, this.size] = [[], 0];
    return message;
  }
}

/** A channel whose messages go through another one in parts. */
export function inParts(channel: Channel): Channel {
  const assembler = new Assembler();
  return {
    send(bytes) {
      for (const part of splitParts(bytes)) channel.send(part);
    },
    async receive() {
      for (;;) {
        const message = assembler.add(await channel.receive());
        if (message !== null) return message;
      }
    },
    backlog: () => channel.backlog?.() ?? 0,
    close: (reason) => channel.close(reason),
  };
}
