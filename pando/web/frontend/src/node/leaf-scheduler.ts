/**
 * Who of the tab's workers computes what: leases of the tab's node in, batches and answers out. To
 * the node, which lends to children as well, all the workers are one borrower.
 *
 * No I/O and no clock of its own: a method is told what happened, and `take` gives what to do.
 */

import { FLUSH_MILLISECONDS, type Part } from "../compute/protocol";
import type { Failures, ItemCrashed, Results, ReturnItems } from "../messages";
import { joinArray, NIL } from "../msgpack-slices";
import { ItemRange } from "./item-range";
import { LeafWorker, type RunningBatch } from "./leaf-worker";

/** Items for a worker, as one encoded array. */
export interface Batch {
  number: number;
  count: number;
  items: Uint8Array<ArrayBuffer>;
}

export type Action =
  | { type: "send"; message: Results | ReturnItems | ItemCrashed }
  | { type: "compute"; worker: number; batch: Batch }
  | { type: "replace"; worker: number };

export class LeafScheduler {
  private readonly workers = new Map<number, LeafWorker>();
  private waiting: ItemRange[] = [];
  /** Items of batches whose worker was lost: one of them did it, so each goes alone. */
  private quarantined: ItemRange[] = [];
  private actions: Action[] = [];
  private nextNumber = 1;
  /** Nothing is started any more: the link is to end, or the person has paused this device. */
  private stopped: "no" | "leaving" | "paused" = "no";
  private busyBefore = 0;
  results = 0;
  /** Seconds that the workers have spent computing. */
  seconds = 0;

  /**
   * @param now - the time, in seconds.
   * @param timeout - seconds that an item may take, if there is a limit.
   * @param device - what this node is called in failures.
   */
  constructor(
    private readonly now: () => number,
    private readonly timeout: number | null,
    public device: string,
  ) {}

  /** What is to be done now; each action is given once. */
  take(): Action[] {
    const actions = this.actions;
    this.actions = [];
    return actions;
  }

  /** Seconds in which workers had something to do: what is not computing is bringing it there and back. */
  get busySeconds(): number {
    const running = [...this.workers.values()].filter((worker) => worker.batches.length > 0);
    return running.reduce((sum, worker) => sum + this.now() - worker.busySince, this.busyBefore);
  }

  /** How many items wait here or are in a worker. */
  get held(): number {
    const batches = [...this.workers.values()].flatMap((worker) => worker.batches);
    const ranges = [...this.waiting, ...this.quarantined, ...batches.map(({ range }) => range)];
    const done = batches.reduce((sum, batch) => sum + batch.done, 0);
    return ranges.reduce((sum, { count }) => sum + count, 0) - done;
  }

  get busy(): boolean {
    return [...this.workers.values()].some((worker) => worker.batches.length > 0);
  }

  /** Whether a worker has nothing to do, or there is none. */
  get idle(): boolean {
    return (
      this.workers.size === 0 ||
      [...this.workers.values()].some((worker) => worker.batches.length === 0)
    );
  }

  // ---- the parent ----

  lend(lease: number, items: Uint8Array): void {
    const range = ItemRange.of(lease, items);
    // Given back now it would come again at once; it goes back with the link, which is to end.
    if (this.stopped === "leaving" || range.count === 0) return;
    this.waiting.push(range);
    if (this.stopped === "paused") this.giveBack();
    else this.pump();
  }

  /**
   * The parent wants back what has not been started of a lease.
   *
   * @param isSuperseded - whether what has been started is not wanted, either.
   */
  recall(lease: number, isSuperseded: boolean): void {
    const wanted = (range: ItemRange): boolean => range.lease === lease;
    this.waiting.filter(wanted).forEach((range) => this.return(range));
    this.waiting = this.waiting.filter((range) => !wanted(range));
    if (!isSuperseded) return;
    this.quarantined = this.quarantined.filter((range) => !wanted(range));
    for (const { batches } of this.workers.values()) {
      for (const { range } of batches) if (wanted(range)) range.lease = null;
    }
    this.pump();
  }

