/** Plays recorded events to a lending, as `tests/traces/lending.py` does. */

import { encode as pack } from "@msgpack/msgpack";

import { MalformedError } from "../src/errors";
import type { Failure } from "../src/messages";
import { Borrower, Credit, type Items, Source, Window } from "../src/scheduler";
import type { Action } from "../src/tree/actions";
import { creditForChild } from "../src/tree/child";
import { Job } from "../src/tree/job";
import { type FromBorrower, Lending } from "../src/tree/lending";
import { encodeItems, Packed } from "../src/tree/packed";
import type { Source as ItemSource, Nothing } from "../src/tree/source";
import { type Answer, Uplink } from "../src/tree/uplink";

/** What a failure counts for, which differs between the languages. */
const FAILURE_BYTES = 300;
/** Events from one digest with doubles to the next. */
const FULL_EVERY = 12;
/** Bytes of an item that is too large for some. */
const LARGE_BYTES = 700;

export interface LendingPlayerOptions {
  batchLimit: number | null;
  itemTimeout: number | null;
  silence: number;
  maxValue: number;
  speculates: boolean;
}

interface Described {
  workers: number;
  device: string | null;
  address: string;
  maxBytes: number | null;
}

const encoded = (spec: number): Uint8Array => pack(spec >= 0 ? spec : new Uint8Array(-spec));

/** A number that both languages compute of bytes. */
function fingerprint(data: Uint8Array): number {
  let found = 0;
  for (const byte of data) found = (Math.imul(found, 31) + byte) >>> 0;
  return found;
}

/** The whole numbers up to an end, which the node knows. */
class Numbers implements ItemSource {
  private next = 0;

  constructor(private readonly end: number) {}

  read(limit: number): Items | Nothing {
    if (this.next === this.end) return "end of input";
    const first = this.next;
    this.next = Math.min(this.end, first + limit);
    return Array.from({ length: this.next - first }, (_, place) => encoded(first + place));
  }

  remaining(): number {
    return this.end - this.next;
  }

  close(): void {}
}

export class LendingPlayer {
  private now = 0;
  private readonly lending: Lending;
  private readonly jobs: Job[] = [];
  private readonly borrowers = new Map<number, Borrower>();
  private told: unknown[][] = [];
  private events = 0;
  private known: unknown[] = [];

  constructor(options: LendingPlayerOptions) {
    const failureSize = (): number => FAILURE_BYTES;
    this.lending = new Lending(() => this.now, { ...options, failureSize });
  }

  /** Let an event happen; the actions and the digest. */
  play([name, now, ...given]: readonly unknown[]): unknown[] {
    this.now = now as number;
    this.told = [];
    this.events += 1;
    try {
      this.do(this.happen(name as string, given as never[]));
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error;
      this.told.push(["malformed"]);
    }
    return [this.told, this.changes(this.digest())];
  }

  /** What is new in a digest; nothing for each part that is as it was before. */
  private changes(digest: unknown[]): unknown[] {
    const same = (place: number): boolean =>
      JSON.stringify(digest[place]) === JSON.stringify(this.known[place]);
    const changes = digest.map((part, place) => (place < 5 && same(place) ? null : part));
    this.known = digest.slice(0, 5);
    return changes;
  }

  // ---- events ----

  private happen(name: string, given: never[]): Action[] {
    const events: Record<string, (...given: never[]) => Action[]> = {
      open: (numbers: number | null) => this.open(numbers),
      close: (job: number) => this.lending.closeJob(this.jobs[job]!),
      lend: (job: number, lease: number, count: number, large: number[], isCopy: boolean) =>
        this.lend(job, lease, count, large, isCopy),
      recall: (job: number, lease: number, isSuperseded: boolean) =>
        this.recall(job, lease, isSuperseded),
      leave: (job: number) =>
        this.lending.cancelPending(this.jobs[job]!, 0, Number.MAX_SAFE_INTEGER),
      add: (number: number, described: Described) => this.add(number, described),
      remove: (number: number, lost: string, mayReturn: boolean) =>
        this.remove(number, lost, mayReturn),
      want: (number: number, workers: number, maxValue: number) =>
        this.hear(number, { tag: "want", workers, maxValue }),
      results: (
        number: number,
        lease: number,
        offset: number,
        seconds: number,
        count: number,
        failed: number[],
      ) => this.hear(number, resultsOf(lease, offset, seconds, count, failed)),
      returned: (number: number, lease: number, offset: number, count: number) =>
        this.hear(number, { tag: "returned", lease, offset, count }),
      struck: (number: number, lease: number, offset: number) =>
        this.hear(number, { tag: "struck", lease, offset, reason: "lost" }),
      tick: (late: number) => this.lending.tick(late),
      balance: () => this.lending.balance(),
    };
    return events[name]!(...given);
  }

  private open(numbers: number | null): Action[] {
    const { lending } = this;
    let job: Job;
    if (numbers === null) {
      const uplink = new Uplink("device");
      const lender = lending.newLender({ ordered: false, maxAttempts: 1 });
      lender.isFinal = (index) => uplink.isCopy(index);
      job = new Job(uplink, lender, new Window(Number.MAX_SAFE_INTEGER));
    } else {
      job = new Job(new Numbers(numbers), lending.newLender(), new Window());
    }
    this.jobs.push(job);
    return lending.openJob(job);
  }

  private lend(
    job: number,
    lease: number,
    count: number,
    large: number[],
    isCopy: boolean,
  ): Action[] {
    const items = Array.from({ length: count }, (_, place) =>
      encoded(large.includes(place) ? -LARGE_BYTES : place),
    );
    this.uplink(job).add({ tag: "lend", lease, items: encodeItems(items), isCopy });
    return this.lending.inputReady(this.jobs[job]!);
  }

