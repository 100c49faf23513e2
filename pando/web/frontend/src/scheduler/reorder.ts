/** The reorder buffer: results come in any order and leave in the order of the items. */

import type { Items } from "./items";

/** Results of consecutive items. */
export interface ResultBatch {
  /** The first item's index. */
  readonly start: number;
  /** The items themselves. */
  readonly items: Items;
  /** Their results, in the same order; nothing where an item failed. */
  readonly values: Items;
  /** Why an item failed, by its place in the batch; empty for most batches. */
  readonly failures: ReadonlyMap<number, unknown>;
  /** Bytes of the encoded results. */
  readonly size: number;
}

/** Finished results that wait for their turn. */
export class ReorderBuffer {
  /** How many results have left. */
  delivered = 0;
  /** How large those inside are, in bytes. */
  bytes = 0;
  /** How many results are inside. */
  size = 0;
  private readonly early = new Map<number, ResultBatch>();
  private readonly due: ResultBatch[] = [];
  private next = 0;

  /** @param ordered - hand results out in the order of the items; else as they come. */
  constructor(readonly ordered = true) {}

  /** Whether `take` would give something. */
  get ready(): boolean {
    return this.due.length > 0;
  }

  /** Put a batch of results in. No result of it may have been put in before. */
  add(batch: ResultBatch): void {
    this.size += batch.values.length;
    this.bytes += batch.size;
    if (!this.ordered) {
      this.due.push(batch);
      return;
    }
    this.early.set(batch.start, batch);
    for (let due = this.early.get(this.next); due !== undefined; due = this.early.get(this.next)) {
      this.early.delete(this.next);
      this.due.push(due);
      this.next += due.values.length;
    }
  }

  /** Count results that will never come as handed out; where order does not matter. */
  skip(count: number): void {
    if (this.ordered) throw new Error("results that are in order cannot be skipped");
    this.delivered += count;
  }

  /** The next batch to hand out, if its turn has come. */
  take(): ResultBatch | undefined {
    const batch = this.due.shift();
    if (batch === undefined) return undefined;
    this.size -= batch.values.length;
    this.bytes -= batch.size;
    this.delivered += batch.values.length;
    return batch;
  }
}
