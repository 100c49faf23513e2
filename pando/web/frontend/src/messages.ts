/**
 * What nodes say to each other, as `pando/messages.py` has it: one MessagePack array for each
 * message, its tag first. Items and results stay encoded: a node only passes them on.
 */

import { decode as unpack, encode as pack } from "@msgpack/msgpack";

import { joinArray, joinMap, MalformedError, split } from "./raw";
import { cut } from "./text";

export const VERSION = 1;
export const ID_BYTES = 8;
export const MAX_ARGUMENTS_BYTES = 16 * 1024;
const NO_ARGUMENTS = new Uint8Array();

export interface Failure {
  type: string;
  reason: string;
  traceback: string;
  device: string;
  /** The arguments of one of Python's own exceptions, encoded; where they are known. */
  arguments?: Uint8Array | undefined;
}

/** Failures of the items in a message, by their place in it. */
export type Failures = ReadonlyMap<number, Failure>;

export interface Hello {
  tag: "hello";
  version: number;
  name: string;
  workers: number;
  node: Uint8Array;
  run: string;
  token: string;
  ticket: string;
}

export interface Assigned {
  tag: "assigned";
  version: number;
  node: Uint8Array;
  run: string;
  name: string;
  function: Uint8Array;
  timeout: number | null;
  silence: number;
  reportingInterval: number;
  /** In how many messages the function follows, where it is too large for this one. */
  parts: number;
}

/** What a function has reported of its own work, as `pando/reporting` adds it up. */
export interface Report {
  items: number;
  units: string;
  cpuSeconds: number;
  transferSeconds: number;
}

export interface NodeStatus {
  node: Uint8Array;
  parent: Uint8Array;
  name: string;
  workers: number;
  children: number;
  results: number;
  seconds: number;
  /** What the function has reported, if it has. */
  reported: Report | null;
}

export interface Results {
  tag: "results";
  lease: number;
  offset: number;
  seconds: number;
  values: Uint8Array;
  failures: Failures;
}

/** What a node receives from its parent, or from the root while it joins. */
export type Incoming =
  | { tag: "denied"; reason: string }
  | Assigned
  | { tag: "function part"; data: Uint8Array }
  | { tag: "welcome"; parent: Uint8Array }
  | { tag: "delegated"; addresses: string[]; ticket: string }
  | { tag: "lend"; lease: number; items: Uint8Array }
  | { tag: "recall"; lease: number }
  | { tag: "join"; origin: Uint8Array }
  | { tag: "bundle"; messages: Uint8Array[] }
  | { tag: "ended" }
  | { tag: "heartbeat" };

/** What a node sends. */
export type Outgoing =
  | Hello
  | Results
  | { tag: "ready" }
  | { tag: "refused"; reason: string; traceback: string }
  | { tag: "joined" }
  | { tag: "unreachable"; reason: string }
  | { tag: "want"; workers: number }
  | { tag: "returned"; lease: number; offset: number; count: number }
  | { tag: "struck"; lease: number; offset: number; reason: string }
  | { tag: "offer"; origin: Uint8Array; parent: Uint8Array }
  | { tag: "status"; nodes: NodeStatus[] }
  | { tag: "leaving" }
  | { tag: "heartbeat" };

export type Bytes = Uint8Array<ArrayBuffer>;

export function encode(message: Outgoing): Bytes {
  switch (message.tag) {
    case "hello": {
      const { version, name, workers, node, run, token, ticket } = message;
      return pack(["hello", version, name, workers, node, run, token, ticket, 0, [], ""]);
    }
    case "results":
      return joinArray(6, [
        pack("results"),
        pack(message.lease),
        pack(message.offset),
        pack(message.seconds, { forceIntegerToFloat: true }),
        message.values,
        encodeFailures(message.failures),
      ]);
    case "ready":
      return pack(["ready", 0, []]);
    case "refused":
      return pack(["refused", cut(message.reason), cut(message.traceback)]);
    case "unreachable":
      return pack(["unreachable", cut(message.reason)]);
    case "want":
      return pack(["want", message.workers]);
    case "returned":
      return pack(["returned", message.lease, message.offset, message.count]);
    case "struck":
      return pack(["struck", message.lease, message.offset, cut(message.reason)]);
    case "offer":
      return pack(["offer", message.origin, message.parent, [], ""]);
    case "status":
      return pack(["status", message.nodes.map(statusFields)]);
    case "joined":
    case "leaving":
    case "heartbeat":
      return pack([message.tag]);
  }
}

