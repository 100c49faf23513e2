/** The items of one batch on their way through a JavaScript function. */

import { joinArray, NIL, split } from "../msgpack-slices";
import { decode, encode } from "../values";
import { describe, isPromise } from "./javascript";
import { FLUSH_MILLISECONDS, type Part } from "./protocol";

/** Where items take so long, it is asked how long the next one may take before a result waits for it. */
const LONG_MILLISECONDS = 4;
/** How much of a long item is expected again after each of those that follow it. */
const DECAY = 0.9;

/**
 * How long a batch may take before what is left of it goes back, in milliseconds: other workers
 * may be idle, and these items longer than those before.
 */
export const LONGEST_MILLISECONDS = 250;

/** How long the next item may take, in milliseconds: at first nobody knows, and long ones may come again. */
export class DurationEstimator {
  private milliseconds = 2 * FLUSH_MILLISECONDS;

  /** An item took so long. */
  after(milliseconds: number): number {
    this.milliseconds = Math.max(milliseconds, DECAY * this.milliseconds);
    return milliseconds < LONG_MILLISECONDS ? 0 : this.milliseconds;
  }
}

/**
 * Apply a function to each item of an encoded array, in order, for as long as a batch may take.
 *
 * @param estimator - of the function, from one batch to the next.
 * @param flush - given results as they come: those of `FLUSH_MILLISECONDS`, and the rest at the end.
 */
export async function computeBatch(
  call: (item: unknown) => unknown,
  items: Uint8Array,
  estimator: DurationEstimator,
  flush: (part: Part) => void,
): Promise<void> {
  const { count, read } = readItems(items);
  const buffer = new ResultBuffer(flush);
  let before = performance.now();
  const end = before + LONGEST_MILLISECONDS;
  for (let place = 0; place < count && (place === 0 || before < end); place++) {
    try {
      const result = call(read(place));
      buffer.add(isPromise(result) ? await settled(result) : result);
    } catch (error) {
      buffer.fail(error);
    }
    const now = performance.now();
    buffer.flushIfDue(now, estimator.after(now - before));
    before = now;
  }
  buffer.flush();
}

let failPending: ((error: unknown) => void) | null = null;

/** An error that was thrown out of a timer is that of the item that is waited for; false if none is. */
export function failFromOutside(error: unknown): boolean {
  failPending?.(error);
  return failPending !== null;
}

/** What a promise becomes, unless something is thrown outside of it first. */
async function settled(result: PromiseLike<unknown>): Promise<unknown> {
  try {
    return await new Promise((resolve, reject) => {
      failPending = reject;
      result.then(resolve, reject);
    });
  } finally {
    failPending = null;
  }
}

/** The items of an encoded array; one that cannot be decoded fails when it is read, and alone. */
function readItems(items: Uint8Array): { count: number; read: (place: number) => unknown } {
  try {
    const decoded = decode(items) as unknown[];
    return { count: decoded.length, read: (place) => decoded[place] };
  } catch {
    const encoded = split(items);
    return { count: encoded.length, read: (place) => decode(encoded[place]!) };
  }
}

/** Results that have not been sent. */
export class ResultBuffer {
  private values: unknown[] = [];
  private failures = new Map<
    number,
    { type: string; reason: string; traceback: string; device: string }
  >();
  private since = performance.now();
  /** When the first of them was there. */
  private oldest = 0;

  constructor(private readonly send: (part: Part) => void) {}

  add(value: unknown): void {
    this.values.push(value);
  }

  fail(error: unknown): void {
    this.failures.set(this.values.length, { ...describe(error), device: "" });
    this.values.push(null);
  }

  /** Send them unless all may wait until the next is there, in so many milliseconds. */
  flushIfDue(now: number, expected: number): void {
    if (this.values.length === 1) this.oldest = now;
    if (now + expected - this.oldest >= FLUSH_MILLISECONDS) this.flush();
  }

  flush(): void {
    const count = this.values.length;
    if (count === 0) return;
    const seconds = (performance.now() - this.since) / 1000;
    this.send({ count, values: this.encode(), failures: this.failures, seconds });
    [this.values, this.failures] = [[], new Map()];
    this.since = performance.now();
  }

  private encode(): Uint8Array<ArrayBuffer> {
    try {
      return encode(this.values);
    } catch {
      return joinArray(
        this.values.length,
        this.values.map((value, place) => this.encodeOne(value, place)),
      );
    }
  }

  private encodeOne(value: unknown, place: number): Uint8Array {
    try {
      return encode(value);
    } catch (error) {
      this.failures.set(place, { ...describe(error), traceback: "", device: "" });
      return NIL;
    }
  }
}
