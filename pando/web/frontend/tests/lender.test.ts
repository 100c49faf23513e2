/** The lender's promises, one by one, as `tests/scheduler/test_lender.py` has them. */

import { describe, expect, test } from "vitest";

import {
  AttemptsExhausted,
  Credit,
  type Lease,
  LeaseNumbers,
  Lender,
  Source,
} from "../src/scheduler";
import { validateState } from "./lender-machine";

const NONE = new Map<number, unknown>();
const squares = (items: Iterable<unknown>): number[] => [...items].map((item) => Number(item) ** 2);

function lenderWith(count: number, names: string, ordered = true): Lender {
  const lender = new Lender({ ordered });
  for (const name of names) lender.join(name, new Source(name, name));
  lender.addItems(Array.from({ length: count }, (_, place) => place));
  return lender;
}

function lend(lender: Lender, name: string, limit: number): Lease {
  const lease = lender.lend(name, limit);
  expect(lease).toBeDefined();
  return lease!;
}

const answer = (lender: Lender, name: string, lease: Lease): boolean =>
  lender.addResults(name, lease.number, 0, squares(lease.items), NONE);

/** Let a borrower that never fails compute all that waits. */
function finish(lender: Lender, name: string, limit = 4): void {
  for (let lease = lender.lend(name, limit); lease; lease = lender.lend(name, limit)) {
    expect(answer(lender, name, lease)).toBe(true);
  }
}

function taken(lender: Lender): unknown[] {
  const results: unknown[] = [];
  for (let batch = lender.take(); batch; batch = lender.take()) results.push(...batch.values);
  return results;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, place) => place);

describe("order and windows", () => {
  test("1: nothing may be read past the window", () => {
    const lender = new Lender();
    lender.join("a", new Source("a", "a"));
    expect(lender.readLimit(10)).toBe(10);
    lender.addItems(numbers(10));
    expect(lender.readLimit(10)).toBe(0);
    finish(lender, "a", 3);
    expect(lender.readLimit(10), "finished is not handed out").toBe(0);
    lender.take();
    expect(lender.readLimit(10)).toBe(3);
  });
  test("4: results come in the order of the items", () => {
    const lender = lenderWith(6, "ab");
    const [slow, fast] = [lend(lender, "a", 3), lend(lender, "b", 3)];
    lender.addResults("b", fast.number, 0, ["d", "e", "f"], NONE);
    expect(lender.take()).toBeUndefined();
    lender.addResults("a", slow.number, 0, ["a"], NONE);
    lender.addResults("a", slow.number, 2, ["c"], NONE);
    expect(taken(lender)).toEqual(["a"]);
    lender.addResults("a", slow.number, 1, ["b"], NONE);
    expect(taken(lender)).toEqual(["b", "c", "d", "e", "f"]);
  });
  test("4: or as they come", () => {
    const lender = lenderWith(4, "ab", false);
    lend(lender, "a", 2);
    const fast = lend(lender, "b", 2);
    lender.addResults("b", fast.number, 0, ["c", "d"], NONE);
    expect(lender.take()).toMatchObject({ start: 2, items: [2, 3], values: ["c", "d"] });
  });
  test("8: the end comes after the input and all borrowers", () => {
    const lender = lenderWith(2, "ab");
    const [first, second] = [lend(lender, "a", 1), lend(lender, "b", 1)];
    lender.endInput();
    answer(lender, "a", first);
    expect(taken(lender)).toEqual([0]);
    expect(lender.finished).toBe(false);
    answer(lender, "b", second);
    expect(lender.finished, "finished, but not handed out").toBe(false);
    expect(taken(lender)).toEqual([1]);
    expect(lender.finished).toBe(true);
  });
});

