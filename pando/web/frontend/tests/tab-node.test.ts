/** The node of a tab: its workers and a child compute what a parent lends. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Lend, Outgoing, RunInfo } from "../src/messages";
import { NO_FAILURES } from "../src/messages";
import { TabNode } from "../src/node/tab-node";
import { Borrower, Source } from "../src/scheduler";
import { creditForChild } from "../src/tree/child";
import { decode, encode } from "../src/values";

const ASSIGNED: Partial<RunInfo> = {
  timeout: null,
  batchLimit: null,
  silence: 10,
  speculate: true,
};

/** A tab's node with a parent, one worker and children, which the test plays. */
class Tab {
  readonly answers: Outgoing[] = [];
  /** Batches that the worker has, and whether it computes them. */
  readonly batches: { number: number; items: unknown[] }[] = [];
  isWorking = true;
  /** Workers that are to be ended, and others started in their place. */
  readonly replaced: number[] = [];
  readonly node: TabNode;
  private readonly inboxes = new Map<Borrower, Outgoing[]>();
  private isActing = false;

  constructor() {
    this.node = new TabNode(ASSIGNED as RunInfo, "tab", 1, () => this.act());
    this.node.scheduler.addWorker(1);
    this.join();
  }

  join(): void {
    this.node.answerTo((message) => this.answers.push(message));
    this.node.workersChanged();
  }

  private act(): void {
    if (this.isActing) return;
    this.isActing = true;
    const { scheduler } = this.node;
    for (let due = scheduler.take(); due.length > 0; due = scheduler.take()) {
      for (const action of due) {
        if (action.type === "send") this.node.hear(action.message);
        if (action.type === "replace") this.replaced.push(action.worker);
        if (action.type !== "compute") continue;
        const { number, items } = action.batch;
        this.batches.push({ number, items: decode(items) as unknown[] });
      }
    }
    this.isActing = false;
  }

  /** The worker computes what it has, if it computes. */
  work(): void {
    while (this.isWorking && this.batches.length > 0) {
      const { number, items } = this.batches.shift()!;
      const values = encode(items.map((item) => `tab ${item}`));
      const part = { count: items.length, values, failures: NO_FAILURES, seconds: 0.01 };
      expect(this.node.scheduler.addResults(1, number, part)).toBe(true);
      this.act();
    }
  }

  lend(lease: number, ...items: unknown[]): void {
    this.node.lend({ tag: "lend", lease, items: encode(items), isCopy: false });
  }

  addChild(name: string): Borrower {
    const child = new Borrower(name, creditForChild(1), { source: new Source(name, name) });
    this.inboxes.set(child, []);
    this.node.node.add(child, (message) => this.inboxes.get(child)!.push(message));
    this.node.workersChanged();
    return child;
  }

  removeChild(child: Borrower): number {
    const held = this.node.node.remove(child, { lost: "the link has ended" });
    this.node.workersChanged();
    return held;
  }

  inbox(child: Borrower): Outgoing[] {
    return this.inboxes.get(child)!.splice(0);
  }

  /** A child computes what it has been lent. */
  answerFor(child: Borrower): number {
    const lends = this.inbox(child).filter((message): message is Lend => message.tag === "lend");
    for (const { lease, items } of lends) {
      const values = encode((decode(items) as unknown[]).map((item) => `child ${item}`));
      const results = { tag: "results", lease, offset: 0, seconds: 0.01 } as const;
      this.node.node.handle(child, { ...results, values, failures: NO_FAILURES });
    }
    return lends.length;
  }

  /** What the parent has been sent since, results by their place in their lease. */
  told(): unknown[] {
    return this.answers.splice(0).flatMap((answer): unknown[] => {
      if (answer.tag === "want") return [["want", answer.workers]];
      if (answer.tag === "returned") return [["back", answer.lease, answer.offset, answer.count]];
      if (answer.tag !== "results") return [answer];
      const values = decode(answer.values) as unknown[];
      return values.map((value, place) => [answer.lease, answer.offset + place, value]);
    });
  }
}

let tab: Tab;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
  tab = new Tab();
  expect(tab.told()).toEqual([["want", 1]]);
});

