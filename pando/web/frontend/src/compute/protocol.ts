/** What the node and the workers that run the function say to each other, and how it is checked. */

import { type Failure, type Failures, isCount, MAX_ARGUMENTS_BYTES, type Report } from "../messages";
import { MAX_UNITS } from "./report";
import { cut, wellFormed } from "../text";

/** How long a worker may keep a finished result for the rest of its batch, in milliseconds. */
export const FLUSH_MILLISECONDS = 100;
/** Far more than all reports of a batch add up to. */
const MAX_FIGURES = 1e17;

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
  | { do: "load"; package: Uint8Array }
  /** `items` are `count` encoded ones. */
  | { do: "compute"; batch: number; count: number; items: Uint8Array };

export type FromWorker =
  | { is: "ready" }
  | { is: "refused"; reason: string; traceback: string }
  | ({ is: "results"; batch: number } & Part)
  | { is: "reported"; report: Report }
  /** The batch ends here, before all its items were computed. */
  | { is: "ended early"; batch: number };

/** From the node to the sandbox. */
export type ToSandbox =
  | { do: "start"; worker: number; language: Language; port: MessagePort }
  | { do: "end"; worker: number }
  | { do: "ping" };

export type FromSandbox = { is: "failed"; worker: number; reason: string } | { is: "pong" };

const isFigure = (value: unknown): value is number => typeof value === "number" && value >= 0 && value <= MAX_FIGURES;
const isText = (value: unknown): value is string => typeof value === "string";

/**
 * What a worker or the sandbox says, or null where it makes no sense: the user's code runs there
 * and can say anything.
 */
export function checkFromWorker(message: unknown): FromWorker | null {
  if (typeof message !== "object" || message === null || !("is" in message)) return null;
  const said = message as Record<string, unknown>;
  switch (said["is"]) {
    case "ready":
      return { is: "ready" };
    case "refused": {
      const { reason, traceback } = said;
      if (!isText(reason) || !isText(traceback)) return null;
      return { is: "refused", reason: cut(reason), traceback: cut(traceback) };
    }
    case "reported": {
      const report = checkReport(said["report"]);
      return report && { is: "reported", report };
    }
    case "ended early":
      return isCount(said["batch"]) ? { is: "ended early", batch: said["batch"] } : null;
    case "results": {
      const { batch, count, values, seconds } = said;
      const failures = checkFailures(said["failures"], count);
      const fits = isCount(batch) && isCount(count) && values instanceof Uint8Array;
      if (!fits || failures === null || typeof seconds !== "number" || !(seconds >= 0)) return null;
      return { is: "results", batch, count, values, failures, seconds: Math.min(seconds, 1e9) };
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
    const failure: Failure = { type: cut(type), reason: cut(reason), traceback: cut(traceback), device: "" };
    if (given instanceof Uint8Array && given.length <= MAX_ARGUMENTS_BYTES) failure.arguments = given;
    checked.set(place, failure);
  }
  return checked;
}

function checkReport(report: unknown): Report | null {
  const { items, units, cpuSeconds, transferSeconds } = (report ?? {}) as Record<string, unknown>;
  if (!isFigure(items) || !isFigure(cpuSeconds) || !isFigure(transferSeconds) || !isText(units)) return null;
  return { items, units: wellFormed(units.slice(0, MAX_UNITS)), cpuSeconds, transferSeconds };
}

export function checkFromSandbox(message: unknown): FromSandbox | null {
  if (typeof message !== "object" || message === null) return null;
  const { is, worker, reason } = message as Record<string, unknown>;
  if (is === "pong") return { is };
  if (is === "failed" && isCount(worker) && isText(reason)) return { is, worker, reason };
  return null;
}
