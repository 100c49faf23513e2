/** Large messages, in parts: cut and put together as `pando/net/large_messages.py` does. */

import { MalformedError } from "../errors";
import { type Bytes, encode } from "../messages";

/** The largest message that is sent as it is. */
export const MAX_WHOLE_BYTES = 1024 * 1024;
/** What of a larger one goes into one part. */
export const PART_BYTES = 256 * 1024;
/** The largest message that needs no grant. */
export const FREE_BYTES = 16 * 1024 * 1024;
/** The largest value that a tab takes: it holds it several times while it computes. */
export const MAX_VALUE_BYTES = 256 * 1024 * 1024;
/** What a message may have besides its largest value. */
const ENVELOPE_BYTES = 1024 * 1024;

/** A message in parts, each encoded. */
export function* cut(message: Uint8Array): Generator<Bytes> {
  for (let start = 0; start < message.length; start += PART_BYTES) {
    yield encode({ tag: "part", data: message.subarray(start, start + PART_BYTES) });
  }
}

/** A large message that is being put together. */
export class Assembly {
  private data: Uint8Array | null = null;
  private length = 0;

  /**
   * Take note that a message of this size follows; the value tells whether it needs a grant.
   *
   * @throws MalformedError it is too large, or comes amid another one.
   */
  begin(size: number): boolean {
    const fits = size > MAX_WHOLE_BYTES && size <= MAX_VALUE_BYTES + ENVELOPE_BYTES;
    if (this.data !== null || !fits) throw new MalformedError(`a message of ${size} bytes`);
    [this.data, this.length] = [new Uint8Array(size), 0];
    return size > FREE_BYTES;
  }

  /**
   * Add a part; the message, with the last one.
   *
   * @throws MalformedError more comes than was announced.
   */
  add(part: Uint8Array): Uint8Array | null {
    const { data } = this;
    if (data === null || part.length === 0 || this.length + part.length > data.length) {
      throw new MalformedError("a part of no message");
    }
    data.set(part, this.length);
    this.length += part.length;
    if (this.length < data.length) return null;
    this.data = null;
    return data;
  }
}
