/** Recalling: what to call back from a busy borrower for one that has nothing to do. */

import { type Credit, LONG_SECONDS } from "./credit";
import type { Lease } from "./lease";
import type { Lender } from "./lender";

/** A borrower that holds items: its credit, and the seconds since it was heard of. */
export interface BusyHolder {
  readonly borrower: unknown;
  readonly credit: Credit;
  readonly silence: number;
}

/**
 * The lease to recall so that an idle borrower gets work; undefined where none is worth it.
 *
 * It is the newest lease of the borrower that will be busy longest, for its items are the last to
 * be started there.
 *
 * @param lender - who has lent the items.
 * @param holders - those that may be asked.
 */
export function chooseRecall(lender: Lender, holders: Iterable<BusyHolder>): Lease | undefined {
  let best: Lease | undefined;
  let longest = LONG_SECONDS;
  for (const { borrower, credit, silence } of holders) {
    const held = lender.countLent(borrower);
    const seconds = credit.expectedSeconds(held, silence);
    // The oldest item that is missing is running already: nothing is gained by recalling it.
    if (held <= 1 || seconds <= longest) continue;
    const lease = lender.leasesOf(borrower).findLast(({ recalled }) => !recalled);
    if (lease !== undefined) [best, longest] = [lease, seconds];
  }
  return best;
}
