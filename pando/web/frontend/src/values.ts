/**
 * Items and results as JavaScript functions have them, in the MessagePack of `pando/values`.
 *
 * Numbers are numbers as far as they are exact, that is up to 2^53, and BigInts beyond. What
 * JavaScript has no type for becomes what is nearest: `docs/values.md` has the table.
 */

import { Decoder, Encoder, ExtensionCodec } from "@msgpack/msgpack";

import { arrayFrom, narrow, scalarFrom } from "./arrays";
import { fromPandas, fromPolars } from "./frames";
import { wellFormed } from "./text";

/** The codes of MessagePack's extension types, as in `pando.values.Extension`. */
export const Extension = {
  BIG_INT: 1,
  TUPLE: 2,
  SET: 3,
  FROZENSET: 4,
  COMPLEX: 5,
  DATETIME: 6,
  DATE: 7,
  TIME: 8,
  TIMEDELTA: 9,
  DECIMAL: 10,
  UUID: 11,
  NUMPY_ARRAY: 12,
  NUMPY_SCALAR: 13,
  REGISTERED: 14,
  BYTEARRAY: 15,
  RANGE: 16,
  FRACTION: 17,
  PATH: 18,
  ORDERED_DICT: 19,
  COUNTER: 20,
  DEFAULT_DICT: 21,
  DEQUE: 22,
  NAMED_TUPLE: 23,
  DATACLASS: 24,
  ENUM: 25,
  PANDAS: 26,
  POLARS: 27,
} as const;

export class UnsupportedValueError extends TypeError {
  override name = "UnsupportedValueError";
}

const codec = new ExtensionCodec();

/** A `Date` on its way: the library has a type of its own for those, which Python does not read. */
class Moment {
  readonly bytes: Uint8Array;

  constructor(date: Date) {
    if (Number.isNaN(date.getTime()))
      throw new UnsupportedValueError("an invalid Date cannot be serialized");
    // As Python's ISO format in UTC, its fold, and no name of a time zone.
    this.bytes = new TextEncoder().encode(`${date.toISOString().replace("Z", "+00:00")}|0|`);
  }
}

function register(
  type: number,
  toBytes: (value: unknown) => Uint8Array | null,
  fromBytes: (bytes: Uint8Array) => unknown,
): void {
  codec.register({ type, encode: toBytes, decode: fromBytes });
}

const never = (): null => null;
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

register(
  Extension.BIG_INT,
  (value) => (typeof value === "bigint" ? bigIntToBytes(value) : null),
  (bytes) => narrow(bigIntFromBytes(bytes)),
);
register(Extension.TUPLE, never, decode);
register(
  Extension.SET,
  (value) => (value instanceof Set ? encode([...value]) : null),
  (bytes) => new Set(decode(bytes) as unknown[]),
);
register(Extension.FROZENSET, never, (bytes) => new Set(decode(bytes) as unknown[]));
register(Extension.COMPLEX, never, decode);
register(
  Extension.DATETIME,
  (value) => (value instanceof Moment ? value.bytes : null),
  (bytes) => dateFromText(text(bytes)),
);
register(Extension.DATE, never, (bytes) => new Date(`${text(bytes)}T00:00:00Z`));
register(Extension.TIME, never, (bytes) => text(bytes).split("|")[0]);
register(Extension.TIMEDELTA, never, (bytes) => {
  const [days, seconds, microseconds] = decode(bytes) as [number, number, number];
  return (days * 86400 + seconds) * 1000 + microseconds / 1000;
});
register(Extension.DECIMAL, never, text);
register(Extension.UUID, never, (bytes) => {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
});

