/** What the node and the workers that run the function say to each other, and how it is checked. */

import { isCount } from "../message-fields";
import { type Failure, type Failures, MAX_ARGUMENTS_BYTES, type Report } from "../messages";
import { cut, wellFormed } from "../text";
import { MAX_UNITS } from "./report-sum";

/** How long a worker may keep a finished result for the rest of its batch, in milliseconds. */
export const FLUSH_MILLISECONDS = 100;
/** Far more than all reports of a batch add up to. */
const MAX_REPORTED = 1e17;

/** What starts Python in a worker. Bytes, since a sandboxed worker fetches nothing itself. */
export interface PythonAssets {
  /** Pyodide's program, an ES module, as text. */
  program: string;
  wasm: WebAssembly.Module;
  standardLibrary: ArrayBuffer;
  /** Wheels, and Pando's own modules, to be unpacked; packed ones are imported from as they are. */
  packages: { format: "wheel" | "zip" | "packed"; data: ArrayBuffer }[];
}

export type Language = "python" | "javascript";

/** Results of consecutive items: the values, encoded as one array, and why some have none. */
export interface Part {
  count: number;
  values: Uint8Array;
  failures: Failures;
  seconds: number;
}

/** From the sandbox to a worker it has started, first of all. */
export interface Opening {
  port: MessagePort;
  python: PythonAssets | null;
}

export type ToWorker =
  | { type: "load"; package: Uint8Array }
  /** `items` are `count` encoded ones. */
  | { type: "compute"; batch: number; count: number; items: Uint8Array };

export type FromWorker =
  | { type: "ready" }
  | { type: "loadFailed"; reason: string; traceback: string }
  | ({ type: "results"; batch: number } & Part)
  | { type: "reported"; report: Report }
  /** The batch ends here, before all its items were computed. */
  | { type: "batchTruncated"; batch: number };

/** From the node to the sandbox. */
export type ToSandbox =
  | { type: "start"; worker: number; language: Language; port: MessagePort }
  | { type: "end"; worker: number }
  | { type: "ping" };

export type FromSandbox = { type: "failed"; worker: number; reason: string } | { type: "pong" };

const isQuantity = (value: unknown): value is number =>
  typeof value === "number" && value >= 0 && value <= MAX_REPORTED;
const isText = (value: unknown): value is string => typeof value === "string";

/**
 * What a worker or the sandbox says, or null where it makes no sense: the user's code runs there
 * and can say anything.
 */
export function checkFromWorker(message: unknown): FromWorker | null {
  if (typeof message !== "object" || message === null || !("type" in message)) return null;
  const fields = message as Record<string, unknown>;
  switch (fields["type"]) {
    case "ready":
      return { type: "ready" };
    case "loadFailed": {
      const { reason, traceback } = fields;
      if (!isText(reason) || !isText(traceback)) return null;
      return { type: "loadFailed", reason: cut(reason), traceback: cut(traceback) };
    }
    case "reported": {
      const report = checkReport(fields["report"]);
      return report && { type: "reported", report };
    }
    case "batchTruncated":
      return isCount(fields["batch"]) ? { type: "batchTruncated", batch: fields["batch"] } : null;
    case "results": {
      const { batch, count, values, seconds } = fields;
      const failures = checkFailures(fields["failures"], count);
      const fits = isCount(batch) && isCount(count) && values instanceof Uint8Array;
      if (!fits || failures === null || typeof seconds !== "number" || !(seconds >= 0)) return null;
      return { type: "results", batch, count, values, failures, seconds: Math.min(seconds, 1e9) };
    }
    default:
      return null;
  }
}

function checkFailures(failures: unknown, count: unknown): Failures | null {
  if (!(failures instanceof Map)) return null;
  const checked = new Map<number, Failure>();
  for (const [place, why] of failures as Map<unknown, Record<string, unknown>>) {
    const { type, reason, traceback, arguments: given } = why ?? {};
    if (!isCount(place) || place >= Number(count)) return null;
    if (!isText(type) || !isText(reason) || !isText(traceback)) return null;
    const failure: Failure = {
      type: cut(type),
      reason: cut(reason),
      traceback: cut(traceback),
      device: "",
    };
    if (given instanceof Uint8Array && given.length <= MAX_ARGUMENTS_BYTES)
      failure.arguments = given;
    checked.set(place, failure);
  }
  return checked;
}

function checkReport(report: unknown): Report | null {
  const { items, units, cpuSeconds, transferSeconds } = (report ?? {}) as Record<string, unknown>;
  if (
    !isQuantity(items) ||
    !isQuantity(cpuSeconds) ||
    !isQuantity(transferSeconds) ||
    !isText(units)
  )
    return null;
  return { items, units: wellFormed(units.slice(0, MAX_UNITS)), cpuSeconds, transferSeconds };
}

export function checkFromSandbox(message: unknown): FromSandbox | null {
  if (typeof message !== "object" || message === null) return null;
  const { type, worker, reason } = message as Record<string, unknown>;
  if (type === "pong") return { type };
  if (type === "failed" && isCount(worker) && isText(reason)) return { type, worker, reason };
  return null;
}
