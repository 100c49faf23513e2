/**
 * Lending: what a node does with the messages of its borrowers, without I/O.
 *
 * The decisions are the scheduler's. Here messages come in, the scheduler is told what happened,
 * and what it says becomes messages. Each method that tells `Lending` of something returns what to
 * do about it, in order; `Node` does it. The twin of `pando/tree/lending.py`.
 */

import { MalformedError } from "../errors";
import type { Capacity, Failure, ItemCrashed, Results, ReturnItems } from "../messages";
import {
  Allocator,
  type Borrower,
  LeaseNumbers,
  Lender,
  type LenderOptions,
  type Loss,
} from "../scheduler";
import { cut } from "../text";
import type { Action } from "./actions";
import { Deadlines } from "./deadlines";
import { IncomingResults } from "./incoming-results";
import type { Job } from "./job";
import { MAX_VALUE_BYTES } from "./large-messages";
import { cancelWaiting, read, recall } from "./lending-steps";
import { OutgoingBatches } from "./outgoing-batches";
import { Pauses } from "./pauses";

/** Silence after which a link counts as lost, where the run has not chosen another, in seconds. */
const HEARTBEAT_TIMEOUT_SECONDS = 10;

/** What a borrower says of items. */
export type FromBorrower = Results | ReturnItems | ItemCrashed | Capacity;

export interface LendingOptions {
  /** The most items in a batch, where the user chose it. */
  batchLimit?: number | null;
  /** Seconds that an item may take, where that is bounded. */
  itemTimeout?: number | null;
  /** Seconds that a borrower may take longer, to answer. */
  silence?: number;
  /** Bytes of the largest value that is taken, and lent to a child. */
  maxValue?: number;
  /** Whether an item that holds up others is lent a second time. */
  speculates?: boolean;
  /** What a failure counts for while it waits for its turn, in bytes. */
  failureSize?: (failure: Failure) => number;
}

/** A node's lending to all its borrowers, of all its jobs. */
export class Lending {
  readonly maxValue: number;
  private readonly speculates: boolean;
  private readonly allocator: Allocator<Job>;
  private readonly numbers = new LeaseNumbers();
  private readonly jobOf = new Map<number, Job>();
  private readonly pauses: Pauses;
  private readonly deadlines: Deadlines;
  private readonly incoming: IncomingResults;
  private readonly batches: OutgoingBatches;

  /** @param clock - gives the time, in seconds. */
  constructor(
    private readonly clock: () => number,
    options: LendingOptions = {},
  ) {
    const { batchLimit = null, itemTimeout = null, silence = HEARTBEAT_TIMEOUT_SECONDS } = options;
    this.maxValue = options.maxValue ?? MAX_VALUE_BYTES;
    this.speculates = options.speculates ?? true;
    this.allocator = new Allocator(batchLimit);
    this.pauses = new Pauses(this.allocator, clock);
    const patience = itemTimeout === null ? null : itemTimeout + silence;
    this.deadlines = new Deadlines(this.allocator, this.pauses, this.jobOf, patience);
    this.incoming = new IncomingResults(this.allocator, options.failureSize);
    this.batches = new OutgoingBatches(this.allocator, clock, this.jobOf);
  }

  // ---- looking in ----

  /** All jobs that are open, oldest first. */
  get jobs(): Job[] {
    return [...this.allocator.backlogs];
  }

  /** Whether a job's items are lent. */
  isOpen(job: Job): boolean {
    return this.allocator.backlogs.has(job);
  }

  /** All borrowers that are here now. */
  get borrowers(): Borrower[] {
    return [...this.allocator.borrowers];
  }

  /** How many workers compute here and below. */
  get workers(): number {
    return this.allocator.workers;
  }

  /** The mean time of an item, over all borrowers, in seconds. */
  get itemSeconds(): number {
    return this.incoming.itemSeconds;
  }

  /** Whether a borrower has nothing, while others hold items. */
  get hasIdleBorrower(): boolean {
    return this.allocator.hasIdleBorrower;
  }

