/**
 * The lender: lends items to borrowers, takes results, and lends again what comes back.
 *
 * The twin of `pando/scheduler/lender.py`: after the same events it decides the same. What always
 * holds (the numbers are those of the tests):
 *
 * 1. Lazy: an item is read only when a borrower could take it, and never more than the window past
 *    the oldest result not yet handed out.
 * 2. Each item read is in exactly one place: waiting, lent, finished, or handed out.
 * 3. An item has at most one current lease, or two while it is lent a second time (see
 *    `speculation`); a result under any other is ignored and counted.
 * 4. Results are handed out in the order of the items (or as they come), each exactly once.
 * 5. What a borrower leaves undone is lent again, before anything new, lowest index first.
 * 6. Whoever is faster gets more: that is `Credit`'s part.
 * 7. An item that is running each time its borrower is lost fails in the end (see `attempts`).
 * 8. All is finished when the input has ended and every result is handed out.
 */

import { AttemptsExhausted, MAX_ATTEMPTS, RETURN_SECONDS, type Source } from "./attempts";
import type { Holder } from "./holdings";
import type { Items } from "./items";
import type { Lease, Span } from "./lease";
import { LenderState } from "./lender-state";
import type { ResultBatch } from "./reorder";
import { UNGROUPED } from "./returned";

/** Groups in which what a lost device held is lent again, to find the item that ended it. */
const SUSPECT_GROUPS = 8;

/** Why items of a batch failed, by their place in it. */
export type ItemFailures = ReadonlyMap<number, unknown>;

/** How a borrower was lost. */
export interface Loss {
  /** How, for people; empty where no item may be what ended it. */
  lost?: string;
  /** Whether it has only fallen silent. */
  mayReturn?: boolean;
}

/** Lends a stream of items to borrowers and puts their results together. */
export class Lender extends LenderState {
  private draining: unknown = undefined;

  // ---- the input ----

  /** How many more items may be read now without passing the window. */
  readLimit(window: number): number {
    if (this.inputEnded) return 0;
    return Math.max(0, this.buffer.delivered + window - this.queue.read);
  }

  /** Add items that have been read, in this order. */
  addItems(items: Items): void {
    if (this.inputEnded) throw new Error("the input has ended");
    this.queue.add(items);
  }

  /** Take note that there are no more items. */
  endInput(): void {
    this.inputEnded = true;
  }

  // ---- the borrowers ----

  /**
   * Register a borrower, and where it computes. A device that has come back was not ended by what
   * it ran.
   */
  join(borrower: unknown, source: Source): void {
    this.holdings.join(borrower, source);
    if (this.records.attempts.size > 0 && !source.isLocal) {
      this.records.forgive(source.device);
      this.queue.countSuspects();
    }
  }

  /**
   * Lend waiting items to a borrower; undefined where nothing waits that it may have now.
   *
   * @param limit - the most items.
   * @param maxBytes - the largest item that can be sent to it.
   */
  lend(borrower: unknown, limit: number, maxBytes = Number.POSITIVE_INFINITY): Lease | undefined {
    const holder = this.holdings.holder(borrower);
    if (holder.holdsSuspect) return undefined;
    if (this.queue.suspects > 0 && this.mustDrain(borrower, holder)) return undefined;
    const found = this.queue.pop(holder, limit, maxBytes);
    if (found === undefined) return undefined;
    if (this.draining === borrower) this.draining = undefined;
    return this.holdings.lend(borrower, found.start, found.items, found.isSuspect);
  }

  /**
   * Lend the lowest missing items of another borrower's lease a second time.
   *
   * The first answer counts. Where an item has been lent twice already, the older of its two leases
   * ends for it. A suspect is lent alone here, too.
   */
  double(borrower: unknown, lease: Lease, limit: number): Lease {
    const first = lease.start + lease.missing[0]![0];
    const isAlone = lease.isAlone || this.records.isSuspect(first);
    let count = 1;
    while (count < limit && !(isAlone || this.records.isSuspect(first + count))) count += 1;
    return this.holdings.double(borrower, lease, count, isAlone);
  }

