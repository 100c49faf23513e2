import { encode as pack } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";

import { FLUSH_MILLISECONDS } from "../src/compute/protocol";
import type { Outgoing } from "../src/messages";
import type { Action } from "../src/node/leaf-scheduler";
import { GROWTH, QUEUED_SECONDS, TARGET_SECONDS } from "../src/node/leaf-worker";
import { decode } from "../src/values";
import { randomNumbers } from "./bytes";
import { type Answer, Machine, SEEDS, STEPS, step, TIMEOUT } from "./leaf-scheduler-machine";

test("whatever happens, each item is answered once, or held", () => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const machine = new Machine(randomNumbers(seed), seed % 3 === 0 ? null : TIMEOUT);
    try {
      for (let i = 0; i < STEPS; i++) {
        step(machine);
        machine.act();
        machine.check();
      }
      machine.runToEnd();
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
}, 600_000);

// ---- one by one ----

const sent = (actions: Action[]): Outgoing[] =>
  actions.flatMap((action) => (action.type === "send" ? [action.message] : []));
const batches = (actions: Action[]): { worker: number; items: string[] }[] =>
  actions.flatMap((action) =>
    action.type === "compute"
      ? [{ worker: action.worker, items: decode(action.batch.items) as string[] }]
      : [],
  );
const quiet = (timeout: number | null = TIMEOUT): Machine => new Machine(() => 0.99, timeout);
/** A machine whose one worker takes so many seconds for an item. */
function measured(seconds: number): [Machine, number] {
  const machine = quiet();
  const worker = machine.addWorker();
  machine.lend(1);
  machine.act();
  machine.answer(worker, 1, seconds);
  machine.act();
  return [machine, worker];
}

describe("batches", () => {
  test("the first is of one item, and they grow with the evidence", () => {
    const machine = quiet();
    const worker = machine.addWorker();
    machine.lend(1000);
    const sizes: number[] = [];
    for (let i = 0; i < 5; i++) {
      machine.act();
      const held = machine.workers.get(worker)!.batches[0]!;
      sizes.push(held.items.length);
      machine.answer(worker, held.items.length, 0);
    }
    expect(sizes[0]).toBe(1);
    sizes.slice(1).forEach((size, i) => expect(size).toBeLessThanOrEqual(sizes[i]! * GROWTH));
    expect(Math.max(...sizes)).toBeGreaterThan(50);
  });
  test("long items go alone, and none waits behind them", () => {
    const [machine] = measured(1);
    machine.lend(10);
    expect(batches(machine.act()).map(({ items }) => items.length)).toEqual([1]);
  });
  test("a batch takes about as long as it should", () => {
    const [machine, worker] = measured(TARGET_SECONDS / 5);
    machine.lend(100);
    const [first, second] = batches(machine.act());
    expect(first!.items.length).toBe(5);
    expect(second!.worker).toBe(worker);
    expect(first!.items.length * (TARGET_SECONDS / 5)).toBeLessThanOrEqual(QUEUED_SECONDS);
  });
  test("whoever needs more gets all it should have, if nobody else needs any", () => {
    const [machine, first] = measured(TARGET_SECONDS / 5);
    const second = machine.addWorker();
    machine.lend(2);
    machine.act();
    for (const worker of [first, second]) machine.answer(worker, 1, TARGET_SECONDS / 5);
    machine.lend(20);
    expect(batches(machine.act()).map(({ items }) => items.length)).toEqual([5, 5, 5, 5]);
    machine.lend(9);
    machine.answer(first, 5, TARGET_SECONDS);
    expect(batches(machine.act()).map(({ items }) => items.length)).toEqual([5]);
    machine.answer(second, 5, TARGET_SECONDS);
    expect(batches(machine.act()).map(({ items }) => items.length)).toEqual([4]);
  });
  test("few items are shared out", () => {
    const [machine] = measured(0);
    machine.addWorker();
    machine.lend(2);
    expect(batches(machine.act()).map(({ items }) => items.length)).toEqual([1, 1]);
  });
});

describe("workers that are lost", () => {
  test("a single item is struck", () => {
    const machine = quiet();
    const worker = machine.addWorker();
    const lease = machine.lend(1);
    machine.act();
    machine.removeWorker(worker);
    expect(sent(machine.act())).toEqual([
      { tag: "struck", lease, offset: 0, reason: "it is gone" },
    ]);
  });
  test("the items of a larger batch go one by one, and only the guilty one is struck", () => {
    const [machine, worker] = measured(0);
    const lease = machine.lend(6);
    machine.act();
    const [first] = machine.workers.get(worker)!.batches;
    machine.answer(worker, 2, 0);
    machine.act();
    const quarantined = first!.items.length - 2;
    machine.removeWorker(worker);
    let next = machine.addWorker();
    for (let i = 0; i < quarantined; i++) {
      expect(batches(machine.act())).toEqual([{ worker: next, items: [`${lease}.${2 + i}`] }]);
      if (i === 1) {
        machine.removeWorker(next);
        expect(sent(machine.act())).toEqual([
          { tag: "struck", lease, offset: 3, reason: "it is gone" },
        ]);
        next = machine.addWorker();
      } else {
        machine.answer(next, 1);
      }
    }
    machine.runToEnd();
    expect(machine.answers.get(lease)!.filter((how) => how === "struck").length).toBe(1);
  });
});

