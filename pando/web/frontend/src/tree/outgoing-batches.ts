/**
 * Outgoing batches: what a node sends of a lease, and what becomes of what cannot be sent. No I/O.
 *
 * 1. A batch that turns out too large is given back, and made again smaller; its large items are
 *    lent alone, to borrowers that take so much.
 * 2. An item that nobody here takes fails.
 */

import type { Failure } from "../messages";
import { type Allocator, type Borrower, type Lease, MAX_BATCH_BYTES } from "../scheduler";
import type { Action } from "./actions";
import type { Job } from "./job";
import { encodeItems } from "./packed";

/** A batch that turns out larger than this is made again, smaller. */
export const MAX_BATCH_OVERSHOOT_BYTES = 4 * MAX_BATCH_BYTES;
/** How long a child that has joined may take to say how large a value it can take. */
const ANNOUNCE_SECONDS = 10;

/** Makes messages of leases. */
export class OutgoingBatches {
  /**
   * @param allocator - knows who is here.
   * @param clock - gives the time, in seconds.
   * @param jobOf - the job of each lease that has been sent, by its number.
   */
  constructor(
    private readonly allocator: Allocator<Job>,
    private readonly clock: () => number,
    private readonly jobOf: Map<number, Job>,
  ) {}

  /** Encode a batch for its borrower; what cannot be sent as it is goes back to the lender. */
  send(job: Job, borrower: Borrower, lease: Lease, actions: Action[]): void {
    const encoded = encodeItems(lease.items);
    const count = lease.items.length;
    job.window.measured(count, encoded.length);
    const most =
      count > 1 ? Math.min(borrower.maxBytes, MAX_BATCH_OVERSHOOT_BYTES) : borrower.maxBytes;
    if (encoded.length > most) {
      this.partLarge(job, borrower, lease);
      return;
    }
    this.jobOf.set(lease.number, job);
    lease.since = this.clock();
    const { number, isCopy } = lease;
    const message = { tag: "lend", lease: number, items: encoded, isCopy } as const;
    actions.push({ type: "send", borrower, message });
    if (this.allocator.isIdle(borrower)) borrower.heard = borrower.answered = lease.since;
  }

  /** Give back a batch that is too large, and have its large items lent alone. */
  private partLarge(job: Job, borrower: Borrower, lease: Lease): void {
    const bound = Math.min(borrower.maxBytes, MAX_BATCH_OVERSHOOT_BYTES);
    const sizes = new Map<number, number>();
    let place = 0;
    for (const item of lease.items) {
      const size = encodeItems([item]).length;
      if (size > bound || lease.items.length === 1) sizes.set(place, size);
      place += 1;
    }
    job.lender.setSizes(lease, sizes);
    this.failTooLarge();
  }

  /** Fail the items that nobody here can take. */
  failTooLarge(): void {
    const borrowers = [...this.allocator.borrowers];
    const now = this.clock();
    if (borrowers.length === 0) return; // who comes next may be able to
    if (borrowers.some((each) => !each.hasAnnounced && now - each.since < ANNOUNCE_SECONDS)) return;
    const most = Math.max(...borrowers.map(({ maxBytes }) => maxBytes));
    for (const { lender } of this.allocator.backlogs) {
      lender.failLarger(most, (size): Failure => {
        const [bytes, bound] = [size, most].map((each) => each.toLocaleString("en"));
        const reason = `the item has ${bytes} bytes, and nobody here takes more than ${bound}`;
        return { type: "UnsupportedValueError", reason, traceback: "", device: "" };
      });
    }
  }
}
