/** Encoded values in one array: so a node passes items on without looking into them. */

import { MalformedError } from "../errors";
import { findElements, NIL, readArraySize } from "../msgpack-slices";
import type { Items, JoinableItems } from "../scheduler";

/** Bytes before the values of an array that is put together here: its tag, and its size. */
const HEAD_BYTES = 5;
const LONG_ARRAY = 0xdd;

/** An encoded array, which is measured only when a part of it is wanted. */
class EncodedArray {
  private found: Uint32Array | null = null;

  constructor(
    readonly bytes: Uint8Array,
    readonly size: number,
    readonly head: number,
  ) {}

  /** Where each of its values begins, and behind the last where it ends. */
  get places(): Uint32Array {
    this.found ??= findElements(this.bytes);
    return this.found;
  }
}

/**
 * Consecutive values of an encoded array.
 *
 * A node mostly passes on whole what it was lent, and what it got for that; then what it does for a
 * message does not depend on how many values there are.
 */
export class Packed implements JoinableItems {
  private constructor(
    private readonly array: EncodedArray,
    private readonly first: number,
    readonly length: number,
  ) {}

  /**
   * The values in an encoded array, of which it is known that it is whole.
   *
   * @throws MalformedError it is no array.
   */
  static of(bytes: Uint8Array): Packed {
    const [size, head] = readArraySize(bytes);
    return new Packed(new EncodedArray(bytes, size, head), 0, size);
  }

  private get isWhole(): boolean {
    return this.length === this.array.size;
  }

  /** The values, one behind the other. */
  get body(): Uint8Array {
    const { array, first, length } = this;
    if (this.isWhole) return array.bytes.subarray(array.head);
    return array.bytes.subarray(array.places[first], array.places[first + length]);
  }

  /** As one array. */
  encode(): Uint8Array {
    return this.isWhole ? this.array.bytes : joinLong(this.length, [this.body]);
  }

  at(place: number): Uint8Array | undefined {
    if (place < 0 || place >= this.length) return undefined;
    const { bytes, places } = this.array;
    return bytes.subarray(places[this.first + place], places[this.first + place + 1]);
  }

  slice(start: number, end = this.length): Items {
    const last = Math.min(end, this.length);
    if (start >= last) return [];
    if (start === 0 && last === this.length) return this;
    return new Packed(this.array, this.first + start, last - start);
  }

  *[Symbol.iterator](): Generator<Uint8Array> {
    for (let place = 0; place < this.length; place++) yield this.at(place)!;
  }

  join(parts: readonly Items[]): Packed | null {
    const packed = parts.filter((part) => part instanceof Packed);
    if (packed.length < parts.length) return null;
    const size = packed.reduce((sum, { length }) => sum + length, 0);
    const bytes = joinLong(
      size,
      packed.map(({ body }) => body),
    );
    return new Packed(new EncodedArray(bytes, size, HEAD_BYTES), 0, size);
  }
}

/** One MessagePack array around encoded values; what has failed here has no value at all. */
export function encodeItems(items: Items): Uint8Array {
  if (items instanceof Packed) return items.encode();
  const values = [...(items as Iterable<Uint8Array | null>)];
  return joinLong(
    values.length,
    values.map((value) => value ?? NIL),
  );
}

function joinLong(size: number, parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, HEAD_BYTES));
  const head = new DataView(joined.buffer);
  head.setUint8(0, LONG_ARRAY);
  head.setUint32(1, size);
  let at = HEAD_BYTES;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** The values in a message, which are at least one. */
export function unpackSome(bytes: Uint8Array): Packed {
  const values = Packed.of(bytes);
  if (values.length === 0) throw new MalformedError("an array without values");
  return values;
}