describe("time", () => {
  test("an item that takes too long fails alone, and the others come", () => {
    const [machine, worker] = measured(0);
    const lease = machine.lend(4);
    machine.act();
    machine.time += TIMEOUT + (1.1 * FLUSH_MILLISECONDS) / 1000;
    machine.scheduler.checkTime();
    machine.scheduler.checkTime();
    expect(machine.act()).toEqual([{ type: "replace", worker }]);
    machine.removeWorker(worker);
    const next = machine.addWorker();
    machine.act();
    machine.time += TIMEOUT + (1.1 * FLUSH_MILLISECONDS) / 1000;
    machine.scheduler.checkTime();
    expect(machine.act()).toEqual([{ type: "replace", worker: next }]);
    machine.removeWorker(next);
    const [failed] = sent(machine.act());
    expect(failed).toMatchObject({ tag: "results", lease, offset: 0 });
    expect([...(failed as Answer & { tag: "results" }).failures.values()][0]).toMatchObject({
      type: "TimeoutError",
      device: "device",
    });
    machine.runToEnd();
  });
  test("each item has the whole time, and so has a batch that waited", () => {
    const [machine, worker] = measured(0);
    machine.lend(20);
    machine.act();
    expect(machine.workers.get(worker)!.batches.length).toBe(2);
    for (const { items } of [...machine.workers.get(worker)!.batches]) {
      for (let i = 0; i < items.length; i++) {
        machine.time += 0.9 * TIMEOUT;
        machine.scheduler.checkTime();
        machine.answer(worker, 1, 0);
      }
    }
    expect(machine.act().filter((action) => action.type === "replace")).toEqual([]);
  });
  test("results that a worker has not sent yet are not the running item's fault", () => {
    const [machine, worker] = measured(0);
    machine.lend(1);
    machine.act();
    machine.time += TIMEOUT + (0.9 * FLUSH_MILLISECONDS) / 1000;
    machine.scheduler.checkTime();
    expect(machine.act()).toEqual([]);
    machine.time += (0.2 * FLUSH_MILLISECONDS) / 1000;
    machine.scheduler.checkTime();
    expect(machine.act()).toEqual([{ type: "replace", worker }]);
  });
  test("there is no limit where none was given", () => {
    const machine = quiet(null);
    machine.addWorker();
    machine.lend(1);
    machine.act();
    machine.time += 1e9;
    machine.scheduler.checkTime();
    expect(machine.act()).toEqual([]);
  });
});

describe("the parent", () => {
  test("what waits is given back at once when it asks, or when this node leaves", () => {
    for (const leave of [false, true]) {
      const [machine, worker] = measured(1);
      const lease = machine.lend(5);
      machine.act();
      if (leave) machine.leave();
      const actions = leave ? machine.act() : machine.recall(lease);
      expect(sent(actions)).toEqual([{ tag: "returned", lease, offset: 1, count: 4 }]);
      machine.answer(worker, 1);
      machine.act();
      expect(machine.unanswered()).toEqual([]);
    }
  });
  test("a worker whose items are not wanted any more is ended as soon as others wait", () => {
    const [machine] = measured(1);
    const lease = machine.lend(1);
    machine.act();
    expect(machine.recall(lease, true)).toEqual([]);
    machine.lend(1);
    expect(machine.act().map(({ type }) => type)).toEqual(["replace"]);
  });
  test("a worker that is to be ended is ended once, and one with wanted items is not", () => {
    const [machine] = measured(1);
    const lease = machine.lend(1);
    machine.act();
    machine.recall(lease, false);
    machine.lend(1);
    expect(machine.act()).toEqual([]);
    expect(machine.recall(lease, true).map(({ type }) => type)).toEqual(["replace"]);
    machine.lend(1);
    expect(machine.act()).toEqual([]);
  });
  test("what comes when this node is leaving is neither computed nor given back, to come again", () => {
    const machine = quiet();
    machine.addWorker();
    machine.leave();
    machine.lend(5);
    expect(machine.act()).toEqual([]);
  });
  test("a worker that is ready twice is one worker", () => {
    const [machine, worker] = measured(0);
    machine.lend(10);
    machine.act();
    machine.scheduler.addWorker(worker);
    machine.answer(worker, 1);
    machine.check();
  });
  test("a new one hears nothing of what the old one has lent", () => {
    const [machine, worker] = measured(0);
    machine.lend(100);
    machine.act();
    machine.answer(worker, 1);
    machine.forget(); // with an answer that has not been sent
    expect(machine.act()).toEqual([]);
    machine.answer(worker, 100);
    expect(sent(machine.act())).toEqual([]);
    machine.removeWorker(worker);
    expect(machine.act()).toEqual([]);
    const lease = machine.lend(3);
    machine.runToEnd();
    expect(machine.answers.get(lease)).toEqual(["results", "results", "results"]);
  });
  test("an empty lease asks for nothing", () => {
    const machine = quiet();
    machine.addWorker();
    machine.lend(0);
    machine.lend(1);
    machine.runToEnd();
  });
  test("items that are no array are refused", () => {
    expect(() => quiet().scheduler.lend(1, pack({ a: 1 }))).toThrow("not an array");
  });
});