  // ---- jobs ----

  /** A lender whose leases cannot be mistaken for another job's. */
  newLender(options: Omit<LenderOptions, "numbers"> = {}): Lender {
    return new Lender({ ...options, numbers: this.numbers });
  }

  /** Lend a job's items from now on, besides those of other jobs. */
  openJob(job: Job): Action[] {
    this.allocator.open(job);
    return this.pump();
  }

  /** Lend no more of a job; what has not been started comes back and is dropped. */
  closeJob(job: Job): Action[] {
    if (!this.isOpen(job)) return [];
    job.source.close();
    const actions: Action[] = [];
    for (const borrower of this.allocator.borrowers) {
      for (const lease of job.lender.leasesOf(borrower)) {
        this.jobOf.delete(lease.number);
        actions.push(recall(borrower, lease));
      }
    }
    this.allocator.close(job);
    actions.push({ type: "notify", job });
    return this.pump(actions);
  }

  /** Read from a job's source again, which may give something now. */
  inputReady(job: Job): Action[] {
    this.allocator.unblock(job);
    return this.isOpen(job) ? this.pump() : [];
  }

  /**
   * Let what has not been started of these indices leave the job, now or soon.
   *
   * @param isSuperseded - then what has been started of them is not wanted, either.
   */
  cancelPending(job: Job, low: number, high: number, isSuperseded = false): Action[] {
    if (!this.isOpen(job)) return [];
    job.cancelling.push([low, high]);
    const actions: Action[] = [];
    cancelWaiting(job, actions);
    for (const borrower of this.allocator.borrowers) {
      for (const lease of job.lender.leasesOf(borrower)) {
        const end = lease.start + lease.items.length;
        if (lease.start >= high || low >= end) continue;
        lease.wasRecalled = true;
        const isUnwanted = isSuperseded && low <= lease.start && end <= high;
        actions.push(recall(borrower, lease, isUnwanted));
      }
    }
    return actions;
  }

  // ---- borrowers ----

  /** Register a borrower. */
  add(borrower: Borrower): Action[] {
    const now = this.clock();
    this.pauses.recognize(borrower);
    this.allocator.add(borrower, now);
    this.pauses.beginIfDue(borrower, now);
    return this.pump();
  }

  /** Let what a borrower holds be lent again: it is gone. */
  remove(borrower: Borrower, loss: Loss = {}): Action[] {
    const now = this.clock();
    const actions: Action[] = [];
    for (const { lender } of this.allocator.backlogs) {
      for (const { number } of lender.leasesOf(borrower)) this.jobOf.delete(number);
    }
    const held = this.allocator.remove(borrower, now, loss);
    this.pauses.forget(borrower);
    if (held > 0 && loss.lost && !loss.mayReturn) {
      this.pauses.setAsideIf(borrower, borrower.conduct.lost(now), actions);
    }
    this.batches.failTooLarge();
    return this.pump(actions);
  }

  /**
   * Take in a message of a borrower.
   *
   * @throws MalformedError it makes no sense. The borrower should be sent away.
   */
  handle(borrower: Borrower, message: FromBorrower): Action[] {
    const now = this.clock();
    borrower.heard = now;
    const actions: Action[] = [];
    if (message.tag === "want") this.announce(borrower, message);
    else if (this.allocator.backlogs.size > 0) this.settle(borrower, message, now, actions);
    this.allocator.requeue(borrower);
    return this.pump(actions);
  }

  private announce(borrower: Borrower, { workers, maxValue }: Capacity): void {
    this.allocator.ask(borrower, workers);
    borrower.hasAnnounced = true;
    if (!borrower.source.isLocal) {
      // Never less than a message holds: who takes nothing would fail all items.
      borrower.maxBytes = Math.max(borrower.maxBytes, Math.min(maxValue, this.maxValue));
    }
    this.batches.failTooLarge();
  }