afterEach(() => {
  tab.node.close();
  vi.useRealTimers();
});

describe("a tab alone", () => {
  test("its worker computes what the parent lends, and items stay with their leases", () => {
    tab.lend(4, "a", "b");
    tab.lend(5, "c");
    tab.work();
    expect(tab.told()).toEqual([
      [4, 0, "tab a"],
      [4, 1, "tab b"],
      [5, 0, "tab c"],
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });
  test("what the parent wants back goes back, and what runs does not", () => {
    tab.isWorking = false;
    tab.lend(1, ..."abcdefgh");
    tab.node.recall({ tag: "recall", lease: 1, isSuperseded: false });
    const back = tab.told() as [string, number, number, number][];
    expect(back.every(([kind, lease]) => kind === "back" && lease === 1)).toBe(true);
    expect(back.reduce((sum, [, , , count]) => sum + count, 0)).toBe(7);
    expect(tab.node.returned).toBe(7);
    tab.isWorking = true;
    tab.work();
    expect(tab.told()).toEqual([[1, 0, "tab a"]]);
  });
  test("paused it gives back what waits, and what comes", () => {
    tab.isWorking = false;
    tab.lend(1, "a", "b");
    tab.node.announce(0);
    tab.node.scheduler.pause();
    expect(tab.told()).toEqual([
      ["want", 0],
      ["back", 1, 1, 1],
    ]);
    tab.lend(2, "c");
    expect(tab.told()).toEqual([["back", 2, 0, 1]]);
    tab.node.scheduler.resume();
    tab.node.announce(1);
    tab.isWorking = true;
    tab.work();
    tab.lend(3, "d");
    tab.work();
    expect(tab.told()).toEqual([
      ["want", 1],
      [1, 0, "tab a"],
      [3, 0, "tab d"],
    ]);
  });
  test("a worker's item that ends it is the parent's to judge", () => {
    tab.isWorking = false;
    tab.lend(1, "a");
    tab.node.scheduler.removeWorker(1, "out of memory");
    tab["act"]();
    expect(tab.told()).toEqual([{ tag: "struck", lease: 1, offset: 0, reason: "out of memory" }]);
  });
  test("leaving it gives back what waits, takes nothing, and waits for what runs", async () => {
    tab.isWorking = false;
    tab.lend(1, "a", "b", "c");
    let left = false;
    const leaving = tab.node.leave().then(() => {
      left = true;
    });
    tab.lend(2, "d");
    await Promise.resolve();
    expect(left).toBe(false);
    const back = tab.told() as [string, number, number, number][];
    expect(back.reduce((sum, [, , , count]) => sum + count, 0)).toBe(2);
    tab.isWorking = true;
    tab.work();
    await leaving;
    expect(tab.told()).toEqual([[1, 0, "tab a"]]);
  });
});

test("what runs for a parent that is lost makes room for what another one lends", () => {
  tab.isWorking = false;
  tab.lend(1, "a");
  tab.node.answerTo(null);
  tab.join();
  expect(tab.replaced).toEqual([]);
  tab.lend(1, "b");
  expect(tab.replaced).toEqual([1]);
});

test("a borrower that answers at once is sent one message after the other", () => {
  const inside = new Borrower("here", creditForChild(1));
  let depth = 0;
  let deepest = 0;
  tab.isWorking = false;
  tab.node.node.add(inside, (message) => {
    if (message.tag !== "lend") return;
    depth += 1;
    deepest = Math.max(deepest, depth);
    const { lease, items: values } = message;
    const results = { tag: "results", lease, offset: 0, seconds: 0.01 } as const;
    tab.node.node.handle(inside, { ...results, values, failures: NO_FAILURES });
    depth -= 1;
  });
  tab.lend(1, ...Array(50).keys());
  expect(deepest).toBe(1);
  expect(tab.told().length).toBeGreaterThan(40);
});

describe("a tab with a child", () => {
  test("both compute, and the parent knows of both", () => {
    const child = tab.addChild("child");
    expect(tab.told()).toEqual([["want", 2]]);
    tab.lend(1, ...Array(40).keys());
    for (let i = 0; i < 50; i++) {
      tab.work();
      tab.answerFor(child);
    }
    const told = tab.told() as [number, number, string][];
    expect(told.map(([, place]) => place).sort((a, b) => a - b)).toEqual([...Array(40).keys()]);
    expect(new Set(told.map(([, , value]) => value.split(" ")[0]))).toEqual(
      new Set(["tab", "child"]),
    );
    expect(tab.removeChild(child)).toBe(0);
    expect(tab.told()).toEqual([["want", 1]]);
  });
  test("the parent hears at once where somebody has nothing to do", () => {
    const child = tab.addChild("child");
    tab.isWorking = false;
    tab.lend(1, ...Array(8).keys());
    expect(tab.node.isHungry).toBe(false);
    while (tab.answerFor(child) > 0);
    expect(tab.node.isHungry, "the child has nothing").toBe(true);
    tab.lend(2, ...Array(8).keys());
    expect(tab.node.isHungry).toBe(false);
    tab.node.announce(0);
    tab.node.scheduler.removeWorker(1, "paused");
    expect(tab.node.isHungry, "nobody here waits for items").toBe(false);
  });
  test("what a lost child held is computed here", () => {
    const child = tab.addChild("child");
    tab.isWorking = false;
    tab.lend(1, "a", "b", "c", "d");
    expect(tab.removeChild(child)).toBeGreaterThan(0);
    tab.isWorking = true;
    for (let i = 0; i < 10; i++) tab.work();
    expect((tab.told() as [number, number][]).filter(([lease]) => lease === 1).length).toBe(4);
  });
  test("an idle child is lent what waits here behind a long item", () => {
    tab.isWorking = false;
    tab.lend(1, "a", "b");
    const child = tab.addChild("child");
    expect(tab.inbox(child)).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(tab.answerFor(child)).toBe(1);
    expect(tab.told()).toEqual([
      ["want", 2],
      [1, 1, "child b"],
    ]);
  });
  test("paused its own workers hand over to the child", () => {
    const child = tab.addChild("child");
    tab.isWorking = false;
    tab.lend(1, "a", "b", "c", "d", "e", "f");
    tab.node.announce(0);
    tab.node.scheduler.pause();
    tab["act"]();
    for (let i = 0; i < 20; i++) tab.answerFor(child);
    const told = tab.told().filter((each) => Array.isArray(each) && each[0] === 1);
    expect(told.length).toBe(5);
    tab.node.scheduler.interrupt();
    tab["act"]();
    for (let i = 0; i < 20; i++) tab.answerFor(child);
    expect(tab.told()).toEqual([[1, 0, "child a"]]);
    expect(tab.node.returned).toBe(0);
  });
  test("when the parent is lost the child is told, and what it still sends is nobody's", () => {
    const child = tab.addChild("child");
    tab.lend(1, "a", "b", "c", "d");
    const [lend] = tab.inbox(child);
    tab.node.answerTo(null);
    expect(tab.inbox(child)).toContainEqual({
      tag: "recall",
      lease: (lend as Lend).lease,
      isSuperseded: false,
    });
    tab.told();
    tab.join();
    expect(tab.told()).toEqual([["want", 2]]);
    const values = encode(["late"]);
    const late = { tag: "results", offset: 0, seconds: 0, values, failures: NO_FAILURES } as const;
    tab.node.node.handle(child, { ...late, lease: (lend as Lend).lease });
    expect(tab.told()).toEqual([]);
    tab.batches.length = 0; // of the parent that is lost
    tab.node.scheduler.removeWorker(1, "it is gone");
    tab.node.scheduler.addWorker(1);
    tab.lend(1, "e");
    tab.work();
    tab.answerFor(child);
    expect((tab.told() as unknown[][]).map(([lease, place]) => [lease, place])).toEqual([[1, 0]]);
  });
  test("where nobody computes any more, what waits goes back", () => {
    const child = tab.addChild("child");
    tab.node.announce(0);
    tab.lend(1, "a", "b", "c");
    tab.told();
    tab.removeChild(child);
    const told = tab.told() as [string, number, number, number][];
    expect(told[0]).toEqual(["want", 0]);
    expect(told.slice(1).reduce((sum, [, , , count]) => sum + count, 0)).toBe(3);
  });
});
