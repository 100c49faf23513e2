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

/** Memory for large messages, which several links share: what does not fit waits for its turn. */
export class Memory {
  private free: number;
  private readonly waiting: { size: number; grant: () => void }[] = [];

  constructor(size = MAX_VALUE_BYTES + ENVELOPE_BYTES) {
    this.free = size;
  }

  /** Have so many bytes, now or once others have released theirs. */
  reserve(size: number, grant: () => void): void {
    this.waiting.push({ size, grant });
    this.grantNext();
  }

  /** Give back what has been reserved with this function, whether it has been granted or not. */
  release(size: number, grant: () => void): void {
    const at = this.waiting.findIndex((each) => each.grant === grant);
    if (at >= 0) this.waiting.splice(at, 1);
    else this.free += size;
    this.grantNext();
  }

  private grantNext(): void {
    for (let next = this.waiting[0]; next !== undefined && next.size <= this.free; next = this.waiting[0]) {
      this.waiting.shift();
      this.free -= next.size;
      next.grant();
    }
  }
}

/** A large message that is being put together. */
export class Assembly {
  private size = 0;
  private data: Uint8Array | null = null;
  private length = 0;
  private reserved: (() => void) | null = null;

  /** @param memory - from which large messages are granted. */
  constructor(private readonly memory = new Memory()) {}

  /** Whether the parts of a message are to come. */
  get isOpen(): boolean {
    return this.data !== null;
  }

  /**
   * Take note that a message of this size follows.
   *
   * @param grant - called once there is room for it, where it needs a grant.
   * @throws MalformedError it is too large, or comes amid another one.
   */
  begin(size: number, grant: () => void): void {
    const fits = size > MAX_WHOLE_BYTES && size <= MAX_VALUE_BYTES + ENVELOPE_BYTES;
    if (this.size > 0 || !fits) throw new MalformedError(`a message of ${size} bytes`);
    this.size = size;
    if (size <= FREE_BYTES) {
      this.open();
      return;
    }
    this.reserved = () => {
      this.open();
      grant();
    };
    this.memory.reserve(size, this.reserved);
  }

  private open(): void {
    [this.data, this.length] = [new Uint8Array(this.size), 0];
  }

  /** Put no message together any more. */
  drop(): void {
    const { size, reserved } = this;
    [this.size, this.data, this.reserved] = [0, null, null];
    if (reserved !== null) this.memory.release(size, reserved);
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
    this.drop();
    return data;
  }
}