  /** The leases that have ended since, because others have answered for them. */
  takeSuperseded(): Lease[] {
    const { superseded } = this.holdings;
    this.holdings.superseded = [];
    return superseded;
  }

  /**
   * Add results of consecutive items of a lease, of this encoded size.
   *
   * @returns false where they are ignored: the lease is not this borrower's, or has ended, or an
   *   item of them is not missing.
   */
  addResults(
    borrower: unknown,
    number: number,
    offset: number,
    values: Items,
    failures: ItemFailures,
    size = 0,
  ): boolean {
    const count = values.length;
    const lease = this.holdings.finish(borrower, number, offset, count);
    if (lease === undefined) {
      return this.addMissing(borrower, number, offset, values, failures, size);
    }
    let { items } = lease;
    if (items.length !== count) items = items.slice(offset, offset + count);
    const start = lease.start + offset;
    if (!this.records.isEmpty) this.records.forget(start, count);
    this.buffer.add({ start, items, values, failures, size });
    return true;
  }

  /** Add those of the results that another borrower has not been faster with. */
  private addMissing(
    borrower: unknown,
    number: number,
    offset: number,
    values: Items,
    failures: ItemFailures,
    size: number,
  ): boolean {
    const count = values.length;
    const lease = this.holdings.get(borrower, number);
    const stretches = lease?.clip(offset, offset + count) ?? [];
    if (lease === undefined || stretches.length === 0 || !lease.isSupersededInPart) {
      this.ignored += count;
      return false;
    }
    this.ignored += count - stretches.reduce((sum, [low, high]) => sum + high - low, 0);
    for (const [low, high] of stretches) {
      const some = [...failures]
        .map(([place, why]) => [place + offset - low, why] as const)
        .filter(([place]) => 0 <= place && place < high - low);
      const part = Math.floor((size * (high - low)) / count);
      const found = values.slice(low - offset, high - offset);
      this.addResults(borrower, number, low, found, new Map(some), part);
    }
    return true;
  }

  /** Let items of a lease wait again; false where they are not this borrower's. */
  giveBack(borrower: unknown, number: number, offset: number, count: number): boolean {
    const stretches = this.holdings.release(borrower, number, offset, count);
    if (stretches === undefined) return false;
    for (const [lease, low, high] of stretches) this.queue.pushBack(lease, low, high);
    return true;
  }

  /** End a lease, so that what is missing of it waits again; how many items that is. */
  revoke(borrower: unknown, number: number): number {
    const lease = this.holdings.get(borrower, number);
    if (lease === undefined) return 0;
    const count = lease.left;
    for (const [low, high] of [...lease.missing]) this.giveBack(borrower, number, low, high - low);
    return count;
  }

  /**
   * Take note that what ran this item was lost; false where it is not this borrower's.
   *
   * @param number - of the lease.
   * @param offset - the item's place in it.
   * @param reason - how it was lost, for people.
   * @param now - the time, in seconds.
   * @param wasDevice - whether that was a whole device, which may have been lost for any reason.
   * @param mayReturn - whether it has only fallen silent.
   */
  recordCrash(
    borrower: unknown,
    number: number,
    offset: number,
    reason: string,
    now = 0,
    { wasDevice = false, mayReturn = false } = {},
  ): boolean {
    const lease = this.holdings.get(borrower, number);
    const stretches = this.holdings.release(borrower, number, offset, 1);
    if (lease === undefined || stretches === undefined) return false;
    const index = lease.start + offset;
    const countsFrom = mayReturn ? now + RETURN_SECONDS : now;
    const { source } = this.holdings.holder(borrower);
    const attempts = this.records.addLoss(index, source, countsFrom);
    this.crashes += 1;
    const present = [...this.holdings.holders.values()].map((holder) => holder.source);
    if (attempts.areExhausted(present, now, wasDevice ? MAX_ATTEMPTS : this.maxAttempts)) {
      if (stretches.length === 0) this.holdings.drop(index); // it was lent twice
      const failure = new AttemptsExhausted(attempts.losses, reason);
      this.fail(index, lease.items.at(offset), failure, reason.length);
    } else if (stretches.length > 0) {
      this.queue.pushBack(lease, offset, offset + 1);
    }
    return true;
  }

