/** What one of a tab's workers has to do, how fast it is, and so how much more it should get. */

import type { ItemRange } from "./item-range";

/** Work in one batch, in seconds: long enough to hide a message, short enough to lose. */
export const TARGET_SECONDS = 0.1;
/** A batch is at most so many times larger than the worker's largest before. */
export const GROWTH = 8;
/** A second batch waits in a worker only where the first takes no longer than this. */
export const QUEUED_SECONDS = 0.2;
/** Weight of the newest results in a worker's mean time of an item. */
const SMOOTHING = 0.5;

/** A batch that a worker has, and how much of it is done. */
export interface RunningBatch {
  number: number;
  range: ItemRange;
  done: number;
}

/**
 * A worker computes, or it is being ended because its item has taken too long, or is not wanted any
 * more; then it gets nothing.
 */
type WorkerState = "computing" | "timed out" | "superseded";

export class LeafWorker {
  readonly batches: RunningBatch[] = [];
  /** When the first of its batches began, or gave its last results. */
  since = 0;
  /** When it was last without a batch, while it has one. */
  busySince = 0;
  state: WorkerState = "computing";
  private itemSeconds: number | null = null;
  private largest = 0;

  /** Note that it has computed some items in this time. */
  measure(items: number, seconds: number): void {
    const itemSeconds = Math.max(seconds, 0) / items;
    this.itemSeconds ??= itemSeconds;
    this.itemSeconds += SMOOTHING * (itemSeconds - this.itemSeconds);
    this.largest = Math.max(this.largest, items);
  }

  /** Whether a second batch may wait in it, after the one that it has. */
  get mayQueue(): boolean {
    const { batches, itemSeconds } = this;
    const count = batches[0]?.range.count ?? 0;
    return batches.length === 1 && itemSeconds !== null && itemSeconds * count <= QUEUED_SECONDS;
  }

  /**
   * How many items its next batch should have.
   *
   * @param share - its part of what waits.
   */
  batchSize(share: number): number {
    const { itemSeconds, largest } = this;
    if (itemSeconds === null) return 1;
    const wanted = Math.min(TARGET_SECONDS / Math.max(itemSeconds, 1e-9), largest * GROWTH);
    return Math.max(1, Math.min(Math.round(wanted), share));
  }
}
