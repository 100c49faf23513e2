/** Steps that `Lending` takes more than once. No I/O. */

import type { Outgoing } from "../messages";
import type { Borrower, Lease } from "../scheduler";
import type { Action } from "./actions";
import type { Job } from "./job";

/** Have a borrower asked for what it has not started of a lease. */
export function recall(borrower: Borrower, { number }: Lease, isSuperseded = false): Action {
  const message: Outgoing = { tag: "recall", lease: number, isSuperseded };
  return { type: "send", borrower, message };
}

/** Let what waits of a job leave it, as far as it is to. */
export function cancelWaiting(job: Job, actions: Action[]): void {
  for (const [low, high] of job.cancelling) {
    for (const [start, size] of job.lender.cancelPending(low, high)) {
      actions.push({ type: "cancelled", job, start, size });
    }
  }
}

/** Read from a job's source, and tell its lender what there was. */
export function read(job: Job, limit: number): void {
  const items = job.source.read(limit);
  if (items === "would block") job.inputBlocked = true;
  else if (items === "end of input") job.lender.endInput();
  else job.lender.addItems(items);
}
