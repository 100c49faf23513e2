/**
 * Speculation: which item to lend a second time, so that nothing waits for the slowest.
 *
 * A borrower that would otherwise be idle is lent what holds up most: the lowest item that has
 * taken many times what others take. The first answer counts. A borrower that is silent about an
 * item for so long need not be broken, so nobody is blamed; it keeps the item until somebody else
 * has it done. If the second borrower takes too long as well, the older of the two leases ends and
 * a third borrower is lent the item; each time it is waited for twice as long, so that an item
 * which takes long by itself is not passed on for ever. Thus any number of silent borrowers delay a
 * run, and none stops it. The method is that of the backup tasks of MapReduce (Dean and Ghemawat,
 * 2004).
 *
 * Nothing is lent twice to one device: what is slow there is slow there.
 */

import type { Source } from "./attempts";
import type { Borrower } from "./borrower";
import type { Credit } from "./credit";
import type { Lease } from "./lease";
import type { Lender } from "./lender";

/** An item holds up once it has taken so many times what other devices take. */
const SLOW_FACTOR = 5;
/** No item holds up that has been lent for less. */
const LEAST_SECONDS = 0.5;
const MAX_DOUBLINGS = 20;

/** Lend the lowest missing items of a lease to this borrower, too, at most `limit`. */
export interface Doubling {
  readonly borrower: Borrower;
  readonly lease: Lease;
  readonly limit: number;
}

/**
 * What is to be lent a second time; undefined where nothing holds up.
 *
 * @param lender - who has lent the items.
 * @param credits - of all borrowers, with what their items take.
 * @param idle - the borrowers that have nothing; this node's own workers are preferred.
 * @param now - the time, in seconds.
 */
export function chooseDoubling(
  lender: Lender,
  credits: ReadonlyMap<Borrower, Credit>,
  idle: readonly Borrower[],
  now: number,
): Doubling | undefined {
  const typical = new TypicalSeconds(credits);
  let found: { index: number; borrower: Borrower; lease: Lease; times: number } | undefined;
  for (const holder of credits.keys()) {
    for (const lease of lender.leasesOf(holder)) {
      const index = lease.start + lease.missing[0]![0];
      if (found !== undefined && index >= found.index) continue;
      const times = lender.holdings.timesDoubled(index);
      if (lender.holdings.newest(index, lease) !== lease || lender.isFinal(index)) continue;
      const seconds = typical.elsewhere(holder.source);
      if (seconds === null) continue;
      if (now - lease.since < patience(seconds, lease, holder, times)) continue;
      const borrower = chooseBorrower(lender, lease, index, idle);
      if (borrower !== undefined) found = { index, borrower, lease, times };
    }
  }
  if (found === undefined) return undefined;
  const { borrower, lease, times } = found;
  const size = credits.get(borrower)!.batchSize({ borrowers: Math.max(1, credits.size) });
  return { borrower, lease, limit: Math.max(1, size >> Math.min(times, MAX_DOUBLINGS)) };
}

/** How long a lease may take, in seconds, before it holds up. */
function patience(seconds: number, lease: Lease, holder: Borrower, times: number): number {
  const turns = 1 + Math.floor((lease.position - 1) / holder.credit.workers);
  const once = Math.max(LEAST_SECONDS, SLOW_FACTOR * turns * seconds);
  return once * 2 ** Math.min(times, MAX_DOUBLINGS);
}

/** The idle borrower that had best have an item, too; undefined where none can. */
function chooseBorrower(
  lender: Lender,
  lease: Lease,
  index: number,
  idle: readonly Borrower[],
): Borrower | undefined {
  const holders = lender.holdings.devicesOf(index, lease);
  const size = lender.sizeOf(index);
  const had = lender.holdings.devicesBefore(index);
  let best: Borrower | undefined;
  let least = Number.POSITIVE_INFINITY;
  for (const borrower of idle) {
    const { source, conduct } = borrower;
    if (holders.has(source.device) || size > borrower.maxBytes) continue;
    const rank =
      (had.includes(source.device) ? 4 : 0) +
      (conduct.blemishes ? 2 : 0) +
      (source.isLocal ? 0 : 1);
    if (rank < least) [best, least] = [borrower, rank];
  }
  return best;
}

/** What an item takes on other devices than a given one. */
class TypicalSeconds {
  private readonly known: { device: string; seconds: number }[] = [];
  private readonly byDevice = new Map<string, number | null>();

  constructor(credits: ReadonlyMap<Borrower, Credit>) {
    for (const [borrower, { itemSeconds }] of credits) {
      if (itemSeconds === null) continue;
      this.known.push({ device: borrower.source.device, seconds: itemSeconds });
    }
  }

  /** The median over borrowers of other devices, in seconds, where one is known. */
  elsewhere({ device }: Source): number | null {
    let median = this.byDevice.get(device);
    if (median === undefined) {
      const others = this.known.filter((one) => one.device !== device).map((one) => one.seconds);
      others.sort((a, b) => a - b);
      median = others[(others.length - 1) >> 1] ?? null;
      this.byDevice.set(device, median);
    }
    return median;
  }
}
