import { encode as pack } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";

import { FLUSH_MILLISECONDS } from "../src/compute/protocol";
import type { Failures, Outgoing } from "../src/messages";
import { type Action, GROWTH, Lending, QUEUED_SECONDS, TARGET_SECONDS } from "../src/node/lending";
import { decode, encode } from "../src/values";
import { randomNumbers } from "./bytes";

const NONE: Failures = new Map();
const STEPS = 200;
const SEEDS = Number(process.env["SEEDS"] ?? 100);
const TIMEOUT = 5;

/** A batch that was handed to a worker of the test's. */
interface Held {
  number: number;
  items: string[];
  done: number;
}

interface TestWorker {
  batches: Held[];
  /** The lending has asked for another in its place. */
  doomed: boolean;
}

/** For what is looked at so often that `expect` is too slow. */
function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

type Answer = Outgoing & { tag: "results" | "returned" | "struck" };

/** The lending, and the parent and the workers around it: every action is checked as it comes. */
class Machine {
  time = 0;
  readonly lending: Lending;
  readonly workers = new Map<number, TestWorker>();
  /** How the items of each lease were answered; an item is named LEASE.PLACE. */
  readonly answers = new Map<number, (string | null)[]>();
  readonly values = new Map<string, unknown>();
  /** Items of batches that were lost: no two may run in one batch again. */
  readonly suspects = new Set<string>();
  paused = false;
  private nextWorker = 1;
  private nextLease = 1;

  constructor(
    readonly random: () => number,
    timeout: number | null = TIMEOUT,
  ) {
    this.lending = new Lending(() => this.time, timeout, "device");
  }

  below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  pick<T>(from: Iterable<T>): T | undefined {
    const all = [...from];
    return all[this.below(all.length)];
  }

  // ---- what happens ----

  lend(count: number): number {
    const lease = this.nextLease++;
    // What comes when this node is leaving goes back with the link.
    if (!this.paused) this.answers.set(lease, Array<string | null>(count).fill(null));
    this.lending.lend(lease, encode(Array.from({ length: count }, (_, i) => `${lease}.${i}`)));
    return lease;
  }

  recall(lease: number): void {
    this.lending.recall(lease);
  }

  addWorker(): number {
    const worker = this.nextWorker++;
    this.workers.set(worker, { batches: [], doomed: false });
    this.lending.addWorker(worker);
    return worker;
  }

  removeWorker(id: number): void {
    const [current] = this.workers.get(id)!.batches;
    this.workers.delete(id);
    const rest = current?.items.slice(current.done) ?? [];
    if (rest.length > 1) rest.forEach((item) => this.suspects.add(item));
    this.lending.removeWorker(id, "it is gone");
  }

  /** A worker gives results of its first batch, the next `count` ones. */
  answer(id: number, count: number, seconds = 0.01): void {
    const held = this.workers.get(id)!.batches[0]!;
    const items = held.items.slice(held.done, held.done + count);
    held.done += items.length;
    const values = encode(items.map((item) => `result of ${item}`));
    const failures = new Map([[0, { type: "E", reason: items[0] ?? "", traceback: "", device: "" }]]);
    const part = { count: items.length, values, failures: this.random() < 0.2 ? failures : NONE, seconds };
    if (held.done === held.items.length) this.workers.get(id)!.batches.shift();
    expect(this.lending.addResults(id, held.number, part)).toBe(true);
  }

  endEarly(id: number): void {
    const held = this.workers.get(id)!.batches.shift()!;
    expect(this.lending.endEarly(id, held.number)).toBe(true);
  }

  /** Answers that make no sense: of others' batches, of old ones, too many results or none. */
  answerWrongly(id: number): void {
    const [held, queued] = this.workers.get(id)?.batches ?? [];
    const of = (count: number): { count: number; values: Uint8Array; failures: Failures; seconds: number } => ({
      count, values: encode(Array(count).fill("wrong")), failures: NONE, seconds: 1,
    });
    const rest = held ? held.items.length - held.done : 0;
    expect(this.lending.addResults(id, held?.number ?? 1, of(rest + 1))).toBe(false);
    expect(this.lending.addResults(id, held?.number ?? 1, of(0))).toBe(false);
    for (const number of [0, queued?.number ?? 0, 1e9]) {
      expect(this.lending.addResults(id, number, of(1))).toBe(false);
      expect(this.lending.endEarly(id, number)).toBe(false);
    }
    expect(this.lending.addResults(1e9, held?.number ?? 1, of(1))).toBe(false);
    expect(this.lending.endEarly(1e9, held?.number ?? 1)).toBe(false);
    // Whoever ends a batch without having done any of it would be asked for ever.
    if (held?.done === 0) expect(this.lending.endEarly(id, held.number)).toBe(false);
    this.lending.removeWorker(1e9, "it never was");
  }

