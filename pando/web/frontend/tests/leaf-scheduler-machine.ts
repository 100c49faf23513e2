import { expect } from "vitest";

import type { Failures, Outgoing } from "../src/messages";
import { type Action, LeafScheduler } from "../src/node/leaf-scheduler";
import { decode, encode } from "../src/values";

export const NONE: Failures = new Map();
export const STEPS = 200;
export const SEEDS = Number(process.env["SEEDS"] ?? 100);
export const TIMEOUT = 5;

/** A batch that was handed to a worker of the test's. */
export interface Held {
  number: number;
  items: string[];
  done: number;
}

export interface TestWorker {
  batches: Held[];
  /** The lending has asked for another in its place. */
  doomed: boolean;
}

/** For what is looked at so often that `expect` is too slow. */
function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

export type Answer = Outgoing & { tag: "results" | "returned" | "struck" };

/** The lending, and the parent and the workers around it: every action is checked as it comes. */
export class Machine {
  time = 0;
  readonly scheduler: LeafScheduler;
  readonly workers = new Map<number, TestWorker>();
  /** How the items of each lease were answered; an item is named LEASE.PLACE. */
  readonly answers = new Map<number, (string | null)[]>();
  readonly values = new Map<string, unknown>();
  /** Items of batches that were lost: no two may run in one batch again. */
  readonly quarantined = new Set<string>();
  leaving = false;
  paused = false;
  private nextWorker = 1;
  private nextLease = 1;

  constructor(
    readonly random: () => number,
    timeout: number | null = TIMEOUT,
  ) {
    this.scheduler = new LeafScheduler(() => this.time, timeout, "device");
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
    if (!this.leaving) this.answers.set(lease, Array<string | null>(count).fill(null));
    this.scheduler.lend(lease, encode(Array.from({ length: count }, (_, i) => `${lease}.${i}`)));
    return lease;
  }

  /** What is superseded need not be answered; what waits of it is. */
  recall(lease: number, isSuperseded = false): Action[] {
    this.scheduler.recall(lease, isSuperseded);
    const actions = this.act();
    if (isSuperseded) this.answers.delete(lease);
    return actions;
  }

  addWorker(): number {
    const worker = this.nextWorker++;
    this.workers.set(worker, { batches: [], doomed: false });
    this.scheduler.addWorker(worker);
    return worker;
  }

  removeWorker(id: number): void {
    const [current] = this.workers.get(id)!.batches;
    this.workers.delete(id);
    const rest = current?.items.slice(current.done) ?? [];
    if (rest.length > 1) rest.forEach((item) => this.quarantined.add(item));
    this.scheduler.removeWorker(id, "it is gone");
  }

  /** A worker gives results of its first batch, the next `count` ones. */
  answer(id: number, count: number, seconds = 0.01): void {
    const held = this.workers.get(id)!.batches[0]!;
    const items = held.items.slice(held.done, held.done + count);
    held.done += items.length;
    const values = encode(items.map((item) => `result of ${item}`));
    const failures = new Map([
      [0, { type: "E", reason: items[0] ?? "", traceback: "", device: "" }],
    ]);
    const part = {
      count: items.length,
      values,
      failures: this.random() < 0.2 ? failures : NONE,
      seconds,
    };
    if (held.done === held.items.length) this.workers.get(id)!.batches.shift();
    expect(this.scheduler.addResults(id, held.number, part)).toBe(true);
  }

  truncateBatch(id: number): void {
    const held = this.workers.get(id)!.batches.shift()!;
    expect(this.scheduler.truncateBatch(id, held.number)).toBe(true);
  }

  /** Answers that make no sense: of others' batches, of old ones, too many results or none. */
  answerWrongly(id: number): void {
    const [held, queued] = this.workers.get(id)?.batches ?? [];
    const of = (
      count: number,
    ): { count: number; values: Uint8Array; failures: Failures; seconds: number } => ({
      count,
      values: encode(Array(count).fill("wrong")),
      failures: NONE,
      seconds: 1,
    });
    const rest = held ? held.items.length - held.done : 0;
    expect(this.scheduler.addResults(id, held?.number ?? 1, of(rest + 1))).toBe(false);
    expect(this.scheduler.addResults(id, held?.number ?? 1, of(0))).toBe(false);
    for (const number of [0, queued?.number ?? 0, 1e9]) {
      expect(this.scheduler.addResults(id, number, of(1))).toBe(false);
      expect(this.scheduler.truncateBatch(id, number)).toBe(false);
    }
    expect(this.scheduler.addResults(1e9, held?.number ?? 1, of(1))).toBe(false);
    expect(this.scheduler.truncateBatch(1e9, held?.number ?? 1)).toBe(false);
    // Whoever ends a batch without having done any of it would be asked for ever.
    if (held?.done === 0) expect(this.scheduler.truncateBatch(id, held.number)).toBe(false);
    this.scheduler.removeWorker(1e9, "it never was");
  }

