/** A lender under random events, and a model of it: what always holds is checked after each. */

import {
  AttemptsExhausted,
  type Lease,
  Lender,
  type LenderStatistics,
  type ResultBatch,
  Source,
} from "../src/scheduler";
import { MAX_LOSSES, RETURN_SECONDS } from "../src/scheduler/attempts";

const WINDOW = 20;

export function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** The indices that are missing of a lease. */
const missingOf = ({ start, missing }: Lease): number[] =>
  missing.flatMap(([low, high]) =>
    Array.from({ length: high - low }, (_, place) => start + low + place),
  );

/** Throw where a lender's state contradicts itself. */
export function validateState(lender: Lender): void {
  const { holdings } = lender;
  const { read, queued, inFlight, finished, delivered } = lender.statistics();
  must(queued + inFlight + finished + delivered === read, "2: each item is in one place");
  const current = holdings.missingByIndex();
  must(current.size === lender.lent, "2: each that is lent is counted once");
  const undone = new Set([...lender.waitingIndices(), ...current.keys()]);
  must(undone.size === queued + inFlight, "2: none waits that is lent");
  const leases = [...holdings.holders.values()].flatMap((holder) => [...holder.leases.values()]);
  must(leases.length === holdings.leases.size, "3: each lease has one holder");
  for (const [borrower, holder] of holdings.holders) {
    const held = [...holder.leases.values()];
    must(holder.held === held.reduce((sum, { left }) => sum + left, 0), "what each holds");
    must(holder.holdsSuspect === held.some(({ isAlone }) => isAlone), "who holds a suspect");
    must(!holder.holdsSuspect || holder.held === 1, "7: a suspect is alone");
    must(
      held.every((lease) => lease.borrower === borrower),
      "whose it is",
    );
  }
  must(
    leases.every((lease) => lease.left > 0 && lease.left === missingOf(lease).length),
    "3: what is missing",
  );
  const paired = [...current].filter(([, each]) => each.length === 2).map(([index]) => index);
  must(
    [...current.values()].every((each) => each.length <= 2),
    "3: two leases at the most",
  );
  must(`${paired.sort()}` === `${holdings.pairedIndices.sort()}`, "3: who has two is known");
  const known = [...lender.recordedIndices(), ...holdings.rememberedIndices];
  must(
    known.every((index) => undone.has(index)),
    "nothing is remembered of what is done",
  );
}

interface LossNote {
  source: Source;
  since: number;
}

export class LenderMachine {
  readonly lender: Lender;
  private read = 0;
  private now = 0;
  private ignored = 0;
  private newest = 0;
  private readonly present = new Map<number, Source>();
  private readonly sources = new Map<number, Source>();
  private readonly leases: Lease[] = [];
  private readonly out: number[] = [];
  private readonly cancelled = new Set<number>();
  private readonly values = new Map<number, string>();
  private readonly losses = new Map<number, LossNote[]>();
  private readonly suspected = new Map<number, Set<string>>();

