/**
 * What runs inside V8 where no browser is around it: see `pando/runtime/javascript.py`, its host.
 *
 * Bytes go in and out through memory that both see, and so does the number of the running item.
 */

import "./polyfills"; // before all others, which look for these while they are loaded

import { joinArray } from "../msgpack-slices";
import { decode, encode } from "../values";
import { ResultBuffer } from "./batch";
import { describe, isPromise, load, readPackage } from "./javascript";
import { polyfillHost } from "./polyfills";
import type { Part } from "./protocol";
import { ReportSum } from "./report-sum";

/**
 * Places in the shared memory: the item that runs, how many may be started, how many bytes have
 * been printed and read, how many random ones have been given and taken, and whether the function
 * has reported anything. What is printed and what is random stands in rings.
 */
const RUNNING = 0;
const LIMIT = 1;
const WRITTEN = 2;
const READ = 3;
const GIVEN = 4;
const TAKEN = 5;
const REPORTED = 6;
const RING_SIZE = 64 * 1024;
/** How long to wait for the host to read or to write a ring, in milliseconds. */
const RING_MILLISECONDS = 200;
const ARRAY_OF_ONE = 0x91;
const NO_ITEMS = new Uint8Array([0x90]);

const shared = new Int32Array(new SharedArrayBuffer(28));
const printed = new Uint8Array(new SharedArrayBuffer(RING_SIZE));
const random = new Uint8Array(new SharedArrayBuffer(RING_SIZE));
let input = new Uint8Array(0);
/** The last answer. The host reads its memory later, and does not hold it: it must not be collected before. */
let answer = NO_ITEMS;
let call: (item: unknown) => unknown;
const tally = new ReportSum();

function report(info: unknown): void {
  tally.report(info);
  Atomics.store(shared, REPORTED, 1);
}

/** What the function has reported, as `pando.figures.Figures` in JSON. */
function takeReport(): string {
  Atomics.store(shared, REPORTED, 0);
  const { items, units, cpuSeconds, transferSeconds } = tally.take()!;
  return JSON.stringify([items, units, cpuSeconds, transferSeconds]);
}

/** Takes the package that stands in the input; what is wrong with it, as JSON, or nothing. */
function open(size: number): string {
  try {
    call = load(readPackage(input.subarray(0, size)), report);
    return "";
  } catch (error) {
    return JSON.stringify(describe(error));
  }
}

/**
 * Compute the items that stand in the input, in order, for about so many milliseconds.
 *
 * Gives the results of the first of them, at least of one, and why some have none; or, when the
 * items cannot be decoded together, nothing.
 */
function run(size: number, milliseconds: number): Uint8Array | null | Promise<Uint8Array> {
  const encoded = input.subarray(0, size);
  const chunk = new Chunk(milliseconds);
  let items: unknown[];
  try {
    items = decode(encoded) as unknown[];
  } catch (error) {
    if (encoded[0] !== ARRAY_OF_ONE) return null;
    chunk.fail(error);
    return chunk.finish();
  }
  return compute(items, 0, chunk);
}

function compute(items: unknown[], first: number, chunk: Chunk): Uint8Array | Promise<Uint8Array> {
  for (let place = first; place < items.length; place++) {
    Atomics.store(shared, RUNNING, place);
    if (place >= Atomics.load(shared, LIMIT) || chunk.isOver()) break;
    polyfillHost.item++;
    try {
      const result = call(items[place]);
      if (isPromise(result)) {
        return chunk.addLater(result).then(() => compute(items, place + 1, chunk));
      }
      chunk.add(result);
    } catch (error) {
      chunk.fail(error);
    }
  }
  return chunk.finish();
}

/** Results of some items, on their way out. */
class Chunk {
  private readonly end: number;
  private count = 0;
  private part: Part | null = null;
  private readonly buffer = new ResultBuffer((part) => (this.part = part));

  constructor(milliseconds: number) {
    this.end = Date.now() + milliseconds;
  }

  isOver(): boolean {
    return this.count > 0 && Date.now() >= this.end;
  }

  add(result: unknown): void {
    this.count++;
    this.buffer.add(result);
  }

  fail(error: unknown): void {
    this.count++;
    this.buffer.fail(error);
  }

  addLater(result: PromiseLike<unknown>): Promise<void> {
    return new Promise<unknown>((resolve, reject) => {
      polyfillHost.failed = reject;
      result.then(resolve, reject);
    }).then(
      (value) => this.add(value),
      (error: unknown) => this.fail(error),
    );
  }

  finish(): Uint8Array {
    this.buffer.flush();
    const failures = [...(this.part?.failures ?? [])].map(
      ([place, { type, reason, traceback }]) => [place, type, reason, traceback],
    );
    answer = joinArray(2, [this.part?.values ?? NO_ITEMS, encode(failures)]);
    return answer;
  }
}

polyfillHost.print = (text) => {
  const end = Date.now() + RING_MILLISECONDS;
  for (const byte of new TextEncoder().encode(text)) {
    const written = Atomics.load(shared, WRITTEN);
    while (((written - Atomics.load(shared, READ)) | 0) >= RING_SIZE) {
      if (Date.now() > end) return; // nobody reads, so it is lost
    }
    printed[(written >>> 0) % RING_SIZE] = byte;
    Atomics.store(shared, WRITTEN, written + 1); // which wraps around
  }
};

polyfillHost.fillRandomly = (bytes) => {
  const end = Date.now() + RING_MILLISECONDS;
  for (let i = 0; i < bytes.length; i++) {
    const taken = Atomics.load(shared, TAKEN);
    while (Atomics.load(shared, GIVEN) === taken) {
      if (Date.now() > end) throw new Error("there are no random numbers");
    }
    bytes[i] = random[(taken >>> 0) % RING_SIZE]!;
    Atomics.store(shared, TAKEN, taken + 1);
  }
};

/** All that the host calls, where sloppy code does not overwrite it. */
Object.defineProperty(globalThis, "__pando__", {
  value: {
    shared: shared.buffer,
    open,
    run,
    takeReport,
    printed: printed.buffer,
    random: random.buffer,
    /** Make room for so many bytes; the memory to write them to. */
    reserve(size: number): ArrayBufferLike {
      input = new Uint8Array(size);
      return input.buffer;
    },
  },
});
