/** A lease: consecutive items lent to one borrower, and which of their results are missing. */

import type { Items } from "./items";

/** A stretch of indices or offsets: the first, and the one after the last. */
export type Span = readonly [low: number, high: number];

export class Lease {
  /** The stretches of offsets whose results have not come, lowest first. */
  readonly missing: Span[];
  /** How many results have not come. */
  left: number;
  /** Whether the borrower has been asked to give it back, and has not answered. */
  recalled = false;
  /** Whether it has ever been asked. */
  wasRecalled = false;
  /** When it was lent, in seconds. */
  since = 0;
  /** Whether its items had been lent to another borrower before, who still had them. */
  isCopy = false;
  /** Whether another borrower was faster with some of its items. */
  isSupersededInPart = false;
  /** Whether that borrower had been lent them later. */
  wasOutrun = false;

  /**
   * @param number - what the lease is called in messages; never used twice.
   * @param borrower - who holds it.
   * @param start - the first item's index.
   * @param items - the items, as they were read.
   * @param isAlone - whether its one item is suspected of ending devices, and the borrower gets
   *   nothing else meanwhile.
   * @param position - how many items the borrower held once it had these.
   */
  constructor(
    readonly number: number,
    readonly borrower: unknown,
    readonly start: number,
    readonly items: Items,
    readonly isAlone: boolean,
    readonly position: number,
  ) {
    this.missing = [[0, items.length]];
    this.left = items.length;
  }

  toString(): string {
    const end = this.start + this.items.length - 1;
    return `<Lease ${this.number}: items ${this.start} to ${end}, ${this.left} missing>`;
  }

  /** What is missing of a stretch of offsets. */
  clip(low: number, high: number): Span[] {
    const clipped: Span[] = [];
    for (const [first, last] of this.missing) {
      const [from, to] = [Math.max(low, first), Math.min(high, last)];
      if (from < to) clipped.push([from, to]);
    }
    return clipped;
  }

  /** The last stretch that begins no later than this; -1 where there is none. */
  private placeOf(offset: number): number {
    let [low, high] = [0, this.missing.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.missing[middle]![0] <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  /** Remove a stretch from what is missing; false if not all of it is missing. */
  removeRange(offset: number, count: number): boolean {
    const { missing } = this;
    const end = offset + count;
    const [only] = missing;
    if (missing.length === 1 && only![0] === offset && only![1] === end) {
      // as it mostly is
      missing.length = 0;
      this.left = 0;
      return true;
    }
    if (count <= 0) return false;
    const place = this.placeOf(offset);
    if (place < 0) return false;
    const [low, high] = missing[place]!;
    if (!(low <= offset && offset < end && end <= high)) return false;
    const rest: Span[] = low < offset ? [[low, offset]] : [];
    if (end < high) rest.push([end, high]);
    missing.splice(place, 1, ...rest);
    this.left -= count;
    return true;
  }
}