  pause(): void {
    this.paused = true;
    this.lending.pause();
  }

  forget(): void {
    this.paused = false;
    this.lending.forget();
    this.answers.clear();
    this.suspects.clear();
  }

  // ---- what is done ----

  act(): Action[] {
    const actions = this.lending.take();
    for (const action of actions) {
      if (action.do === "send") this.hear(action.message as Answer);
      else if (action.do === "replace") this.mustBeOverdue(action.worker);
      else this.start(action.worker, action.batch.number, decode(action.batch.items) as string[]);
    }
    return actions;
  }

  private mustBeOverdue(id: number): void {
    const worker = this.workers.get(id)!;
    expect(worker.batches.length).toBeGreaterThan(0);
    worker.doomed = true;
  }

  private start(id: number, number: number, items: string[]): void {
    const worker = this.workers.get(id);
    if (worker === undefined) throw new Error("a batch for a worker that is gone");
    expect(items.length).toBeGreaterThan(0);
    expect(worker.doomed).toBe(false);
    expect(worker.batches.length).toBeLessThan(2);
    expect(this.paused).toBe(false);
    if (items.some((item) => this.suspects.has(item))) {
      expect(items.length).toBe(1);
      expect(worker.batches.length).toBe(0);
    }
    worker.batches.push({ number, items, done: 0 });
  }

  private hear(message: Answer): void {
    const answered = this.answers.get(message.lease);
    if (answered === undefined) throw new Error("an answer to what this parent has not lent");
    const note = (place: number, how: string): void => {
      must(answered[place] === null, "an answer to what is unknown or was answered before");
      answered[place] = how;
    };
    if (message.tag === "struck") {
      note(message.offset, "struck");
    } else if (message.tag === "returned") {
      expect(message.count).toBeGreaterThan(0);
      for (let i = 0; i < message.count; i++) note(message.offset + i, "returned");
    } else {
      const values = decode(message.values) as unknown[];
      expect(values.length).toBeGreaterThan(0);
      for (const why of message.failures.values()) expect(why.device).toBe("device");
      values.forEach((value, i) => {
        const place = message.offset + i;
        note(place, "results");
        const timedOut = message.failures.get(i)?.type === "TimeoutError";
        must(value === (timedOut ? null : `result of ${message.lease}.${place}`), "another item's result");
      });
    }
  }

  // ---- what always holds ----

  held(): string[] {
    return [...this.workers.values()].flatMap(({ batches }) =>
      batches.flatMap(({ items, done }) => items.slice(done)),
    );
  }

  unanswered(): string[] {
    return [...this.answers].flatMap(([lease, answered]) =>
      answered.flatMap((how, place) => (how === null ? [`${lease}.${place}`] : [])),
    );
  }

  check(): void {
    const held = this.held();
    const current = held.filter((item) => this.answers.has(Number(item.split(".")[0])));
    must(new Set(current).size === current.length, "an item in two places");
    const unanswered = new Set(this.unanswered());
    must(current.every((item) => unanswered.has(item)), "an answered item is computed");
    const busy = [...this.workers.values()].some(({ batches }) => batches.length > 0);
    must(this.lending.busy === busy, "it is busy, or is not");
    const hungry = this.workers.size === 0 || [...this.workers.values()].some(({ batches }) => batches.length === 0);
    must(this.lending.idle === hungry, "somebody is idle, or nobody is");
    const idle = [...this.workers.values()].some(({ batches, doomed }) => batches.length === 0 && !doomed);
    if (idle || this.paused) must(unanswered.size === current.length, "somebody is idle while something waits");
  }


  /** Everybody works on until nothing is left. */
  runToEnd(): void {
    if (this.paused) this.forget();
    if (this.workers.size === 0) this.addWorker();
    for (let round = 0; round < 10_000; round++) {
      this.act();
      const busy = [...this.workers].find(([, { batches }]) => batches.length > 0);
      if (busy === undefined) break;
      const [id, { batches, doomed }] = busy;
      if (doomed) {
        this.removeWorker(id);
        this.addWorker();
        continue;
      }
      this.answer(id, batches[0]!.items.length);
    }
    expect(this.unanswered()).toEqual([]);
  }
}