  /** Start nothing more, and give back what waits: the link is to end. */
  leave(): void {
    this.stopped = "leaving";
    this.giveBack();
  }

  /** The same for a while: the parent, which knows, lends nothing meanwhile. */
  pause(): void {
    this.stopped = "paused";
    this.giveBack();
  }

  /** Give back what is running, too: its workers are to end. */
  interrupt(): void {
    for (const { batches } of this.workers.values()) {
      for (const { range, done } of batches) {
        if (done < range.count) this.return(range.slice(done, range.count));
        range.lease = null;
      }
    }
  }

  resume(): void {
    this.stopped = "no";
    this.pump();
  }

  /** The parent is lost, and what it has lent is not this node's any more. */
  forget(): void {
    this.waiting = [];
    this.quarantined = [];
    for (const { batches } of this.workers.values()) {
      for (const { range } of batches) range.lease = null;
    }
    this.actions = this.actions.filter((action) => action.type !== "send");
    if (this.stopped === "leaving") this.stopped = "no";
  }

  // ---- the workers ----

  addWorker(id: number): void {
    if (this.workers.has(id)) return;
    this.workers.set(id, new LeafWorker());
    this.pump();
  }

  /** A worker is gone. The item that it was running is blamed where it is known which it was. */
  removeWorker(id: number, reason: string): void {
    const worker = this.workers.get(id);
    if (worker === undefined) return;
    this.workers.delete(id);
    if (worker.batches.length > 0) this.busyBefore += this.now() - worker.busySince;
    const [current, ...queued] = worker.batches;
    for (const { range } of queued) this.requeue(range);
    if (current !== undefined) this.lose(current, reason, worker.state === "timed out");
    this.pump();
  }

  /** Results of a worker, those after the ones that it has given before. False where they make no sense. */
  addResults(id: number, batch: number, part: Part): boolean {
    const worker = this.workers.get(id);
    const current = worker?.batches[0];
    if (worker === undefined || current === undefined || current.number !== batch) return false;
    if (part.count < 1 || part.count > current.range.count - current.done) return false;
    const { lease, offset } = current.range;
    if (lease !== null) {
      const { values, failures, seconds } = part;
      const message = {
        lease,
        offset: offset + current.done,
        seconds,
        values,
        failures: this.withDevice(failures),
      };
      this.actions.push({ type: "send", message: { tag: "results", ...message } });
      this.results += part.count;
      this.seconds += part.seconds;
    }
    current.done += part.count;
    worker.since = this.now();
    worker.measure(part.count, part.seconds);
    if (current.done === current.range.count) this.finish(worker);
    return true;
  }

  /** A worker gives back what is left of a batch. False where that makes no sense. */
  truncateBatch(id: number, batch: number): boolean {
    const worker = this.workers.get(id);
    const current = worker?.batches[0];
    if (worker === undefined || current === undefined || current.number !== batch) return false;
    if (current.done === 0) return false;
    this.requeue(current.range.slice(current.done, current.range.count));
    this.finish(worker);
    return true;
  }

  /**
   * End workers whose item takes too long: to be decoded, to run, and to be encoded, since a
   * worker says nothing before its results are encoded.
   */
  checkTime(): void {
    if (this.timeout === null) return;
    // What was computed before it may not have been sent yet.
    const most = this.timeout + FLUSH_MILLISECONDS / 1000;
    for (const [id, worker] of this.workers) {
      const overdue = worker.batches.length > 0 && this.now() - worker.since > most;
      if (overdue && worker.state === "computing") {
        worker.state = "timed out";
        this.actions.push({ type: "replace", worker: id });
      }
    }
  }

  // ---- inside ----

  private withDevice(failures: Failures): Failures {
    if (failures.size === 0) return failures;
    return new Map([...failures].map(([place, why]) => [place, { ...why, device: this.device }]));
  }