  private recall(job: number, lease: number, isSuperseded: boolean): Action[] {
    const [answer, unstarted] = this.uplink(job).recall({ lease });
    this.answer(job, answer);
    if (unstarted === null) return [];
    return this.lending.cancelPending(this.jobs[job]!, ...unstarted, isSuperseded);
  }

  private add(number: number, { workers, device, address, maxBytes }: Described): Action[] {
    const borrower =
      device === null
        ? new Borrower(`worker ${number}`, new Credit())
        : new Borrower(`child ${number}`, creditForChild(workers), {
            source: new Source(device, address),
          });
    borrower.maxBytes = maxBytes ?? borrower.maxBytes;
    this.borrowers.set(number, borrower);
    return this.lending.add(borrower);
  }

  private remove(number: number, lost: string, mayReturn: boolean): Action[] {
    const borrower = this.borrowers.get(number)!;
    this.borrowers.delete(number);
    return this.lending.remove(borrower, { lost, mayReturn });
  }

  private hear(number: number, message: FromBorrower): Action[] {
    return this.lending.handle(this.borrowers.get(number)!, message);
  }

  // ---- what comes of them ----

  private uplink(job: number): Uplink {
    return this.jobs[job]!.source as Uplink;
  }

  private numberOf(borrower: Borrower): number {
    const [number] = [...this.borrowers].find(([, each]) => each === borrower)!;
    return number;
  }

  private do(actions: Action[]): void {
    const due = [...actions];
    for (const action of due) {
      if (action.type === "send") this.sent(action);
      else if (action.type === "notify") due.push(...this.take(this.jobs.indexOf(action.job)));
      else if (action.type === "tell") this.told.push(["tell", action.text]);
      else this.cancelled(action);
    }
  }

  private cancelled({ job, start, size }: Action & { type: "cancelled" }): void {
    const number = this.jobs.indexOf(job);
    for (const answer of this.uplink(number).giveBack(start, size)) this.answer(number, answer);
  }

  private sent({ borrower, message }: Action & { type: "send" }): void {
    const number = this.numberOf(borrower);
    if (message.tag === "recall") {
      this.told.push(["recall", number, message.lease, message.isSuperseded]);
    } else if (message.tag === "lend") {
      const count = Packed.of(message.items).length;
      const mark = fingerprint(message.items);
      this.told.push(["lend", number, message.lease, count, mark, message.isCopy]);
    }
  }

  /** Hand out what is ready: to the parent, or to the program. */
  private take(number: number): Action[] {
    const job = this.jobs[number]!;
    const actions: Action[] = [];
    for (let batch = job.lender.take(); batch !== undefined; batch = job.lender.take()) {
      if (job.source instanceof Uplink) {
        for (const answer of job.source.answer(batch, this.lending.itemSeconds)) {
          this.answer(number, answer);
        }
      } else {
        const failed = [...batch.failures.keys()].sort((a, b) => a - b);
        this.told.push(["out", number, batch.start, batch.values.length, failed]);
        actions.push(...this.lending.pump());
      }
    }
    return actions;
  }

  private answer(job: number, answer: Answer | null): void {
    if (answer === null) return;
    const { tag, lease, offset } = answer;
    const more: unknown[] = [];
    if (tag === "results") {
      const places = [...answer.failures.keys()].sort((a, b) => a - b);
      more.push(answer.seconds, fingerprint(answer.values), places);
    } else if (tag === "returned") {
      more.push(answer.count);
    }
    this.told.push([tag, job, lease, offset, ...more]);
  }

  private digest(): unknown[] {
    const { lending } = this;
    const borrowers = [...this.borrowers];
    const found: unknown[] = [
      lending.workers,
      Number(lending.needsTicks),
      Number(lending.hasIdleBorrower),
      lending.jobs.map(lenderDigest),
      borrowers.map(([number, borrower]) => [number, this.countHeld(borrower)]),
    ];
    if (this.events % FULL_EVERY === 0) {
      found.push(borrowers.map(([, borrower]) => this.doubles(borrower)));
      found.push(lending.jobs.map(jobDigest));
    }
    return found;
  }

  private countHeld(borrower: Borrower): number {
    return this.lending.jobs.reduce((sum, { lender }) => sum + lender.countLent(borrower), 0);
  }

  private doubles(borrower: Borrower): unknown[] {
    const { workers, isPaused, maxBytes, seconds, charged, conduct } = borrower;
    const credits = this.lending.jobs.map((job) => job.creditOf(borrower).itemSeconds);
    return [workers, Number(isPaused), maxBytes, seconds, charged, conduct.pausedUntil, ...credits];
  }
}

function resultsOf(
  lease: number,
  offset: number,
  seconds: number,
  count: number,
  failed: number[],
): FromBorrower {
  const values = encodeItems(Array.from({ length: count }, (_, place) => encoded(offset + place)));
  const why: Failure = { type: "Error", reason: "no", traceback: "", device: "" };
  const failures = new Map(failed.map((place) => [place, why]));
  return { tag: "results", lease, offset, seconds, values, failures };
}

function lenderDigest({ lender }: Job): number[] {
  const { read, queued, inFlight, finished, delivered, ...more } = lender.statistics();
  const { reassigned, ignoredResults, strikes, doubled } = more;
  return [
    read,
    queued,
    inFlight,
    finished,
    delivered,
    reassigned,
    ignoredResults,
    strikes,
    doubled,
  ];
}

function jobDigest({ share, window, lender }: Job): unknown[] {
  const leases = [...lender.holdings.leases.values()].map(({ number, start, missing }) => [
    number,
    start,
    ...missing.flat(),
  ]);
  return [share.seconds, window.meanSize, lender.finishedBytes, leases];
}