  leave(): void {
    this.leaving = true;
    this.paused = false;
    this.scheduler.leave();
  }

  /** Pause as a person does, sooner or later with the end of all workers, and go on. */
  pause(ends: boolean): void {
    this.leaving = false;
    this.paused = true;
    this.scheduler.pause();
    if (!ends) return;
    this.act();
    this.scheduler.interrupt();
    this.act();
    expect(this.unanswered()).toEqual([]);
    for (const id of this.workers.keys()) {
      this.workers.delete(id);
      this.scheduler.removeWorker(id, "paused");
    }
    this.act();
  }

  resume(): void {
    this.paused = false;
    this.scheduler.resume();
  }

  forget(): void {
    this.leaving = false;
    this.scheduler.forget();
    this.answers.clear();
    this.quarantined.clear();
  }

  // ---- what is done ----

  act(): Action[] {
    const actions = this.scheduler.take();
    for (const action of actions) {
      if (action.type === "send") this.hear(action.message as Answer);
      else if (action.type === "replace") this.mustBeOverdue(action.worker);
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
    expect(this.leaving || this.paused).toBe(false);
    if (items.some((item) => this.quarantined.has(item))) {
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
        must(
          value === (timedOut ? null : `result of ${message.lease}.${place}`),
          "another item's result",
        );
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
    must(
      current.every((item) => unanswered.has(item)),
      "an answered item is computed",
    );
    const busy = [...this.workers.values()].some(({ batches }) => batches.length > 0);
    must(this.scheduler.busy === busy, "it is busy, or is not");
    const hungry =
      this.workers.size === 0 ||
      [...this.workers.values()].some(({ batches }) => batches.length === 0);
    must(this.scheduler.idle === hungry, "somebody is idle, or nobody is");
    const idle = [...this.workers.values()].some(
      ({ batches, doomed }) => batches.length === 0 && !doomed,
    );
    if (idle || this.leaving || this.paused)
      must(unanswered.size === current.length, "somebody is idle while something waits");
  }

  /** Everybody works on until nothing is left. */
  runToEnd(): void {
    if (this.leaving) this.forget();
    if (this.paused) this.resume();
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
export function step(machine: Machine): void {
  const busy = [...machine.workers].filter(
    ([, { batches, doomed }]) => batches.length > 0 && !doomed,
  );
  const [id, worker] = machine.pick(busy) ?? [0, null];
  const held = worker?.batches[0];
  const rest = held ? held.items.length - held.done : 0;
  machine.time += machine.random() < 0.1 ? machine.random() * 4 : 0.01;
  switch (machine.below(15)) {
    case 0:
    case 1:
    case 2:
      machine.lend(machine.pick([1, 1, 2, 5, 30, 200])!);
      break;
    case 3: {
      const lease = machine.pick(machine.answers.keys());
      machine.recall(lease ?? 12345, machine.random() < 0.3);
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
      machine.scheduler.checkTime();
      break;
    case 7:
      if (machine.random() < 0.15) machine.forget();
      break;
    case 8:
      if (machine.random() < 0.1) machine.leave();
      else if (machine.leaving) break;
      else if (machine.paused) machine.resume();
      else if (machine.random() < 0.3) machine.pause(machine.random() < 0.5);
      break;
    case 9:
      machine.answerWrongly(machine.pick(machine.workers.keys()) ?? 7);
      break;
    default:
      if (!worker) break;
      machine.answer(id, 1 + machine.below(rest), machine.pick([0, 0.0001, 0.01, 1])!);
      // What is left of a batch that takes long goes back.
      if (machine.workers.get(id)!.batches[0] === held && machine.random() < 0.1)
        machine.truncateBatch(id);
  }
}
