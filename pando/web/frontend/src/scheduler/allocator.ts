/**
 * The allocator: which borrower gets work next, of which stream, and how much. No I/O.
 *
 * It is asked for the next steps, one after the other, and whoever asks carries each out before the
 * next: reads items (`Read`), or sends a lease (`Loan`). A step depends on what came of the one
 * before, since nobody knows how many items an input has; so they come from a generator, and not as
 * a list.
 *
 * Who gets work next. Each borrower that can take work is in one of three queues:
 *
 * 1. idle: it holds nothing. An item that went to anybody else would wait there needlessly.
 * 2. nearly idle: each of its workers has at most one item, so it has nothing in reserve: it would
 *    be idle while its next batch is on its way.
 * 3. partly busy: it has something in reserve, and may hold another batch.
 *
 * A borrower that holds all it may is in none. The queues are served in this order, and within one
 * the borrower that has waited longest comes first. A busy borrower (2, 3) sometimes gets nothing
 * although something waits; `shouldWait` has those cases.
 *
 * Of which stream. The one that has had the least of the workers' time (see `Share`).
 */

import type { Backlog } from "./backlog";
import type { Borrower } from "./borrower";
import { LONG_SECONDS, MAX_BATCH_ITEMS, MAX_SECONDS } from "./credit";
import type { Lease } from "./lease";
import type { Loss } from "./lender";
import { Queues } from "./queues";
import { chooseRecall } from "./recall";
import { chooseDoubling } from "./speculation";

/** Items too large for a borrower that may wait for others, before nothing is read for it. */
const MAX_LARGER = 4;

/**
 * Read items of a stream, at most `limit`, and tell its lender. Where there are none, the lender is
 * told of the end, or the backlog that it is blocked.
 */
export interface Read<Stream extends Backlog> {
  readonly type: "read";
  readonly backlog: Stream;
  readonly limit: number;
}

/** Send a lease to its borrower; or give all of it back to the lender, which lends again. */
export interface Loan<Stream extends Backlog> {
  readonly type: "loan";
  readonly backlog: Stream;
  readonly borrower: Borrower;
  readonly lease: Lease;
}

export type Step<Stream extends Backlog> = Read<Stream> | Loan<Stream>;

/** Decides who gets work next. Times are in seconds, as they are told. */
export class Allocator<Stream extends Backlog> {
  /** The streams that are open, oldest first. */
  readonly backlogs: Set<Stream>;
  /** All borrowers that are here now. */
  readonly borrowers: Set<Borrower>;
  private readonly queues: Queues<Stream>;
  private virtualTime = 0;
  private itemBytes = 0;
  private isParticular = false;

  /** @param batchLimit - the most items in a batch, where the user chose it. */
  constructor(batchLimit: number | null = null) {
    this.queues = new Queues(batchLimit || MAX_BATCH_ITEMS);
    ({ backlogs: this.backlogs, borrowers: this.borrowers } = this.queues);
  }

  /** How many workers the borrowers have. */
  get workers(): number {
    return this.queues.workers;
  }

  // ---- streams ----

  /** Lend a stream's items from now on, besides those of others. */
  open(backlog: Stream): void {
    this.backlogs.add(backlog);
    // The best guess is the last stream's.
    if (this.itemBytes > 0) backlog.window.measured(1, Math.trunc(this.itemBytes));
    backlog.share.resume(this.virtualTime);
    for (const borrower of this.borrowers) {
      this.join(backlog, borrower);
      this.requeue(borrower);
    }
  }

  /** Lend no more of it. */
  close(backlog: Stream): void {
    this.backlogs.delete(backlog);
    this.itemBytes = backlog.window.meanSize;
    for (const borrower of this.borrowers) this.requeue(borrower);
  }

  /** Take note that the input may give something again. */
  unblock(backlog: Stream): void {
    if (backlog.inputBlocked && backlog.lender.lent === 0) backlog.share.resume(this.virtualTime);
    backlog.inputBlocked = false;
  }

  private join(backlog: Stream, borrower: Borrower): void {
    backlog.lender.join(borrower, borrower.source);
    // The items of the one before are the best guess, but those of others beside it are none.
    const isAlone = this.backlogs.size === 1;
    backlog.credits.set(borrower, isAlone ? borrower.credit : borrower.credit.forOthers());
  }

  // ---- borrowers ----

  /** Register a borrower. */
  add(borrower: Borrower, now: number): void {
    borrower.since = borrower.heard = borrower.answered = now;
    this.borrowers.add(borrower);
    this.queues.workers += borrower.workers;
    for (const backlog of this.backlogs) this.join(backlog, borrower);
    this.requeue(borrower);
  }