/** Several messages as one, which costs whoever receives them little more than one does. */
export function bundle(encoded: readonly Bytes[]): Bytes {
  return joinArray(2, [pack("bundle"), joinArray(encoded.length, encoded)]);
}

function statusFields(status: NodeStatus): unknown[] {
  const { node, parent, name, workers, children, results, seconds, reported } = status;
  const figures = reported && [
    "reported",
    reported.items,
    reported.units,
    reported.cpuSeconds,
    reported.transferSeconds,
  ];
  return [node, parent, name, workers, children, results, seconds, figures];
}

/** A map with numbers for keys, which the library's encoder has no object for. */
function encodeFailures(failures: Failures): Uint8Array {
  const fields = [...failures].flatMap(([place, { type, reason, traceback, device, ...rest }]) => [
    pack(place),
    pack([cut(type), cut(reason), cut(traceback), cut(device), rest.arguments ?? NO_ARGUMENTS]),
  ]);
  return joinMap(failures.size, fields);
}

/**
 * The message that some bytes are.
 *
 * @throws MalformedError they are none, or none that a node is sent.
 */
export function decode(bytes: Uint8Array): Incoming {
  const fields = split(bytes);
  const read = new Fields(fields);
  const tag = read.text();
  switch (tag) {
    case "denied":
      return { tag, reason: read.text() };
    case "assigned":
      return decodeAssigned(read);
    case "function part":
      return { tag, data: read.bytes() };
    case "welcome":
      return { tag, parent: read.identifier() };
    case "delegated":
      return { tag, addresses: read.texts(), ticket: read.text() };
    case "lend":
      return { tag, lease: read.count(), items: read.raw() };
    case "recall":
      return { tag, lease: read.count() };
    case "join":
      return { tag, origin: read.identifier() };
    case "bundle":
      return { tag, messages: split(read.raw()) };
    case "ended":
    case "heartbeat":
      return { tag };
    default:
      throw new MalformedError(`an unknown message, ${tag.slice(0, 40)}`);
  }
}

function decodeAssigned(read: Fields): Assigned {
  const version = read.count();
  const node = read.identifier();
  const [run, name] = [read.text(), read.text()];
  const packed = read.bytes();
  read.texts(); // the requirements: the page was told which packages to bring
  const timeout = read.optionalNumber();
  read.optionalNumber(); // the largest batch, which the parent keeps to
  read.count(); // the degree and
  read.number(); // the time to connect: browsers have no children
  const [silence, reportingInterval] = [read.number(), read.number()];
  read.raw(); // whether children are delegated, and
  read.raw(); // the versions that the exact form needs, which no browser is sent
  const parts = read.count();
  return { tag: "assigned", version, node, run, name, function: packed, timeout, silence, reportingInterval, parts };
}

/** The fields of a message, each checked as it is taken. */
class Fields {
  private next = 0;

  constructor(private readonly fields: readonly Uint8Array[]) {}

  raw(): Uint8Array {
    const field = this.fields[this.next++];
    if (field === undefined) throw new MalformedError("a field is missing");
    return field;
  }

  private value(): unknown {
    const field = this.raw();
    try {
      return unpack(field);
    } catch (error) {
      throw new MalformedError(`a field is malformed: ${String(error)}`);
    }
  }

  private check<T>(value: unknown, fits: (value: unknown) => value is T): T {
    if (!fits(value)) throw new MalformedError(`field ${this.next - 1} is of a wrong type`);
    return value;
  }

  text = (): string => this.check(this.value(), isString);
  bytes = (): Uint8Array => this.check(this.value(), isBytes);
  texts = (): string[] => this.check(this.value(), isStrings);
  number = (): number => this.check(this.value(), isNumber);
  count = (): number => this.check(this.value(), isCount);
  identifier = (): Uint8Array => this.check(this.value(), isIdentifier);
  optionalNumber = (): number | null => this.check(this.value(), isNumberOrNull);
}

const isString = (value: unknown): value is string => typeof value === "string";
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const isNumber = (value: unknown): value is number => typeof value === "number";
const isNumberOrNull = (value: unknown): value is number | null =>
  value === null || isNumber(value);
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isStrings = (value: unknown): value is string[] => Array.isArray(value) && value.every(isString);
const isIdentifier = (value: unknown): value is Uint8Array =>
  isBytes(value) && value.length === ID_BYTES;
