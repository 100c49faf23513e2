/** Plays recorded events to a lender, as `tests/traces/lender.py` does. */

import { AttemptsExhausted, type Lease, Lender, Source } from "../src/scheduler";

const WINDOW = 30;

export interface LenderPlayerOptions {
  ordered: boolean;
  maxAttempts: number;
}

export class LenderPlayer {
  private readonly lender: Lender;
  private readonly leases = new Map<number, Lease>();

  constructor(options: LenderPlayerOptions) {
    this.lender = new Lender(options);
  }

  /** Let an event happen; what is returned, the leases that have ended, and the figures. */
  play([name, ...given]: readonly unknown[]): unknown[] {
    const { lender } = this;
    const told = this.happen(name as string, given as never[]) ?? null;
    const ended = lender.takeSuperseded().map((each) => [each.number, Number(each.wasOutrun)]);
    const flags =
      Number(lender.ready) + 2 * Number(lender.finished) + 4 * Number(lender.hasParticular);
    const figures = lender.statistics();
    const digest = [
      figures.read,
      figures.queued,
      figures.inFlight,
      figures.finished,
      figures.delivered,
      figures.borrowers,
      figures.reassigned,
      figures.ignoredResults,
      figures.strikes,
      figures.doubled,
      lender.finishedBytes,
      flags,
    ];
    return [told, ended, digest];
  }

  private happen(name: string, given: never[]): unknown {
    const { lender } = this;
    const events: Record<string, (...given: never[]) => unknown> = {
      join: (borrower: number, device: string, address: string, isLocal: boolean) =>
        lender.join(borrower, new Source(device, address, isLocal)),
      read: (count: number) => this.read(count),
      end: () => lender.endInput(),
      lend: (borrower: number, limit: number, most: number) =>
        this.note(lender.lend(borrower, limit, most)),
      double: (borrower: number, number: number, limit: number) =>
        this.note(lender.double(borrower, this.leases.get(number)!, limit)),
      results: (
        borrower: number,
        number: number,
        offset: number,
        count: number,
        failed: number[],
        size: number,
      ) => this.answer(borrower, number, offset, count, failed, size),
      returned: (borrower: number, number: number, offset: number, count: number) =>
        lender.giveBack(borrower, number, offset, count),
      revoke: (borrower: number, number: number) => lender.revoke(borrower, number),
      struck: (
        borrower: number,
        number: number,
        offset: number,
        now: number,
        wasDevice: boolean,
        mayReturn: boolean,
      ) => lender.recordCrash(borrower, number, offset, "lost", now, { wasDevice, mayReturn }),
      leave: (borrower: number, now: number, lost: string, mayReturn: boolean) =>
        lender.leave(borrower, now, { lost, mayReturn }),
      sizes: (number: number, sizes: [number, number][]) => {
        const lease = lender.lease(number);
        if (lease !== undefined) lender.setSizes(lease, new Map(sizes));
      },
      larger: (most: number) => lender.failLarger(most, (size) => `${size} bytes`),
      cancel: (low: number, high: number) => lender.cancelPending(low, high),
      take: () => this.take(),
    };
    return events[name]!(...given);
  }

  private read(wanted: number): number {
    const count = Math.min(wanted, this.lender.readLimit(WINDOW));
    const { read } = this.lender.statistics();
    if (count > 0) this.lender.addItems(Array.from({ length: count }, (_, place) => read + place));
    return count;
  }

  private note(lease: Lease | undefined): unknown {
    if (lease === undefined) return null;
    this.leases.set(lease.number, lease);
    const { number, start, items, isAlone, isCopy } = lease;
    const sum = ([...items] as number[]).reduce((total, item) => total + item, 0);
    return [number, start, items.length, sum, Number(isAlone) + 2 * Number(isCopy)];
  }

  private answer(
    borrower: number,
    number: number,
    offset: number,
    count: number,
    failed: number[],
    size: number,
  ): boolean {
    const values = Array.from({ length: count }, (_, place) => 100 * number + offset + place);
    const failures = new Map(failed.map((place) => [place, "failed"]));
    return this.lender.addResults(borrower, number, offset, values, failures, size);
  }

  private take(): unknown {
    const batch = this.lender.take();
    if (batch === undefined) return null;
    const failures = [...batch.failures]
      .sort(([one], [other]) => one - other)
      .map(([place, why]) => [place, why instanceof AttemptsExhausted ? why.losses : why]);
    return [batch.start, [...batch.items], [...batch.values], failures, batch.size];
  }
}