  constructor(
    readonly random: () => number,
    readonly ordered: boolean,
  ) {
    this.lender = new Lender({ ordered });
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  pick<T>(from: Iterable<T>): T | undefined {
    const all = [...from];
    return all[this.below(all.length)];
  }

  // ---- events ----

  join(): void {
    const device = this.below(5);
    const source =
      device === 0 ? new Source("here", "here", true) : new Source(`${device}`, `${this.below(3)}`);
    this.newest += 1;
    this.present.set(this.newest, source);
    this.sources.set(this.newest, source);
    this.lender.join(this.newest, source);
    if (device === 0) return;
    // 7: who comes back was not lost by what it ran.
    for (const [index, losses] of this.losses) {
      this.losses.set(
        index,
        losses.filter((loss) => loss.source.device !== source.device),
      );
    }
    for (const devices of this.suspected.values()) devices.delete(source.device);
  }

  wait(): void {
    this.now += this.below(2) === 0 ? 1 : RETURN_SECONDS;
  }

  readItems(): void {
    if (this.lender.inputEnded || this.present.size === 0) return;
    const count = Math.min(1 + this.below(8), this.lender.readLimit(WINDOW));
    this.lender.addItems(Array.from({ length: count }, (_, place) => `item ${this.read + place}`));
    this.read += count;
  }

  endInput(): void {
    this.lender.endInput();
  }

  lend(): void {
    const borrower = this.pick(this.present.keys());
    if (borrower === undefined) return;
    const { waiting } = this.lender;
    const held = this.lender.countLent(borrower);
    const before = new Set(this.lender.waitingIndices());
    const limit = 1 + this.below(6);
    const lease = this.lender.lend(borrower, limit);
    if (held === 0) must((lease === undefined) === (waiting === 0), "nobody idle while some wait");
    if (lease === undefined) return;
    must(lease.items.length >= 1 && lease.items.length <= limit, "the limit");
    missingOf(lease).forEach((index, place) => {
      must(before.has(index), "5: only what waits is lent");
      must(lease.items.at(place) === `item ${index}`, "the item itself");
      const isSuspect = (this.suspected.get(index)?.size ?? 0) > 0;
      if (isSuspect) must(lease.items.length === 1 && held === 0, "7: a suspect is lent alone");
    });
    this.leases.push(lease);
  }

  double(): void {
    const lease = this.pick(this.leases);
    const borrower = this.pick(this.present.keys());
    if (lease === undefined || borrower === undefined) return;
    if (!this.lender.hasLease(lease.number) || this.lender.countLent(borrower) > 0) return;
    const [first] = missingOf(lease);
    if (this.lender.holdings.newest(first!, lease) !== lease) return;
    const { lent } = this.lender;
    const copy = this.lender.double(borrower, lease, 1 + this.below(3));
    must(copy.start === first && copy.isCopy, "the lowest is copied");
    must(this.lender.lent === lent, "2: it is still in one place");
    if (missingOf(copy).some((index) => (this.suspected.get(index)?.size ?? 0) > 0)) {
      must(copy.isAlone && copy.items.length === 1, "7: a suspect is copied alone");
    }
    this.leases.push(copy);
  }

  /** Results for any stretch, current or not, by the holder or by somebody else. */
  answer(): void {
    const lease = this.pick(this.leases);
    if (lease === undefined) return;
    const isWhole = this.below(2) === 0;
    const offset = isWhole ? 0 : this.below(lease.items.length + 2) - 1;
    const count = isWhole ? lease.items.length : 1 + this.below(lease.items.length + 1);
    const borrower = this.below(5) > 0 ? lease.borrower : this.newest;
    const first = lease.start + offset;
    const isCurrent = borrower === lease.borrower && this.lender.hasLease(lease.number);
    let wanted = missingOf(lease).filter((index) => first <= index && index < first + count);
    if (!isCurrent || (wanted.length < count && !lease.isSupersededInPart)) wanted = [];
    const values = Array.from({ length: count }, (_, place) => `result ${first + place}`);
    const failures = new Map(this.below(3) === 0 ? [[0, "failed"]] : []);
    const taken = this.lender.addResults(borrower, lease.number, offset, values, failures);
    must(taken === wanted.length > 0, "3: what is not current is ignored");
    for (const index of wanted) {
      this.values.set(index, failures.has(index - first) ? "failed" : `result ${index}`);
      this.forget(index);
    }
    this.ignored += count - wanted.length;
  }

  giveBack(): void {
    const lease = this.pick(this.leases);
    if (lease === undefined) return;
    const offset = this.below(lease.items.length);
    const count = 1 + this.below(lease.items.length - offset);
    this.lender.giveBack(lease.borrower, lease.number, offset, count);
  }

  strike(): void {
    const lease = this.pick(this.leases);
    if (lease === undefined) return;
    const offset = this.below(lease.items.length);
    if (this.lender.recordCrash(lease.borrower, lease.number, offset, "lost", this.now)) {
      this.lose(lease.start + offset, lease.borrower as number, this.now);
    }
  }

  /** Note a loss in the model, which may be the item's last; whether it was. */
  private lose(index: number, borrower: number, since: number): boolean {
    const losses = [
      ...(this.losses.get(index) ?? []),
      { source: this.sources.get(borrower)!, since },
    ];
    this.losses.set(index, losses);
    if (!this.isGivenUp(losses)) return false;
    this.values.set(index, `given up after ${losses.length}`);
    this.forget(index);
    return true;
  }

  private isGivenUp(losses: LossNote[]): boolean {
    if (losses.length >= MAX_LOSSES) return true;
    const counted = losses.filter(({ since }) => since <= this.now).map(({ source }) => source);
    const known = [...this.present.values(), ...losses.map(({ source }) => source)];
    const keys = new Set(counted.map(({ key }) => key));
    if (known.some(({ isLocal, key }) => isLocal && !keys.has(key))) return false;
    const devices = new Set(counted.map(({ device }) => device)).size;
    const addresses = new Set(counted.map(({ address }) => address)).size;
    const needed = Math.min(3, new Set(known.map(({ device }) => device)).size);
    return counted.length > 0 && losses.length >= 3 && Math.min(devices, addresses) >= needed;
  }

  private forget(index: number): void {
    this.losses.delete(index);
    this.suspected.delete(index);
  }

  leave(): void {
    const borrower = this.pick(this.present.keys());
    if (borrower === undefined) return;
    const isLost = this.below(2) === 0;
    const mayReturn = this.below(3) === 0;
    const leases = this.lender.leasesOf(borrower);
    const held = leases.flatMap(missingOf);
    const current = this.lender.holdings.missingByIndex();
    const alone = held.filter((index) => current.get(index)!.length === 1);
    const { waiting } = this.lender;
    const { device } = this.present.get(borrower)!;
    let failed = false;
    if (isLost && held.length > 0 && held.length < 16) {
      for (const index of held) {
        if (!this.suspected.has(index)) this.suspected.set(index, new Set());
        this.suspected.get(index)!.add(device);
      }
      if (leases.some(({ isAlone }) => isAlone)) {
        const since = mayReturn ? this.now + RETURN_SECONDS : this.now;
        failed = this.lose(held[0]!, borrower, since) && alone.length > 0;
      }
    }
    this.present.delete(borrower);
    this.lender.leave(borrower, this.now, { lost: isLost ? "lost" : "", mayReturn });
    must(
      this.lender.waiting === waiting + alone.length - Number(failed),
      "5: it gives back all that nobody else holds",
    );
  }

  take(): void {
    const batch = this.lender.take();
    if (batch !== undefined) this.handOut(batch);
  }

  private handOut({ start, items, values, failures }: ResultBatch): void {
    [...values].forEach((value, place) => {
      const index = start + place;
      const failure = failures.get(place);
      const got =
        failure instanceof AttemptsExhausted
          ? `given up after ${failure.losses}`
          : (failure ?? value);
      must(this.values.get(index) === got, `4: ${index} has its own result, not ${got}`);
      must(items.at(place) === `item ${index}`, "4: and its own item");
      this.out.push(index);
    });
  }

  /** Where order does not matter items may leave undone, too. */
  cancel(): void {
    if (this.ordered) return;
    const low = this.below(40);
    const high = low + this.below(30);
    const waiting = this.lender.waitingIndices().filter((index) => low <= index && index < high);
    const { delivered } = this.lender.statistics();
    const taken = this.lender
      .cancelPending(low, high)
      .flatMap(([start, count]) => Array.from({ length: count }, (_, place) => start + place));
    must(`${taken.sort((a, b) => a - b)}` === `${waiting}`, "what waits leaves");
    must(this.lender.statistics().delivered === delivered + taken.length, "and is counted");
    for (const index of taken) {
      this.cancelled.add(index);
      this.forget(index);
    }
  }

  // ---- what always holds ----

  check(): void {
    validateState(this.lender);
    const { lender, out, cancelled } = this;
    const done = out.length + cancelled.size;
    must(this.read - done <= WINDOW, "1: lazy");
    if (this.ordered) {
      must(
        out.every((index, place) => index === place),
        "4: in order",
      );
    }
    must(new Set(out).size === out.length, "4: each once");
    must(lender.finished === (lender.inputEnded && done === this.read), "8: when it is finished");
    const figures: LenderStatistics = lender.statistics();
    must(figures.ignoredResults === this.ignored, "3: what is ignored is counted");
  }

  /** Whatever has happened, one good borrower finishes everything. */
  finish(): void {
    const { lender } = this;
    lender.endInput();
    for (const borrower of this.present.keys()) lender.leave(borrower);
    this.present.clear();
    lender.join("last", new Source("last", "last"));
    for (let lease = lender.lend("last", 3); lease !== undefined; lease = lender.lend("last", 3)) {
      const { start, number, items } = lease;
      const values = [...items].map((_, place) => `result ${start + place}`);
      values.forEach((value, place) => this.values.set(start + place, value));
      must(lender.addResults("last", number, 0, values, new Map()), "they are wanted");
    }
    while (lender.ready) this.take();
    must(lender.finished, "8: all is finished");
    const all = [...this.out, ...this.cancelled].sort((a, b) => a - b);
    must(all.length === this.read && all.every((index, place) => index === place), "4: all is out");
  }
}

/** One random event. */
export function step(machine: LenderMachine): void {
  const chance = machine.random();
  if (chance < 0.1) machine.join();
  else if (chance < 0.13) machine.wait();
  else if (chance < 0.25) machine.readItems();
  else if (chance < 0.255) machine.endInput();
  else if (chance < 0.45) machine.lend();
  else if (chance < 0.52) machine.double();
  else if (chance < 0.72) machine.answer();
  else if (chance < 0.79) machine.giveBack();
  else if (chance < 0.85) machine.strike();
  else if (chance < 0.91) machine.leave();
  else if (chance < 0.95) machine.cancel();
  else machine.take();
}