describe("what comes back", () => {
  test("5: unfinished items of a lost borrower migrate, before anything new", () => {
    const lender = lenderWith(10, "ab");
    const lost = lend(lender, "a", 6);
    lender.addResults("a", lost.number, 0, [0, 1], NONE);
    lender.leave("a");
    const again = lend(lender, "b", 10);
    expect([again.start, again.items]).toEqual([2, [2, 3, 4, 5]]);
    expect(lender.addResults("a", lost.number, 2, ["late"], NONE)).toBe(false);
    answer(lender, "b", again);
    finish(lender, "b");
    expect(taken(lender)).toEqual(squares(numbers(10)));
    expect(lender.statistics()).toMatchObject({ ignoredResults: 1, reassigned: 4 });
  });
  test("an input that is returned item by item is lent in one batch again", () => {
    const lender = new Lender();
    lender.join("hostile", new Source("h", "h"));
    lender.addItems(numbers(8192));
    const lease = lend(lender, "hostile", 8192);
    for (const first of [0, 1]) {
      for (let offset = first; offset < 8192; offset += 2) {
        expect(lender.giveBack("hostile", lease.number, offset, 1)).toBe(true);
      }
    }
    lender.join("good", new Source("g", "g"));
    expect(lend(lender, "good", 8192).items).toEqual(numbers(8192));
  });
  test("what is not the borrower's own is refused", () => {
    const lender = lenderWith(4, "ab");
    const lease = lend(lender, "a", 4);
    expect(lender.giveBack("b", lease.number, 0, 1)).toBe(false);
    expect(lender.recordCrash("b", lease.number, 0, "lost")).toBe(false);
    expect(lender.giveBack("a", lease.number, 1, 2)).toBe(true);
    expect(lender.giveBack("a", lease.number, 0, 2), "one has gone back already").toBe(false);
    expect(lease.missing).toEqual([
      [0, 1],
      [3, 4],
    ]);
    expect([lender.countLent("a"), lease.left, lender.lent]).toEqual([2, 2, 2]);
    validateState(lender);
  });
  test("what waits of some indices leaves the stream undone", () => {
    const lender = lenderWith(10, "a", false);
    const lease = lend(lender, "a", 6);
    lender.giveBack("a", lease.number, 1, 3);
    expect(lender.cancelPending(2, 8)).toEqual([
      [2, 2],
      [6, 2],
    ]);
    expect(lender.waitingIndices()).toEqual([1, 8, 9]);
    expect(lend(lender, "a", 9).items).toEqual([1]);
    expect(lend(lender, "a", 9).items).toEqual([8, 9]);
    expect(lender.unfinished).toBe(6);
  });
});

describe("7: losses", () => {
  test("three strikes fail the item and no other", () => {
    const lender = lenderWith(3, "abcd");
    for (const name of "abc") {
      const lease = lend(lender, name, 3);
      const place = 1 - lease.start;
      if (place === 0) expect(lease.items, "it is lent alone").toEqual([1]);
      else lender.addResults(name, lease.number, 0, [0], NONE);
      expect(lender.recordCrash(name, lease.number, place, "segfault")).toBe(true);
      lender.leave(name);
    }
    finish(lender, "d");
    const batches = [lender.take(), lender.take(), lender.take()];
    expect(batches.map((batch) => [...batch!.failures])).toEqual([
      [],
      [[0, new AttemptsExhausted(3, "segfault")]],
      [],
    ]);
  });
  test("what a lost device held is suspect although another holds it as well", () => {
    const lender = lenderWith(3, "abc", false);
    const lease = lend(lender, "a", 3);
    const copy = lender.double("b", lease, 1);
    lender.leave("a", 0, { lost: "the tab has crashed" });
    expect(lender.giveBack("b", copy.number, 0, 1)).toBe(true);
    const again = lend(lender, "c", 3);
    expect([again.items, again.isAlone]).toEqual([[0], true]);
    lender.leave("c", 0, { lost: "the tab has crashed" });
    expect(lender.statistics().strikes, "it was alone there").toBe(1);
    validateState(lender);
  });
  test("the first answer of two counts", () => {
    const lender = lenderWith(2, "ab");
    const lease = lend(lender, "a", 2);
    const copy = lender.double("b", lease, 1);
    expect(answer(lender, "b", copy)).toBe(true);
    expect(lender.addResults("a", lease.number, 0, [0, 1], NONE), "one of them is missing").toBe(
      true,
    );
    expect(taken(lender)).toEqual([0, 1]);
    expect(lender.statistics()).toMatchObject({ doubled: 1, ignoredResults: 1 });
    expect(lender.takeSuperseded()).toEqual([]);
  });
  test("leases of two lenders are told apart by their numbers", () => {
    const shared = new LeaseNumbers();
    const leases = [0, 1].map(() => {
      const lender = new Lender({ numbers: shared });
      lender.join("a", new Source("a", "a"));
      lender.addItems([1]);
      return lend(lender, "a", 1).number;
    });
    expect(leases).toEqual([1, 2]);
  });
});

describe("6: credit", () => {
  const warmedUp = (seconds: number): Credit => {
    const credit = new Credit();
    for (let i = 0; i < 20; i++) {
      const size = credit.batchSize();
      credit.completed(size, size * seconds);
    }
    return credit;
  };
  test("short items are lent in large batches and long ones alone", () => {
    expect(new Credit().batchSize()).toBe(1);
    expect(warmedUp(1e-7).batchSize()).toBe(8192);
    expect(warmedUp(0.001).batchSize()).toBe(30);
    expect(warmedUp(10).batchSize()).toBe(1);
  });
  test("batches shrink towards the end, and where items are large", () => {
    expect(warmedUp(0.001).batchSize({ remaining: 40, borrowers: 2 })).toBe(10);
    expect(warmedUp(1e-6).batchSize({ itemBytes: (256 * 1024) / 3 })).toBe(3);
    expect(warmedUp(1e-6).batchSize({ limit: 7 })).toBe(7);
  });
  test("times that are none count as none, or as very long", () => {
    const credit = new Credit();
    credit.completed(1, NaN);
    expect(credit.itemSeconds).toBe(0);
    credit.completed(1, Number.POSITIVE_INFINITY);
    expect(credit.itemSeconds).toBe(1e6);
  });
});
