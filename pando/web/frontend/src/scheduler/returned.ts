/**
 * Returned items: what waits to be lent again.
 *
 * What happens to a stretch of items that comes back:
 *
 * 1. It was given back, recalled, or its lease has ended: it joins its neighbours again when it is
 *    lent, so that an input returned item by item is lent in whole batches.
 * 2. Its borrower was lost, and may have been running any of it: it is lent in smaller groups, so
 *    that an item which ends devices is alone after a few losses, and the others are not held up.
 * 3. An item that was running, is suspected, or is too large for some borrowers: it is kept apart
 *    and lent alone, to a borrower that may have it.
 *
 * The lowest index goes first, and all of it before anything new. Each operation takes O(log n)
 * steps for n stretches.
 */

import { makeHeap, popHeap, pushHeap } from "./heap";
import { type Items, joinItems } from "./items";
import type { Span } from "./lease";

/** Items kept apart that are looked at for one that a borrower may have. */
const MAX_LOOK = 32;
/** Of items that need not be lent in groups. */
export const UNGROUPED = Number.POSITIVE_INFINITY;

interface Waiting {
  start: number;
  items: Items;
  group: number;
}

interface Apart {
  index: number;
  item: unknown;
}

/** Items that are to be lent next. */
export interface Popped {
  start: number;
  items: Items;
  /** Whether it is an item that was kept apart. */
  isApart: boolean;
}

const startOf = ({ start }: Waiting): number => start;

/** Items that wait to be lent again; an index is in it at most once. */
export class ReturnedItems {
  /** How many there are. */
  size = 0;
  /** Those that are kept apart, with their indices, lowest first. */
  apart: Apart[] = [];
  private heap: Waiting[] = [];

  /** Add consecutive items, which are lent at most `group` at once. */
  push(start: number, items: Items, group = UNGROUPED): void {
    if (items.length === 0) return;
    this.size += items.length;
    pushHeap(this.heap, { start, items, group }, startOf);
  }

  /** Add an item that is lent alone. */
  pushApart(index: number, item: unknown): void {
    this.size += 1;
    this.apart.splice(this.placeApart(index), 0, { index, item });
  }

  /** The place of the first item kept apart whose index is not lower. */
  private placeApart(index: number): number {
    let [low, high] = [0, this.apart.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.apart[middle]!.index < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Remove the lowest items that a borrower may have; undefined where nothing is for it.
   *
   * @param limit - the most items.
   * @param mayHave - whether an item that is kept apart is for this borrower.
   */
  pop(limit: number, mayHave: (index: number) => boolean): Popped | undefined {
    for (let place = 0; place < Math.min(this.apart.length, MAX_LOOK); place++) {
      const { index, item } = this.apart[place]!;
      if (this.heap.length > 0 && this.heap[0]!.start < index) break;
      if (mayHave(index)) {
        this.apart.splice(place, 1);
        this.size -= 1;
        return { start: index, items: [item], isApart: true };
      }
    }
    const lowest = popHeap(this.heap, startOf);
    if (lowest === undefined) return undefined;
    const { start, group } = lowest;
    let { items } = lowest;
    const most = Math.min(limit, group);
    if (group === UNGROUPED) items = this.joinNeighbours(start, items, most);
    if (items.length > most) {
      pushHeap(this.heap, { start: start + most, items: items.slice(most), group }, startOf);
      items = items.slice(0, most);
    }
    this.size -= items.length;
    return { start, items, isApart: false };
  }

  /** Remove from the heap the stretches that follow, until there are enough items. */
  private joinNeighbours(start: number, items: Items, limit: number): Items {
    const parts = [items];
    let end = start + items.length;
    for (;;) {
      const next = this.heap[0];
      if (next?.start !== end || end >= start + limit || next.group !== UNGROUPED) break;
      popHeap(this.heap, startOf);
      parts.push(next.items);
      end += next.items.length;
    }
    return joinItems(parts);
  }

  /** Remove what is here of these indices; the stretches, as index and count. */
  remove(low: number, high: number): Span[] {
    const removed: Span[] = [];
    const kept: Waiting[] = [];
    for (const entry of this.heap) {
      const { start, items, group } = entry;
      const end = start + items.length;
      const [first, last] = [Math.max(low, start), Math.min(high, end)];
      if (first >= last) {
        kept.push(entry);
        continue;
      }
      removed.push([first, last - first]);
      if (start < first) kept.push({ start, items: items.slice(0, first - start), group });
      if (last < end) kept.push({ start: last, items: items.slice(last - start), group });
    }
    if (removed.length > 0) {
      makeHeap(kept, startOf);
      this.heap = kept;
    }
    const [first, last] = [this.placeApart(low), this.placeApart(high)];
    for (const { index } of this.apart.splice(first, Math.max(0, last - first))) {
      removed.push([index, 1]);
    }
    for (const [, count] of removed) this.size -= count;
    return removed;
  }

  /** Remove the items kept apart whose index fulfils a condition. */
  takeApartWhere(condition: (index: number) => boolean): Apart[] {
    const taken = this.apart.filter(({ index }) => condition(index));
    if (taken.length > 0) {
      this.apart = this.apart.filter(({ index }) => !condition(index));
      this.size -= taken.length;
    }
    return taken;
  }

  /** The index of each item; for tests. */
  *indices(): Generator<number> {
    for (const { start, items } of this.heap) {
      for (let index = start; index < start + items.length; index++) yield index;
    }
    for (const { index } of this.apart) yield index;
  }
}