/** One step of many that may happen. */
function step(machine: Machine): void {
  const busy = [...machine.workers].filter(([, { batches, doomed }]) => batches.length > 0 && !doomed);
  const [id, worker] = machine.pick(busy) ?? [0, null];
  const held = worker?.batches[0];
  const rest = held ? held.items.length - held.done : 0;
  machine.time += machine.random() < 0.1 ? machine.random() * 4 : 0.01;
  switch (machine.below(15)) {
    case 0: case 1: case 2:
      machine.lend(machine.pick([1, 1, 2, 5, 30, 200])!);
      break;
    case 3: {
      const lease = machine.pick(machine.answers.keys());
      machine.recall(lease ?? 12345);
      break;
    }
    case 4:
      if (machine.workers.size < 4) machine.addWorker();
      break;
    case 5: {
      const doomed = [...machine.workers].filter(([, each]) => each.doomed).map(([each]) => each);
      const gone = machine.pick(doomed.length > 0 ? doomed : machine.workers.keys());
      if (gone !== undefined && machine.random() < 0.6) machine.removeWorker(gone);
      break;
    }
    case 6:
      machine.lending.checkTime();
      break;
    case 7:
      if (machine.random() < 0.15) machine.forget();
      break;
    case 8:
      if (machine.random() < 0.1) machine.pause();
      break;
    case 9:
      machine.answerWrongly(machine.pick(machine.workers.keys()) ?? 7);
      break;
    default:
      if (!worker) break;
      machine.answer(id, 1 + machine.below(rest), machine.pick([0, 0.0001, 0.01, 1])!);
      // What is left of a batch that takes long goes back.
      if (machine.workers.get(id)!.batches[0] === held && machine.random() < 0.1) machine.endEarly(id);
  }
}

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
  actions.flatMap((action) => (action.do === "send" ? [action.message] : []));
const batches = (actions: Action[]): { worker: number; items: string[] }[] =>
  actions.flatMap((action) =>
    action.do === "compute" ? [{ worker: action.worker, items: decode(action.batch.items) as string[] }] : [],
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
    expect(sent(machine.act())).toEqual([{ tag: "struck", lease, offset: 0, reason: "it is gone" }]);
  });
  test("the items of a larger batch go one by one, and only the guilty one is struck", () => {
    const [machine, worker] = measured(0);
    const lease = machine.lend(6);
    machine.act();
    const [first] = machine.workers.get(worker)!.batches;
    machine.answer(worker, 2, 0);
    machine.act();
    const suspects = first!.items.length - 2;
    machine.removeWorker(worker);
    let next = machine.addWorker();
    for (let i = 0; i < suspects; i++) {
      expect(batches(machine.act())).toEqual([{ worker: next, items: [`${lease}.${2 + i}`] }]);
      if (i === 1) {
        machine.removeWorker(next);
        expect(sent(machine.act())).toEqual([{ tag: "struck", lease, offset: 3, reason: "it is gone" }]);
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
    machine.time += TIMEOUT + 1.1 * FLUSH_MILLISECONDS / 1000;
    machine.lending.checkTime();
    machine.lending.checkTime();
    expect(machine.act()).toEqual([{ do: "replace", worker }]);
    machine.removeWorker(worker);
    const next = machine.addWorker();
    machine.act();
    machine.time += TIMEOUT + 1.1 * FLUSH_MILLISECONDS / 1000;
    machine.lending.checkTime();
    expect(machine.act()).toEqual([{ do: "replace", worker: next }]);
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
        machine.lending.checkTime();
        machine.answer(worker, 1, 0);
      }
    }
    expect(machine.act().filter((action) => action.do === "replace")).toEqual([]);
  });
  test("results that a worker has not sent yet are not the running item's fault", () => {
    const [machine, worker] = measured(0);
    machine.lend(1);
    machine.act();
    machine.time += TIMEOUT + 0.9 * FLUSH_MILLISECONDS / 1000;
    machine.lending.checkTime();
    expect(machine.act()).toEqual([]);
    machine.time += 0.2 * FLUSH_MILLISECONDS / 1000;
    machine.lending.checkTime();
    expect(machine.act()).toEqual([{ do: "replace", worker }]);
  });
  test("there is no limit where none was given", () => {
    const machine = quiet(null);
    machine.addWorker();
    machine.lend(1);
    machine.act();
    machine.time += 1e9;
    machine.lending.checkTime();
    expect(machine.act()).toEqual([]);
  });
});

describe("the parent", () => {
  test("what waits is given back at once when it asks, or when this node leaves", () => {
    for (const leave of [false, true]) {
      const [machine, worker] = measured(1);
      const lease = machine.lend(5);
      machine.act();
      if (leave) machine.pause();
      else machine.recall(lease);
      expect(sent(machine.act())).toEqual([{ tag: "returned", lease, offset: 1, count: 4 }]);
      machine.answer(worker, 1);
      machine.act();
      expect(machine.unanswered()).toEqual([]);
    }
  });
  test("what comes when this node is leaving is neither computed nor given back, to come again", () => {
    const machine = quiet();
    machine.addWorker();
    machine.pause();
    machine.lend(5);
    expect(machine.act()).toEqual([]);
  });
  test("a worker that is ready twice is one worker", () => {
    const [machine, worker] = measured(0);
    machine.lend(10);
    machine.act();
    machine.lending.addWorker(worker);
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
    expect(() => quiet().lending.lend(1, pack({ a: 1 }))).toThrow("not an array");
  });
});
