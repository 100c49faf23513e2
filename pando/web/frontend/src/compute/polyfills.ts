/**
 * What modules expect around them and V8 alone does not have: a console, timers, encoders of text,
 * random numbers.
 *
 * It must be imported first: other modules look for these while they are loaded.
 */

import "./global";

import "fast-text-encoding";

/** What they need of the host. */
export interface PolyfillHost {
  print(text: string): void;
  fillRandomly(bytes: Uint8Array): void;
  /** The number of the item that runs: errors in timers are those of the item that set them. */
  item: number;
  /** Told of an error that is thrown out of a timer which the running item has set. */
  failed(error: unknown): void;
}

export const polyfillHost: PolyfillHost = {
  print: () => {},
  fillRandomly: () => {},
  item: 0,
  failed: () => {},
};

type Timer = (...given: unknown[]) => void;

const scope = globalThis as unknown as Record<string, unknown>;
const startTimer = globalThis.setTimeout as unknown as (run: () => void, delay: number) => unknown;
const running = new Set<number>();
let timers = 0;

function start(run: Timer, delay: unknown, given: unknown[], repeat: boolean): number {
  const id = ++timers;
  const milliseconds = Math.max(1, Number(delay) || 0);
  const item = polyfillHost.item;
  const expire = (): void => {
    if (!running.has(id)) return;
    if (repeat) startTimer(expire, milliseconds);
    else running.delete(id);
    const current = polyfillHost.item;
    polyfillHost.item = item; // whose timers those that this one sets are, too
    try {
      run(...given);
    } catch (error) {
      if (item === current) polyfillHost.failed(error);
      else write("after its item's result:", error);
    } finally {
      polyfillHost.item = current;
    }
  };
  running.add(id);
  startTimer(expire, milliseconds);
  return id;
}

function stop(id: unknown): void {
  running.delete(Number(id));
}

function write(...values: unknown[]): void {
  polyfillHost.print(`${values.map(show).join(" ")}\n`);
}

/** A value as people want to see it. */
function show(value: unknown): string {
  if (value instanceof Error) return value.stack ?? String(value);
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value, (_, each: unknown) =>
      typeof each === "bigint" ? `${each}n` : each,
    );
  } catch {
    return String(value);
  }
}

/** As the real one, which the smaller encoder of text lacks. */
function encodeInto(
  this: TextEncoder,
  text: string,
  target: Uint8Array,
): TextEncoderEncodeIntoResult {
  const bytes = this.encode(text);
  target.set(bytes);
  return { read: text.length, written: bytes.length };
}

function getRandomValues(array: ArrayBufferView): ArrayBufferView {
  polyfillHost.fillRandomly(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return array;
}

TextEncoder.prototype.encodeInto ??= encodeInto;
scope["self"] ??= globalThis;
scope["crypto"] ??= { getRandomValues };
scope["performance"] ??= { now: Date.now };
scope["console"] = {
  log: write,
  info: write,
  debug: write,
  warn: write,
  error: write,
  trace: write,
};
scope["setTimeout"] = (run: Timer, delay?: unknown, ...given: unknown[]) =>
  start(run, delay, given, false);
scope["setInterval"] = (run: Timer, delay?: unknown, ...given: unknown[]) =>
  start(run, delay, given, true);
scope["setImmediate"] = (run: Timer, ...given: unknown[]) => start(run, 0, given, false);
scope["queueMicrotask"] ??= (run: () => void) => void Promise.resolve().then(run);
for (const name of ["clearTimeout", "clearInterval", "clearImmediate"]) scope[name] = stop;