  /** Tell the lender of a lease what has become of its items. */
  private settle(
    borrower: Borrower,
    message: Exclude<FromBorrower, Capacity>,
    now: number,
    actions: Action[],
  ): void {
    // A lease that is no more is any lender's to ignore, and to count.
    const job = this.jobOf.get(message.lease) ?? this.jobs[0]!;
    switch (message.tag) {
      case "results":
        borrower.answered = now;
        this.incoming.add(job, borrower, message);
        break;
      case "returned":
        this.takeBack(job, borrower, message, now);
        break;
      case "struck": {
        const { lease, offset, reason } = message;
        if (job.lender.recordCrash(borrower, lease, offset, cut(reason), now)) {
          this.pauses.setAsideIf(borrower, borrower.conduct.lost(now), actions);
        }
        break;
      }
      default:
        throw new MalformedError("an unexpected message");
    }
    if (!job.lender.hasLease(message.lease)) this.jobOf.delete(message.lease);
  }

  /** Let returned items wait again; a borrower that was not asked for them waits, too. */
  private takeBack(job: Job, borrower: Borrower, message: ReturnItems, now: number): void {
    const { lease: number, offset, count } = message;
    const lease = job.lender.lease(number);
    if (!job.lender.giveBack(borrower, number, offset, count)) return;
    lease!.recalled = false;
    const isExpected = lease!.wasRecalled || borrower.hasNoWorkers;
    if (!isExpected && !borrower.source.isLocal) this.pauses.refuse(borrower, now);
  }

  // ---- pauses and deadlines ----

  /** Whether `tick` has to be called again. */
  get needsTicks(): boolean {
    return !this.pauses.isEmpty || (this.deadlines.patience !== null && this.jobOf.size > 0);
  }

  /**
   * Do what is due by now: end pauses, and take back what is not answered in time.
   *
   * @param late - seconds for which this tab did not run; nobody could have answered then.
   */
  tick(late = 0): Action[] {
    const now = this.clock();
    const actions: Action[] = [];
    this.pauses.endDue(now);
    this.deadlines.revokeDue(now, late, actions);
    return this.pump(actions);
  }

  // ---- lending ----

  /** Read and lend as much as is wanted now, after other actions, if there are any. */
  pump(actions: Action[] = []): Action[] {
    const { jobs } = this;
    for (const job of jobs) {
      if (job.cancelling.length > 0) cancelWaiting(job, actions);
      if (job.lender.holdings.superseded.length > 0) this.endSuperseded(job, actions);
    }
    for (const step of this.allocator.steps()) {
      if (step.type === "read") read(step.backlog, step.limit);
      else this.batches.send(step.backlog, step.borrower, step.lease, actions);
    }
    for (const job of jobs) {
      if (job.lender.ready || job.lender.finished) actions.push({ type: "notify", job });
    }
    return actions;
  }

  /** Call back what waits after long items, for each borrower that is idle. */
  balance(): Action[] {
    const actions: Action[] = [];
    const now = this.clock();
    for (const lease of this.allocator.recalls(now)) {
      actions.push(recall(lease.borrower as Borrower, lease));
    }
    if (this.speculates) {
      for (const { backlog, borrower, lease } of this.allocator.doublings(now)) {
        this.batches.send(backlog, borrower, lease, actions);
      }
    }
    return this.pump(actions);
  }

  /** Tell borrowers whose leases ended because another was faster. */
  private endSuperseded(job: Job, actions: Action[]): void {
    for (const lease of job.lender.takeSuperseded()) {
      const borrower = lease.borrower as Borrower;
      this.jobOf.delete(lease.number);
      if (!this.allocator.borrowers.has(borrower)) continue;
      actions.push(recall(borrower, lease, true));
      const now = this.clock();
      // It is slow, or silent: others are not to wait for it again at once.
      if (lease.wasOutrun && !borrower.source.isLocal) {
        this.pauses.refuse(borrower, now, now - lease.since);
      }
      this.allocator.requeue(borrower);
    }
  }
}