register(Extension.RANGE, never, (bytes) => {
  const [start, stop, step] = decode(bytes) as unknown[];
  return { start, stop, step };
});
register(Extension.FRACTION, never, (bytes) => {
  const [numerator, denominator] = decode(bytes) as (number | bigint)[];
  return Number(numerator) / Number(denominator);
});
register(Extension.PATH, never, (bytes) => (decode(bytes) as unknown[])[2]);
register(Extension.ORDERED_DICT, never, decode);
register(Extension.COUNTER, never, decode);
register(Extension.DEFAULT_DICT, never, (bytes) => (decode(bytes) as unknown[])[1]);
register(Extension.DEQUE, never, (bytes) => (decode(bytes) as unknown[])[1]);
register(Extension.BYTEARRAY, never, (bytes) => bytes.slice());
register(Extension.REGISTERED, never, (bytes) => (decode(bytes) as unknown[])[1]);
register(Extension.NAMED_TUPLE, never, (bytes) => (decode(bytes) as unknown[]).slice(1));
register(Extension.DATACLASS, never, (bytes) => (decode(bytes) as unknown[])[1]);
register(Extension.ENUM, never, (bytes) => {
  const [, name, value] = decode(bytes) as unknown[];
  return value ?? name;
});
register(Extension.NUMPY_ARRAY, never, (bytes) => arrayFrom(decode(bytes)));
register(Extension.NUMPY_SCALAR, never, (bytes) => scalarFrom(decode(bytes)));
register(Extension.PANDAS, never, (bytes) => fromPandas(decode(bytes)));
register(Extension.POLARS, never, (bytes) => fromPolars(decode(bytes)));

/** The value that some bytes stand for. */
export function decode(bytes: Uint8Array): unknown {
  const decoder = new Decoder({ extensionCodec: codec, useBigInt64: true, mapKeyConverter: keyOf });
  return narrowAll(decoder.decode(bytes));
}

/**
 * A value as MessagePack.
 *
 * @throws UnsupportedValueError it, or one inside it, cannot be serialized.
 */
export function encode(value: unknown): Uint8Array<ArrayBuffer> {
  try {
    return new Encoder({ extensionCodec: codec, ignoreUndefined: false }).encode(
      portable(value, 0),
    );
  } catch (error) {
    if (error instanceof UnsupportedValueError) throw error;
    throw new UnsupportedValueError(error instanceof Error ? error.message : String(error));
  }
}

const MAX_DEPTH = 100;

/** The value without what MessagePack's library would take for something else, or take wrongly. */
function portable(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "function":
    case "symbol":
      throw new UnsupportedValueError(`a ${typeof value} cannot be serialized`);
    case "undefined":
      return null;
    case "string":
      return wellFormed(value);
    case "object":
      break;
    default:
      return value;
  }
  if (value === null || ArrayBuffer.isView(value)) return value;
  if (value instanceof Date) return new Moment(value);
  if (depth >= MAX_DEPTH) throw new UnsupportedValueError("nested too deeply to be serialized");
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (value instanceof Set) return new Set([...value].map((each) => portable(each, depth + 1)));
  if (value instanceof Number || value instanceof String || value instanceof Boolean)
    return value.valueOf();
  if (Array.isArray(value)) return value.map((each) => portable(each, depth + 1));
  if (value instanceof Map) {
    const entries = [...value].map(([key, each]) => [String(key), portable(each, depth + 1)]);
    return Object.fromEntries(entries);
  }
  const withJson = value as { toJSON?: unknown };
  if (typeof withJson.toJSON === "function")
    return portable(withJson.toJSON.call(value), depth + 1);
  const entries = Object.entries(value).filter(
    ([, each]) => each !== undefined && typeof each !== "function",
  );
  return Object.fromEntries(entries.map(([key, each]) => [key, portable(each, depth + 1)]));
}

function keyOf(key: unknown): string | number {
  return typeof key === "number" || typeof key === "string" ? key : String(key);
}

/** The same for all that came in 64 bits, wherever in the value. */
function narrowAll(value: unknown): unknown {
  if (typeof value === "bigint") return narrow(value);
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const each: unknown = value[i];
      if (typeof each === "bigint" || typeof each === "object") value[i] = narrowAll(each);
    }
  } else if (value !== null && Object.getPrototypeOf(value) === Object.prototype) {
    const object = value as Record<string, unknown>;
    for (const key of Object.keys(object)) object[key] = narrowAll(object[key]);
  }
  return value;
}

function bigIntToBytes(value: bigint): Uint8Array {
  const magnitude = value < 0n ? ~value : value;
  const size = Math.floor(magnitude.toString(16).length / 2) + 1;
  const hex = BigInt.asUintN(8 * size, value)
    .toString(16)
    .padStart(2 * size, "0");
  return Uint8Array.from({ length: size }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

function bigIntFromBytes(bytes: Uint8Array): bigint {
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex || "0"}`));
}

/** The moment; one without a time zone is taken for one in UTC. */
function dateFromText(text: string): Date {
  const iso = text.split("|")[0] ?? "";
  return new Date(/[+-]\d\d:\d\d/.test(iso.slice(10)) ? iso : `${iso}Z`);
}
