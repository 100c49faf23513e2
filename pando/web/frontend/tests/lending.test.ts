/** A node's lending: devices that return, withhold or garble what they are lent, and what it costs the others. */

import { describe, expect, test } from "vitest";

import { MalformedError } from "../src/errors";
import type { Lend, Outgoing } from "../src/messages";
import { Borrower, type Items, Source, Window } from "../src/scheduler";
import type { Action } from "../src/tree/actions";
import { creditForChild } from "../src/tree/child";
import { Job } from "../src/tree/job";
import { Lending, type LendingOptions } from "../src/tree/lending";
import type { Source as ItemSource, Nothing } from "../src/tree/source";
import { decode, encode } from "../src/values";

class HandSource implements ItemSource {
  hasEnded = true;

  constructor(private items: unknown[]) {}

  read(limit: number): Items | Nothing {
    if (this.items.length === 0) return this.hasEnded ? "end of input" : "would block";
    return this.items.splice(0, limit).map((item) => encode(item));
  }

  remaining(): null {
    return null;
  }

  close(): void {}
}

/** A node with an input, and a clock that the test moves. */
class Root {
  now = 0;
  readonly said: string[] = [];
  readonly lending: Lending;
  readonly job: Job;
  private readonly inboxes = new Map<Borrower, Outgoing[]>();

  constructor(items: unknown[], options: LendingOptions = {}) {
    this.lending = new Lending(() => this.now, options);
    this.job = new Job(new HandSource(items), this.lending.newLender(), new Window());
    this.do(this.lending.openJob(this.job));
  }

  do(actions: Action[]): void {
    for (const action of actions) {
      if (action.type === "send") this.inboxes.get(action.borrower)?.push(action.message);
      if (action.type === "tell") this.said.push(action.text);
    }
  }

  add(name: string, isLocal = false, maxBytes = 2 ** 30): Borrower {
    const source = isLocal ? {} : { source: new Source(name, `address of ${name}`) };
    const borrower = new Borrower(name, creditForChild(1), { maxBytes, ...source });
    this.inboxes.set(borrower, []);
    this.do(this.lending.add(borrower));
    return borrower;
  }

  hear(borrower: Borrower, message: Parameters<Lending["handle"]>[1]): void {
    this.do(this.lending.handle(borrower, message));
  }

  wait(seconds: number): void {
    this.now += seconds;
    this.do(this.lending.tick());
    this.do(this.lending.balance());
  }

  /** What a borrower has been sent of a kind; it is not given again. */
  take<Tag extends Outgoing["tag"]>(borrower: Borrower, tag: Tag): (Outgoing & { tag: Tag })[] {
    const inbox = this.inboxes.get(borrower)!;
    const found = inbox.filter((message) => message.tag === tag);
    this.inboxes.set(
      borrower,
      inbox.filter((message) => message.tag !== tag),
    );
    return found as (Outgoing & { tag: Tag })[];
  }

  answer(borrower: Borrower, { lease, items }: Lend): void {
    const values = encode((decode(items) as number[]).map((item) => item ** 2));
    const failures = new Map();
    this.hear(borrower, { tag: "results", lease, offset: 0, seconds: 0.001, values, failures });
  }

  /** Let good borrowers compute all that they are lent. */
  compute(...borrowers: Borrower[]): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const borrower of borrowers) {
        for (const lend of this.take(borrower, "lend")) {
          busy = true;
          this.answer(borrower, lend);
        }
      }
    }
  }

  results(): unknown[] {
    const results: unknown[] = [];
    const { lender } = this.job;
    for (let batch = lender.take(); batch !== undefined; batch = lender.take()) {
      const { values, failures } = batch;
      [...(values as Iterable<Uint8Array>)].forEach((value, place) =>
        results.push(failures.get(place) ?? decode(value)),
      );
    }
    return results;
  }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, place) => place);
const squares = (count: number): number[] => numbers(count).map((item) => item ** 2);

