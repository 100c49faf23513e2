/** A JavaScript function of the user's: its module is run, and the function called item by item. */

import { decode as decodeMessagePack } from "@msgpack/msgpack";

import { FunctionError } from "../errors";
import { split } from "../msgpack-slices";

export const EXPORT_KEY = "/pando/1.0.0";

/** What is sent of a JavaScript function: `pando.functions.package.JavaScriptPackage`. */
export interface JavaScriptPackage {
  name: string;
  /** A CommonJS script. */
  source: string;
  filename: string;
  /** Whether results are wanted as `String(result)`. */
  asText: boolean;
}

type Report = (info: unknown) => void;
type Call = (item: unknown) => unknown;

/** The package that some bytes are. */
export function readPackage(bytes: Uint8Array): JavaScriptPackage {
  const [tag, name, source, filename, asText] = split(bytes).map((each) => decodeMessagePack(each));
  if (tag !== "javascript" || typeof source !== "string") {
    throw new FunctionError("this is not a JavaScript function");
  }
  return { name: String(name), source, filename: String(filename), asText: asText === true };
}

/**
 * Run a module and give back the function that it exports, as one of an item: it returns the
 * result, or a promise of it, and throws what the function throws or calls back with.
 *
 * @throws FunctionError the module exports no function.
 * @throws unknown whatever the module itself throws.
 */
export function load(packaged: JavaScriptPackage, report: Report = () => {}): Call {
  const exported = findExport(run(packaged, report), packaged.filename);
  const call: Call = exported.length >= 2 ? withCallback(exported) : (item) => exported(item);
  return packaged.asText ? (item) => then(call(item), String) : call;
}

type Exported = (item: unknown, callback?: (error: unknown, result?: unknown) => void) => unknown;

/** The module's exports. The wrapper stands on the module's first line, so that lines are true. */
function run(packaged: JavaScriptPackage, report: Report): unknown {
  const module = { exports: {} as unknown };
  const require = (name: string): unknown => {
    if (name === "pando-computing") return { report };
    throw new FunctionError(`it requires ${name}, which was not bundled`);
  };
  const script =
    `(function (exports, require, module, __filename, __dirname) {${packaged.source}\n})` +
    `\n//# sourceURL=${packaged.filename.replace(/[\s?#]/g, "_")}`;
  // biome-ignore lint/security/noGlobalEval: the function is code; an indirect call makes it sloppy code that sees no variables of this module
  const wrapper = globalThis.eval(script) as (...given: unknown[]) => void;
  const folder = /^(.*)[/\\]/.exec(packaged.filename)?.[1] ?? ".";
  wrapper.call(module.exports, module.exports, require, module, packaged.filename, folder);
  return module.exports;
}

function findExport(exports: unknown, filename: string): Exported {
  const named = exports as { [EXPORT_KEY]?: unknown; default?: unknown } | null | undefined;
  const nested = named?.default as { [EXPORT_KEY]?: unknown } | null | undefined;
  const found = named?.[EXPORT_KEY] ?? nested?.[EXPORT_KEY] ?? named?.default ?? exports;
  if (typeof found !== "function") {
    throw new FunctionError(
      `${filename} exports no function: it should set module.exports['${EXPORT_KEY}'] = function (x, cb) {…}`,
    );
  }
  return found as Exported;
}

/** A function that calls back, as one that returns. Only the first call counts. */
function withCallback(exported: Exported): Call {
  return (item) => {
    let settled = false;
    let outcome: { error: unknown } | { result: unknown } | null = null;
    let settle: (() => void) | null = null;
    const callback = (error: unknown, result?: unknown): void => {
      if (settled) return;
      settled = true;
      outcome = error ? { error } : { result };
      settle?.();
    };
    const returned = exported(item, callback);
    const read = (): unknown => {
      const known = outcome as unknown as { error: unknown } | { result: unknown };
      if ("error" in known) throw known.error;
      return known.result;
    };
    if (settled) return read();
    return new Promise<void>((resolve, reject) => {
      settle = resolve;
      if (isPromise(returned)) returned.then(undefined, reject); // an async function that fails
    }).then(read);
  };
}

export function isPromise(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null)?.then === "function";
}

function then<T>(value: unknown, next: (value: unknown) => T): T | PromiseLike<T> {
  return isPromise(value) ? value.then(next) : next(value);
}

/** An exception of the function, as text. */
export function describe(error: unknown): { type: string; reason: string; traceback: string } {
  try {
    if (
      error instanceof Error ||
      (typeof error === "object" && error !== null && "message" in error)
    ) {
      const { name, message, stack } = error as Error;
      return {
        type: safeString(name ?? "Error"),
        reason: safeString(message),
        traceback: ownFrames(stack),
      };
    }
  } catch {
    // what it says of itself fails in its turn
  }
  return { type: "Error", reason: safeString(error), traceback: "" };
}

/** Where this program stands, as stacks name it. */
const OWN_SCRIPT = /((?:\w+:|\/)\S*?):\d+:\d+/.exec(new Error().stack ?? "")?.[1];

/** The stack without the frames of what called the function, which are none of the user's business. */
function ownFrames(stack: unknown): string {
  if (typeof stack !== "string") return "";
  const lines = stack.split("\n");
  const ours = OWN_SCRIPT === undefined ? -1 : lines.findIndex((line) => line.includes(OWN_SCRIPT));
  return (ours > 0 ? lines.slice(0, ours) : lines).join("\n");
}

function safeString(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "(its text cannot be shown)";
  }
}
