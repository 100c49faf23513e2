/** The state of a lender: what is waiting, lent and finished, and the questions about that. */

import { MAX_ATTEMPTS } from "./attempts";
import { Holdings } from "./holdings";
import { ItemRecords } from "./item-records";
import type { Lease } from "./lease";
import type { LeaseNumbers } from "./lease-numbers";
import { QueuedItems } from "./queued-items";
import { ReorderBuffer } from "./reorder";
import type { LenderStatistics } from "./statistics";

export interface LenderOptions {
  /** Hand results out in the order of the items; else as they come. */
  ordered?: boolean;
  /** See `attempts`. */
  maxAttempts?: number;
  /** Where leases get their numbers from; shared by lenders whose borrowers are the same. */
  numbers?: LeaseNumbers;
}

export class LenderState {
  inputEnded = false;
  /** Tells of an item, by its index, that it is not to be lent a second time here. */
  isFinal: (index: number) => boolean = () => false;
  /** Who holds which items. */
  readonly holdings: Holdings;
  protected readonly maxAttempts: number;
  protected readonly buffer: ReorderBuffer;
  protected readonly records = new ItemRecords();
  protected readonly queue: QueuedItems;
  protected crashes = 0;
  protected ignored = 0;

  constructor({ ordered = true, maxAttempts = MAX_ATTEMPTS, numbers }: LenderOptions = {}) {
    this.maxAttempts = maxAttempts;
    this.buffer = new ReorderBuffer(ordered);
    this.holdings = new Holdings(numbers);
    this.queue = new QueuedItems(this.holdings, this.records);
  }

  /** Whether `take` would give something. */
  get ready(): boolean {
    return this.buffer.ready;
  }

  /** Whether the input has ended and every result is handed out. */
  get finished(): boolean {
    return this.inputEnded && this.buffer.delivered === this.queue.read;
  }

  /** How many items could be lent now. */
  get waiting(): number {
    return this.queue.size;
  }

  /** Whether some borrowers may have nothing of what waits, although others may. */
  get hasParticular(): boolean {
    return this.queue.hasApart || this.holdings.suspects > 0;
  }

  /** How many items are lent now. */
  get lent(): number {
    return this.holdings.lent;
  }

  /** How many items have been read and not been handed out. */
  get unfinished(): number {
    return this.queue.read - this.buffer.delivered;
  }

  /** How large the results are that have not been handed out, in bytes. */
  get finishedBytes(): number {
    return this.buffer.bytes;
  }

  /** Whether this is a current lease. */
  hasLease(number: number): boolean {
    return this.holdings.leases.has(number);
  }

  /** A current lease. */
  lease(number: number): Lease | undefined {
    return this.holdings.leases.get(number);
  }

  /** What a borrower holds, oldest lease first. */
  leasesOf(borrower: unknown): Lease[] {
    return [...this.holdings.holder(borrower).leases.values()];
  }

  /** How many items a borrower holds. */
  countLent(borrower: unknown): number {
    return this.holdings.holder(borrower).held;
  }

  /** A snapshot of the figures. */
  statistics(): LenderStatistics {
    return {
      read: this.queue.read,
      queued: this.waiting,
      inFlight: this.lent,
      finished: this.buffer.size,
      delivered: this.buffer.delivered,
      borrowers: this.holdings.holders.size,
      reassigned: this.queue.reassigned,
      ignoredResults: this.ignored,
      strikes: this.crashes,
      doubled: this.holdings.doubled,
    };
  }

  /** The indices of the items that wait; for tests. */
  waitingIndices(): number[] {
    return [...this.queue.indices()].sort((a, b) => a - b);
  }

  /** The indices of the items that something is known of; for tests. */
  recordedIndices(): number[] {
    return [...this.records.attempts.keys(), ...this.records.sizes.keys()];
  }
}
