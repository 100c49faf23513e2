/** Items of a lease, as they were sent, of which a worker gets a stretch. */

import { findElements, joinArray } from "../msgpack-slices";

/** Consecutive items of a lease. `lease` is null where the parent that lent them is lost. */
export class ItemRange {
  constructor(
    public lease: number | null,
    readonly offset: number,
    private readonly bytes: Uint8Array,
    private readonly places: Uint32Array,
    private readonly first: number,
    readonly count: number,
  ) {}

  static of(lease: number, items: Uint8Array): ItemRange {
    const places = findElements(items);
    return new ItemRange(lease, 0, items, places, 0, places.length - 1);
  }

  /** The items from `from` on, at most `count` of them. */
  slice(from: number, count: number): ItemRange {
    const kept = Math.min(count, this.count - from);
    return new ItemRange(
      this.lease,
      this.offset + from,
      this.bytes,
      this.places,
      this.first + from,
      kept,
    );
  }

  encode(): Uint8Array<ArrayBuffer> {
    const { bytes, places, first, count } = this;
    return joinArray(count, [bytes.subarray(places[first], places[first + count])]);
  }
}