  /** Let all that a borrower holds wait again; how many items. See `Lender.leave`. */
  remove(borrower: Borrower, now = 0, loss: Loss = {}): number {
    this.borrowers.delete(borrower);
    this.queues.workers -= borrower.workers;
    this.queues.remove(borrower);
    let held = 0;
    for (const backlog of this.backlogs) {
      held += backlog.lender.leave(borrower, now, loss);
      backlog.credits.delete(borrower);
    }
    return held;
  }

  /** Lend a borrower nothing until `resume`. */
  pause(borrower: Borrower): void {
    borrower.isPaused = true;
    this.queues.remove(borrower);
  }

  /** Lend to a borrower again. */
  resume(borrower: Borrower): void {
    borrower.isPaused = false;
    this.requeue(borrower);
  }

  /**
   * Take note of how many workers a borrower says that it has. One that has none, such as a device
   * whose person has paused it, is lent nothing.
   */
  ask(borrower: Borrower, workers: number): void {
    this.queues.workers -= borrower.workers;
    borrower.hasNoWorkers = workers === 0;
    borrower.credit.ask(workers);
    for (const backlog of this.backlogs) backlog.creditOf(borrower).ask(workers);
    this.queues.workers += borrower.workers;
  }

  /** Take note that a borrower has computed items of a stream in this time. */
  completed(backlog: Stream, borrower: Borrower, items: number, seconds: number): void {
    const before = borrower.workers;
    backlog.creditOf(borrower).completed(items, seconds);
    this.queues.workers += borrower.workers - before;
    // No more of its workers' time can have been spent than has passed since they came.
    const passed = (borrower.heard - borrower.since) * borrower.credit.workers;
    const charged = Math.max(0, Math.min(seconds, MAX_SECONDS, passed - borrower.charged));
    borrower.charged += charged;
    backlog.share.charge(items, charged);
  }

  /** Whether a borrower has nothing, while others hold items. */
  get hasIdleBorrower(): boolean {
    return this.queues.idle.size > 0 && [...this.backlogs].some(({ lender }) => lender.lent > 0);
  }

  /** Whether a borrower had nothing when it was last put into a queue. */
  isIdle(borrower: Borrower): boolean {
    return this.queues.idle.has(borrower);
  }

  /** Put a borrower last into the queue that it belongs to now, or into none. */
  requeue(borrower: Borrower): void {
    this.queues.requeue(borrower);
  }

  // ---- lending ----

  /** What to do so that as much is lent as is wanted now, step by step. */
  *steps(): Generator<Step<Stream>, void> {
    this.isParticular = [...this.backlogs].some(({ lender }) => lender.hasParticular);
    for (const queue of this.queues.inOrder) {
      const passedOver: Borrower[] = [];
      while (queue.size > 0) {
        const [borrower] = queue as Set<Borrower>;
        if (yield* this.lendAny(borrower!)) continue;
        if (!this.isParticular) break;
        // What waits may be for others: they are asked, and this one stays first.
        queue.delete(borrower!);
        passedOver.push(borrower!);
      }
      if (passedOver.length === 0) continue;
      const others = [...queue];
      queue.clear();
      for (const borrower of [...passedOver, ...others]) queue.add(borrower);
    }
  }

  /** Lend one batch of some stream to a borrower; false where there is none to lend. */
  private *lendAny(borrower: Borrower): Generator<Step<Stream>, boolean> {
    const backlogs = this.backlogs.size === 1 ? this.backlogs : this.inTurn(borrower);
    for (const backlog of backlogs) {
      if (backlog.hasItems && (yield* this.lend(backlog, borrower))) {
        this.virtualTime = Math.max(this.virtualTime, backlog.share.seconds);
        return true;
      }
    }
    return false;
  }

  /** The streams that a borrower may be lent from, the one that has had the least first. */
  private inTurn(borrower: Borrower): Stream[] {
    return [...this.backlogs]
      .filter((backlog) => backlog.hasItems && this.queues.hasRoom(backlog, borrower))
      .map((backlog) => ({ backlog, claimed: backlog.claimed }))
      .sort((one, other) => one.claimed - other.claimed)
      .map(({ backlog }) => backlog);
  }