describe("bad devices", () => {
  test("who returns what it is lent waits longer each time", () => {
    const root = new Root(numbers(100));
    const hostile = root.add("hostile");
    const pauses: number[] = [];
    for (let i = 0; i < 8; i++) {
      const returnedAt = root.now;
      for (const { number, items } of root.job.lender.leasesOf(hostile)) {
        root.hear(hostile, { tag: "returned", lease: number, offset: 0, count: items.length });
      }
      root.take(hostile, "lend");
      expect(root.lending.needsTicks).toBe(true);
      while (root.job.lender.countLent(hostile) === 0) root.wait(0.05);
      pauses.push(root.now - returnedAt);
    }
    expect(pauses.at(-1)!).toBeGreaterThan(50 * pauses[0]!);
    const good = root.add("good");
    root.do(root.lending.remove(hostile));
    root.compute(good);
    expect(root.results()).toEqual(squares(100));
  });
  test("who does not answer in time loses its oldest lease without a strike", () => {
    const root = new Root(numbers(100), { itemTimeout: 2, silence: 1 });
    const [silent, good] = [root.add("silent"), root.add("good")];
    for (let i = 0; i < 200; i++) {
      root.hear(silent, { tag: "want", workers: 1, maxValue: 0 }); // it is alive
      root.wait(0.1);
      root.compute(good);
    }
    expect(root.results()).toEqual(squares(100));
    expect(root.job.lender.statistics().strikes).toBe(0);
    expect(root.take(silent, "recall").length).toBeGreaterThan(0);
  });
  test("time in which this tab stood still is nobody's silence", () => {
    const root = new Root(numbers(100), { itemTimeout: 2 });
    const slow = root.add("slow");
    const held = root.job.lender.countLent(slow);
    root.now = 100;
    root.do(root.lending.tick(100));
    expect(root.job.lender.countLent(slow)).toBe(held);
  });
  test("a device that only loses its workers is set aside", () => {
    const root = new Root(numbers(100));
    const bad = root.add("bad\u202e");
    for (let i = 0; i < 5; i++) {
      const [lease] = root.job.lender.leasesOf(bad);
      root.hear(bad, { tag: "struck", lease: lease!.number, offset: 0, reason: "killed" });
    }
    expect(root.said).toEqual(["bad is set aside for a while: lost 5 workers, computed nothing"]);
    const good = root.add("good");
    for (const { number } of root.job.lender.leasesOf(bad)) root.job.lender.revoke(bad, number);
    root.compute(good);
    root.do(root.lending.pump());
    root.compute(good);
    expect(root.results().slice(1)).toEqual(squares(100).slice(1));
  });
  test("results that do not fit together are malformed", () => {
    const root = new Root(numbers(4));
    const child = root.add("child");
    const [lend] = root.take(child, "lend");
    const why = { type: "E", reason: "", traceback: "", device: "" };
    const results = { tag: "results", lease: lend!.lease, offset: 0, seconds: 0 } as const;
    for (const [values, places] of [
      [encode([]), []],
      [encode([1]), [1]],
      [encode(1), []],
    ] as const) {
      const failures = new Map(places.map((place: number) => [place, why]));
      expect(() => root.hear(child, { ...results, values, failures })).toThrow(MalformedError);
    }
    root.compute(child);
    expect(root.job.lender.statistics().ignoredResults).toBe(0);
  });
});

describe("large items", () => {
  test("one that is too large for some is lent to who can take it", () => {
    const root = new Root([], { speculates: false });
    const large = "x".repeat(10_000);
    const job = new Job(new HandSource([large, 1, 2]), root.lending.newLender(), new Window());
    root.do(root.lending.openJob(job));
    const [small, own] = [root.add("small", false, 1000), root.add("own", true)];
    for (let i = 0; i < 10; i++) {
      for (const borrower of [small, own]) {
        for (const lend of root.take(borrower, "lend")) {
          const items = decode(lend.items) as unknown[];
          if (borrower === small) expect(items).not.toContain(large);
          root.answer(borrower, { ...lend, items: encode(items.map((item) => `${item}`.length)) });
        }
      }
    }
    expect(job.lender.finished || job.lender.ready).toBe(true);
    expect(job.lender.unfinished).toBe(3);
    expect(job.lender.lent).toBe(0);
  });
  test("one that is too large for all fails with a sentence", () => {
    const root = new Root(["x".repeat(10_000), 1]);
    const small = root.add("small", false, 1000);
    expect(root.results(), "it has not said what it can take").toEqual([]);
    root.hear(small, { tag: "want", workers: 1, maxValue: 0 });
    const [failure] = root.results();
    expect(failure).toMatchObject({
      reason: "the item has 10,008 bytes, and nobody here takes more than 1,000",
    });
  });
});

describe("what holds up", () => {
  test("what a silent device holds is computed by another", () => {
    const root = new Root(numbers(4));
    const [silent, good] = [root.add("silent"), root.add("good")];
    const held = root.job.lender.countLent(silent);
    root.compute(good);
    for (let i = 0; i < 20; i++) {
      root.wait(0.5);
      root.compute(good);
    }
    expect(root.results()).toEqual(squares(4));
    expect(root.job.lender.statistics().doubled).toBe(held);
    expect(root.take(silent, "recall").some(({ isSuperseded }) => isSuperseded)).toBe(true);
  });
  test("a copy is said to be one, and is not copied again below", () => {
    const root = new Root(numbers(4));
    const [slow, good] = [root.add("slow"), root.add("good")];
    root.compute(good);
    root.wait(2);
    const [copy] = root.take(good, "lend");
    expect(copy!.isCopy).toBe(true);
    for (const lend of root.take(slow, "lend")) root.answer(slow, lend);
    expect(root.results()).toEqual(squares(4));
    const recalls = root.take(good, "recall");
    expect(recalls).toEqual([{ tag: "recall", lease: copy!.lease, isSuperseded: true }]);
    root.answer(good, copy!);
    expect(root.results()).toEqual([]);
    expect(root.job.lender.statistics().ignoredResults).toBe(1);
  });
  test.each([
    [true, true, false],
    [false, false, false],
    [false, true, true],
  ])("nothing is lent twice where it should not be: %s %s %s", (isLocal, speculates, isFinal) => {
    const root = new Root(numbers(4), { speculates });
    root.job.lender.isFinal = () => isFinal;
    root.add("silent", isLocal);
    const good = root.add("good", isLocal);
    for (let i = 0; i < 20; i++) {
      root.compute(good);
      root.wait(5);
    }
    expect(root.job.lender.statistics().doubled).toBe(0);
    expect(root.results().length).toBeLessThan(4);
  });
});