  /** The first of a worker's batches is over. */
  private finish(worker: LeafWorker): void {
    worker.batches.shift();
    worker.since = this.now();
    if (worker.batches.length === 0) this.busyBefore += worker.since - worker.busySince;
    this.pump();
  }

  private lose(lost: RunningBatch, reason: string, tooLong: boolean): void {
    const rest = lost.range.slice(lost.done, lost.range.count);
    const { lease, offset } = rest;
    if (lease === null || rest.count === 0) return;
    if (rest.count > 1) {
      for (let i = 0; i < rest.count; i++) this.quarantined.push(rest.slice(i, 1));
    } else if (tooLong) {
      const why = {
        type: "TimeoutError",
        reason: `it took longer than ${this.timeout} s`,
        traceback: "",
      };
      const failures = new Map([[0, { ...why, device: this.device }]]);
      const values = joinArray(1, [NIL]);
      this.results += 1;
      this.actions.push({
        type: "send",
        message: { tag: "results", lease, offset, seconds: this.timeout ?? 0, values, failures },
      });
    } else {
      this.actions.push({ type: "send", message: { tag: "struck", lease, offset, reason } });
    }
    if (this.stopped !== "no") this.giveBack();
  }

  private requeue(range: ItemRange): void {
    if (range.lease === null) return;
    this.waiting.unshift(range);
    if (this.stopped !== "no") this.giveBack();
  }

  private giveBack(): void {
    for (const range of [...this.waiting, ...this.quarantined]) this.return(range);
    this.waiting = [];
    this.quarantined = [];
  }

  private return({ lease, offset, count }: ItemRange): void {
    if (lease === null) return;
    this.actions.push({ type: "send", message: { tag: "returned", lease, offset, count } });
  }

  /** Hand out what waits: first to whoever has nothing, then a second batch where batches are short. */
  private pump(): void {
    if (this.stopped !== "no") return;
    const able = [...this.workers].filter(([, worker]) => worker.state === "computing");
    const idle = able.filter(([, worker]) => worker.batches.length === 0);
    while (idle.length > 0 && this.quarantined.length > 0)
      this.start(...idle.shift()!, this.quarantined.shift()!);
    this.feed(idle);
    if (this.quarantined.length === 0) this.feed(able.filter(([, worker]) => worker.mayQueue));
    this.endSuperseded();
  }

  /** End a worker for each range that still waits, where all that it has is not wanted any more. */
  private endSuperseded(): void {
    let needed = this.waiting.length + this.quarantined.length;
    for (const [id, worker] of this.workers) {
      if (needed === 0) return;
      if (worker.state !== "computing" || worker.batches.length === 0) continue;
      if (worker.batches.some(({ range }) => range.lease !== null)) continue;
      worker.state = "superseded";
      this.actions.push({ type: "replace", worker: id });
      needed -= 1;
    }
  }

  /** Share what waits among these workers. */
  private feed(hungry: [number, LeafWorker][]): void {
    hungry.forEach(([id, worker], index) => this.feedOne(id, worker, hungry.length - index));
  }

  private feedOne(id: number, worker: LeafWorker, hungry: number): void {
    const next = this.waiting[0];
    if (next === undefined) return;
    const waiting = this.waiting.reduce((sum, { count }) => sum + count, 0);
    const size = Math.min(worker.batchSize(Math.ceil(waiting / hungry)), next.count);
    if (size === next.count) this.waiting.shift();
    else this.waiting[0] = next.slice(size, next.count);
    this.start(id, worker, next.slice(0, size));
  }

  private start(id: number, worker: LeafWorker, range: ItemRange): void {
    const number = this.nextNumber++;
    if (worker.batches.length === 0) worker.since = worker.busySince = this.now();
    worker.batches.push({ number, range, done: 0 });
    this.actions.push({
      type: "compute",
      worker: id,
      batch: { number, count: range.count, items: range.encode() },
    });
  }
}