  /** Lend one batch of a stream to a borrower; false where there is none to lend. */
  private *lend(backlog: Stream, borrower: Borrower): Generator<Step<Stream>, boolean> {
    const { lender } = backlog;
    for (;;) {
      const size = this.queues.batchSize(backlog, borrower);
      // Where it gives too little, it has no more, which it says next.
      for (let turn = 0; turn < 2; turn++) {
        const limit = lender.waiting < size ? this.readLimit(backlog, borrower, size) : 0;
        if (limit > 0) yield { type: "read", backlog, limit };
      }
      if (this.shouldWait(backlog, borrower, size)) return false;
      const lease = lender.lend(borrower, size, borrower.maxBytes);
      if (lease === undefined) return false;
      yield { type: "loan", backlog, borrower, lease };
      if (lender.hasLease(lease.number)) {
        this.requeue(borrower);
        return true;
      }
      this.isParticular = true; // it could not be sent as it was
    }
  }

  /**
   * Whether a borrower had better get nothing now, although something may wait.
   *
   * An idle one never waits. Of the others two kinds do:
   *
   * 1. Less than half a batch is there, the input goes on, and the batch may grow: the input has
   *    more, and only the window keeps it from being read; or the input gives nothing at present,
   *    but the borrower has a reserve. One that has none takes what there is.
   * 2. The last items are at hand, no more than there are workers, and they are long: each is kept
   *    for whoever is idle first, instead of waiting after another item.
   */
  private shouldWait(backlog: Stream, borrower: Borrower, size: number): boolean {
    if (this.queues.idle.has(borrower)) return false;
    const { lender } = backlog;
    const mayGrow = !backlog.inputBlocked || this.queues.partlyBusy.has(borrower);
    if (mayGrow && !lender.inputEnded && lender.waiting < Math.floor(size / 2)) return true;
    const remaining = backlog.countRemaining();
    if (remaining === null || remaining > this.workers) return false;
    const isLong = (backlog.creditOf(borrower).itemSeconds ?? 0) > LONG_SECONDS;
    return isLong && this.queues.countLent(borrower) >= borrower.credit.workers;
  }

  /**
   * How many items to read: what all in the queues could take, if the window allows it.
   *
   * Nothing new is read while the results that wait for their turn fill the window. What is lent,
   * or waits to be, is enough to move on: the item whose turn it is has been read.
   */
  private readLimit(backlog: Stream, borrower: Borrower, size: number): number {
    if (backlog.inputBlocked) return 0;
    const { lender, window } = backlog;
    const windows = this.backlogs.size;
    if (lender.finishedBytes * windows > window.maxBytes) return 0;
    if (lender.hasParticular && lender.countLarger(borrower.maxBytes) >= MAX_LARGER) return 0;
    const wanted = size * this.queues.size - lender.waiting;
    return Math.max(0, Math.min(wanted, lender.readLimit(window.items(4 * this.workers, windows))));
  }

  // ---- recalling ----

  /** The leases to call back, one for each borrower that is idle, where it is worth it. */
  recalls(now: number): Lease[] {
    const leases: Lease[] = [];
    const backlogs = [...this.backlogs];
    if (backlogs.some(({ lender }) => lender.waiting > 0)) return leases;
    for (let turn = 0; turn < this.queues.idle.size; turn++) {
      const lease = this.recall(backlogs, now);
      if (lease === undefined) break;
      leases.push(lease);
    }
    return leases;
  }

  private recall(backlogs: readonly Stream[], now: number): Lease | undefined {
    const busy = [...this.borrowers].filter((borrower) => !this.isIdle(borrower));
    for (const backlog of backlogs) {
      const holders = busy.map((borrower) => {
        const silence = now - borrower.heard;
        return { borrower, credit: backlog.creditOf(borrower), silence };
      });
      const lease = chooseRecall(backlog.lender, holders);
      if (lease !== undefined) {
        lease.recalled = lease.wasRecalled = true;
        return lease;
      }
    }
    return undefined;
  }

  /**
   * Lend what holds up most a second time, to borrowers that are idle; see `speculation`.
   *
   * Each loan is to be carried out before the next is asked for, as for `steps`.
   */
  *doublings(now: number): Generator<Loan<Stream>, void> {
    const { idle } = this.queues;
    for (const backlog of this.backlogs) {
      while (idle.size > 0) {
        const found = chooseDoubling(backlog.lender, backlog.credits, [...idle], now);
        if (found === undefined) break;
        const { borrower } = found;
        const lease = backlog.lender.double(borrower, found.lease, found.limit);
        yield { type: "loan", backlog, borrower, lease };
        this.requeue(borrower);
        if (!backlog.lender.hasLease(lease.number)) break; // the next attempt is made later
      }
    }
  }
}
