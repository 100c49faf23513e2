/**
 * Item records: what is known of single items that are not like all others.
 *
 * Of nearly all items nothing is known but that they are there. Two things are remembered of
 * others, until their result is there or they leave the stream: the losses of those that were
 * running when their borrower was lost, or may have been (`Attempts`), and the size of those that
 * are too large for some borrowers.
 */

import { Attempts, type Source } from "./attempts";
import type { Lease } from "./lease";

/** What is known of unfinished items, by index. */
export class ItemRecords {
  /** The losses of items, and whether they are suspects. */
  readonly attempts = new Map<number, Attempts>();
  /** The bytes of items that are too large for some borrowers. */
  readonly sizes = new Map<number, number>();

  /** Whether nothing is known of any item. */
  get isEmpty(): boolean {
    return this.attempts.size === 0 && this.sizes.size === 0;
  }

  /** Note that an item was running when its borrower was lost; all its losses. */
  addLoss(index: number, source: Source, countsFrom: number): Attempts {
    const attempts = this.attemptsOf(index);
    attempts.add(source, countsFrom);
    return attempts;
  }

  /** Have what is missing of leases lent alone: any of it may have ended a device. */
  suspectAll(leases: Iterable<Lease>, device: string): void {
    for (const { start, missing } of leases) {
      for (const [low, high] of missing) {
        for (let index = start + low; index < start + high; index++) {
          const attempts = this.attemptsOf(index);
          attempts.suspectedBy.add(device);
          attempts.isSuspect = true;
        }
      }
    }
  }

  private attemptsOf(index: number): Attempts {
    let attempts = this.attempts.get(index);
    if (attempts === undefined) {
      attempts = new Attempts();
      this.attempts.set(index, attempts);
    }
    return attempts;
  }

  /** Whether an item may have ended a device, and is lent alone. */
  isSuspect(index: number): boolean {
    return this.attempts.get(index)?.isSuspect ?? false;
  }

  /** Take back what a device was thought to be lost by: it has come back. */
  forgive(device: string): void {
    for (const [index, attempts] of this.attempts) {
      attempts.forgive(device);
      if (attempts.losses === 0 && !attempts.isSuspect) this.attempts.delete(index);
    }
  }

  /** The bytes of an item that is too large for some borrowers; else 0. */
  sizeOf(index: number): number {
    return this.sizes.get(index) ?? 0;
  }

  /** How many items are known to be larger than this. */
  countLarger(maxBytes: number): number {
    let count = 0;
    for (const size of this.sizes.values()) if (size > maxBytes) count += 1;
    return count;
  }

  /** Forget what is known of consecutive items, which have a result or leave the stream. */
  forget(start: number, count: number): void {
    for (const known of [this.attempts, this.sizes]) {
      if (known.size < count) {
        for (const index of known.keys()) {
          if (start <= index && index < start + count) known.delete(index);
        }
      } else {
        for (let index = start; index < start + count; index++) known.delete(index);
      }
    }
  }
}
