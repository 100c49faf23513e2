/**
 * Queued items: what has been read and nobody holds, and which of it a borrower may have.
 *
 * What came back goes out before anything new. An item that something is known of (see
 * `ItemRecords`) is kept apart and lent alone, to a borrower that may have it.
 */

import type { Holder, Holdings } from "./holdings";
import type { ItemRecords } from "./item-records";
import { type Items, joinItems } from "./items";
import type { Lease, Span } from "./lease";
import { ReturnedItems, UNGROUPED } from "./returned";

/** The next items for a borrower. */
export interface Found {
  start: number;
  items: Items;
  isSuspect: boolean;
}

/** The items of a stream that wait to be lent, new ones and those that came back. */
export class QueuedItems {
  /** How many items wait. */
  size = 0;
  /** How many items have been read so far. */
  read = 0;
  /** How many have come back so far. */
  reassigned = 0;
  /** How many of those that wait are suspects. */
  suspects = 0;
  private fresh: Items = [];
  private freshLent = 0;
  private readonly returned = new ReturnedItems();

  /**
   * @param holdings - who holds the others.
   * @param records - what is known of single items.
   */
  constructor(
    private readonly holdings: Holdings,
    private readonly records: ItemRecords,
  ) {}

  /** Whether there are items that only some borrowers may have. */
  get hasApart(): boolean {
    return this.returned.apart.length > 0;
  }

  /** Add items that have been read, in this order. */
  add(items: Items): void {
    const hasUnlent = this.freshLent < this.fresh.length;
    this.fresh = hasUnlent ? joinItems([this.fresh.slice(this.freshLent), items]) : items;
    this.freshLent = 0;
    this.read += items.length;
    this.size += items.length;
  }

  /** Let a stretch of a lease wait again; an item that something is known of waits apart. */
  pushBack(lease: Lease, low: number, high: number, group = UNGROUPED): void {
    this.reassigned += high - low;
    this.size += high - low;
    const { start, items } = lease;
    const { attempts, sizes } = this.records;
    if (!this.records.isEmpty) {
      for (let offset = low; offset < high; offset++) {
        const index = start + offset;
        if (!attempts.has(index) && !sizes.has(index)) continue;
        this.returned.push(start + low, items.slice(low, offset), group);
        this.returned.pushApart(index, items.at(offset));
        if (this.records.isSuspect(index)) this.suspects += 1;
        low = offset + 1;
      }
    }
    this.returned.push(start + low, items.slice(low, high), group);
  }

  /**
   * Remove the next items for a borrower; undefined where nothing waits that it may have now.
   *
   * @param holder - what the borrower holds.
   * @param limit - the most items.
   * @param maxBytes - the largest item that can be sent to it.
   */
  pop(holder: Holder, limit: number, maxBytes: number): Found | undefined {
    const found = this.returned.size > 0 ? this.popReturned(holder, limit, maxBytes) : undefined;
    if (found !== undefined) {
      this.size -= found.items.length;
      return found;
    }
    const first = this.freshLent;
    if (first === this.fresh.length) return undefined;
    const items = this.fresh.slice(first, Math.min(first + limit, this.fresh.length));
    this.freshLent = first + items.length;
    this.size -= items.length;
    return { start: this.read - this.fresh.length + first, items, isSuspect: false };
  }

  /** Remove the items of these indices; the stretches removed, as index and count. */
  remove(low: number, high: number): Span[] {
    const removed = this.returned.remove(low, high);
    const start = this.read - this.fresh.length + this.freshLent;
    const [first, last] = [Math.max(low, start), Math.min(high, this.read)];
    if (first < last) {
      removed.push([first, last - first]);
      const fresh = this.fresh.slice(this.freshLent);
      this.returned.push(start, fresh.slice(0, first - start));
      this.returned.push(last, fresh.slice(last - start));
      this.freshLent = this.fresh.length;
    }
    for (const [, count] of removed) this.size -= count;
    return removed;
  }

  /** Remove the items that are known to be larger than this, with their indices. */
  removeLarger(maxBytes: number): { index: number; item: unknown }[] {
    const removed = this.returned.takeApartWhere((index) => this.records.sizeOf(index) > maxBytes);
    this.size -= removed.length;
    return removed;
  }

  /** Count the suspects again: what is known of items has changed. */
  countSuspects(): void {
    this.suspects = this.returned.apart.filter(({ index }) => this.records.isSuspect(index)).length;
  }

  /** The index of each item; for tests. */
  *indices(): Generator<number> {
    const start = this.read - this.fresh.length + this.freshLent;
    for (let index = start; index < this.read; index++) yield index;
    yield* this.returned.indices();
  }

  // ---- which of what came back a borrower may have ----

  private popReturned(holder: Holder, limit: number, maxBytes: number): Found | undefined {
    let found = this.returned.pop(limit, this.mayHave(holder, maxBytes));
    if (found === undefined && this.hasApart) {
      found = this.returned.pop(limit, this.mayHave(holder, maxBytes, true));
    }
    if (found === undefined) return undefined;
    const { start, items, isApart } = found;
    const isSuspect = isApart && this.records.isSuspect(start);
    if (isSuspect) this.suspects -= 1;
    return { start, items, isSuspect };
  }

  /**
   * What tells whether an item that is kept apart may be lent to a borrower.
   *
   * An item goes to another source than those that were lost with it, where there is one, or
   * something else that is to be lent meanwhile; `again` is for when there is not.
   */
  private mayHave(holder: Holder, maxBytes: number, again = false): (index: number) => boolean {
    return (index) => {
      if (this.records.sizeOf(index) > maxBytes) return false;
      const attempts = this.records.attempts.get(index);
      if (attempts === undefined) return true;
      if (attempts.isSuspect && holder.held > 0) return false;
      if (!attempts.has(holder.source)) return true;
      if (!again) return false;
      if (this.freshLent === this.fresh.length) return true;
      return [...this.holdings.holders.values()].every((other) => attempts.has(other.source));
    };
  }
}