  /** Let all that a borrower holds wait again, because it is gone; how many items that is. */
  leave(borrower: unknown, now = 0, { lost = "", mayReturn = false }: Loss = {}): number {
    const holder = this.holdings.holder(borrower);
    const { held } = holder;
    const { device } = holder.source;
    if (lost !== "" && holder.holdsSuspect) {
      const [lease] = holder.leases.values();
      this.records.suspectAll([lease!], device);
      this.recordCrash(borrower, lease!.number, 0, lost, now, { wasDevice: true, mayReturn });
    }
    const group = lost !== "" ? Math.max(1, Math.floor(held / SUSPECT_GROUPS)) : UNGROUPED;
    // Also what another borrower holds as well.
    if (group === 1) this.records.suspectAll(holder.leases.values(), device);
    for (const [lease, low, high] of this.holdings.leave(borrower)) {
      this.queue.pushBack(lease, low, high, group);
    }
    return held;
  }

  // ---- items that are too large for some borrowers ----

  /**
   * Let a lease that cannot be sent wait again.
   *
   * @param sizes - the bytes of those items, by offset, that are too large by themselves. Each is
   *   lent alone, to those that can take it.
   */
  setSizes(lease: Lease, sizes: ReadonlyMap<number, number>): void {
    for (const [offset, size] of sizes) this.records.sizes.set(lease.start + offset, size);
    this.revoke(lease.borrower, lease.number);
  }

  /** How many unfinished items are known to be larger than this. */
  countLarger(maxBytes: number): number {
    return this.records.countLarger(maxBytes);
  }

  /** The bytes of an unfinished item that is too large for some; else 0. */
  sizeOf(index: number): number {
    return this.records.sizeOf(index);
  }

  /**
   * Fail the waiting items that are larger than this; how many there were.
   *
   * @param maxBytes - what can be sent to the borrower that takes the largest.
   * @param explain - makes a failure, given an item's size.
   */
  failLarger(maxBytes: number, explain: (size: number) => unknown): number {
    if (this.countLarger(maxBytes) === 0) return 0;
    const taken = this.queue.removeLarger(maxBytes);
    for (const { index, item } of taken) this.fail(index, item, explain(this.sizeOf(index)));
    this.queue.countSuspects();
    return taken.length;
  }

  // ---- leaving undone ----

  /**
   * Take the waiting items of these indices out of the stream, undone; they count as handed out.
   *
   * @returns the stretches taken, as index and count.
   */
  cancelPending(low: number, high: number): Span[] {
    const taken = this.queue.remove(low, high);
    for (const [first, count] of taken) {
      this.records.forget(first, count);
      this.holdings.forget(first, count);
      this.buffer.skip(count);
    }
    if (taken.length > 0) this.queue.countSuspects();
    return taken;
  }

  // ---- the output ----

  /** The next results to hand out, where their turn has come. */
  take(): ResultBatch | undefined {
    return this.buffer.take();
  }

  // ---- inside ----

  /**
   * Whether a borrower is to get nothing until it is idle, and can have a suspect. One at a time is
   * enough: idle ones take the other suspects, and nothing waits for ever.
   */
  private mustDrain(borrower: unknown, holder: Holder): boolean {
    if (holder.held === 0) return false;
    if (!this.holdings.holders.has(this.draining)) this.draining = borrower;
    return this.draining === borrower;
  }

  private fail(index: number, item: unknown, failure: unknown, size = 0): void {
    this.records.forget(index, 1);
    const failures = new Map([[0, failure]]);
    this.buffer.add({ start: index, items: [item], values: [null], failures, size });
  }
}
