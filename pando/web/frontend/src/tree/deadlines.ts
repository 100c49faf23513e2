/**
 * Deadlines: what borrowers have not answered for too long is lent to others. No I/O. The twin of
 * `pando/tree/deadlines.py`.
 */

import type { Allocator, Borrower, Lease } from "../scheduler";
import type { Action } from "./actions";
import type { Job } from "./job";
import { recall } from "./lending-steps";
import type { Pauses } from "./pauses";

/** Takes leases back from borrowers that give no results. */
export class Deadlines {
  /**
   * @param allocator - knows the borrowers.
   * @param pauses - pauses those that do not answer.
   * @param jobOf - the job of each current lease, by its number.
   * @param patience - seconds for which a borrower may give no results; null where it has any time.
   */
  constructor(
    private readonly allocator: Allocator<Job>,
    private readonly pauses: Pauses,
    private readonly jobOf: Map<number, Job>,
    readonly patience: number | null,
  ) {}

  /**
   * Let the oldest lease of each borrower that is overdue be lent to another.
   *
   * @param now - the time, in seconds.
   * @param late - seconds for which this tab did not run; nobody could have answered then.
   * @param actions - what is to be done is added to these.
   */
  revokeDue(now: number, late: number, actions: Action[]): void {
    if (this.patience === null) return;
    for (const borrower of this.allocator.borrowers) {
      borrower.answered += late;
      if (now - borrower.answered >= this.patience) this.revokeOldest(borrower, now, actions);
    }
  }

  private revokeOldest(borrower: Borrower, now: number, actions: Action[]): void {
    let oldest: { lease: Lease; job: Job } | undefined;
    for (const job of this.allocator.backlogs) {
      const [lease] = job.lender.leasesOf(borrower);
      if (lease === undefined) continue;
      if (oldest === undefined || lease.number < oldest.lease.number) oldest = { lease, job };
    }
    if (oldest === undefined) return;
    const { lease, job } = oldest;
    job.lender.revoke(borrower, lease.number);
    this.jobOf.delete(lease.number);
    actions.push(recall(borrower, lease));
    borrower.answered = now;
    this.allocator.requeue(borrower);
    this.pauses.refuse(borrower, now);
  }
}
