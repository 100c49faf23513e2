/**
 * What nodes say to each other, as `pando/messages.py` has it: one MessagePack array for each
 * message, its tag first. Items and results stay encoded: a node only passes them on.
 */

import { decode as unpack, encode as pack } from "@msgpack/msgpack";

import { MalformedError } from "./errors";
import { joinArray, joinMap, split, splitMap } from "./msgpack-slices";
import type { Update } from "./node/reports";
import { cut, MAX_TEXT } from "./text";

/** A root's reason for refusing a device that may take no part in the run. */
export const SENT_AWAY = "whoever watches over this run has sent this device away";
export const VERSION = 2;
export const ID_BYTES = 8;
/** The shortest interval that a run may have chosen, and the longest one, or time limit. */
export const LEAST_SECONDS = 0.01;
export const MOST_SECONDS = 1e9;
/** The largest function that is taken from a root. */
export const MAX_FUNCTION_BYTES = 256 * 1024 * 1024;
/** Items in a batch, where the user chose how many. */
const MAX_BATCH_LIMIT = 1_000_000;
export const MAX_ARGUMENTS_BYTES = 16 * 1024;
const NO_ARGUMENTS = new Uint8Array();
/** The largest message that a node takes, in bytes, as `pando/messages.py` has it. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** Seconds that results may have taken; what is longer is no time. */
const MAX_COMPUTED_SECONDS = 1e15;

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
export const NO_FAILURES: Failures = new Map();

export interface Hello {
  tag: "hello";
  name: string;
  workers: number;
  run: string;
  /** Whether this is the report link of a tab that has joined. */
  reports?: boolean;
}

/** A server that passes packets on, with a user and a password for this node. */
export interface TurnServer {
  url: string;
  username: string;
  credential: string;
}

export interface RunInfo {
  tag: "assigned";
  version: number;
  node: Uint8Array;
  run: string;
  name: string;
  function: Uint8Array;
  timeout: number | null;
  /** The most items in a batch, where the user chose it. */
  batchLimit: number | null;
  silence: number;
  reportingInterval: number;
  /** In how many messages the function follows, where it is too large for this one. */
  parts: number;
  /** Whether items that hold others up are lent twice. */
  speculate: boolean;
  /** How nodes connect: `auto` or `webrtc`; empty where by WebSocket alone. */
  protocol: string;
  /** URLs of servers that tell a device its public address. */
  iceServers: string[];
  turnServers: TurnServer[];
  /** Whether each node reports to the root over a link of its own, too. */
  globalMonitoring: boolean;
}

/** What a function has reported of its own work, as `pando/reporting` adds it up. */
export interface Report {
  items: number;
  units: string;
  cpuSeconds: number;
  transferSeconds: number;
}

export interface Results {
  tag: "results";
  lease: number;
  offset: number;
  seconds: number;
  values: Uint8Array;
  failures: Failures;
}

/** Items that are lent, as one encoded array. */
export interface Lend {
  tag: "lend";
  lease: number;
  items: Uint8Array;
  /** Whether another borrower has been lent them, too: then they are not copied again. */
  isCopy: boolean;
}

/** What has not been started of a lease is wanted back. */
export interface Recall {
  tag: "recall";
  lease: number;
  /** Whether what has been started is not wanted, either. */
  isSuperseded: boolean;
}

export interface ReturnItems {
  tag: "returned";
  lease: number;
  offset: number;
  count: number;
}

/** What ran an item was lost. */
export interface ItemCrashed {
  tag: "struck";
  lease: number;
  offset: number;
  reason: string;
}

/** How many workers compute at a node and below it, and the largest item that it takes, in bytes. */
export interface Capacity {
  tag: "want";
  workers: number;
  maxValue: number;
}

/** What a node receives from its parent, from the root while it joins, or from its children. */
export type Incoming =
  | { tag: "denied"; reason: string }
  | RunInfo
  | { tag: "function part"; data: Uint8Array }
  | { tag: "welcome"; parent: Uint8Array }
  | { tag: "delegated"; parent: Uint8Array; addresses: string[]; ticket: string; answer: string }
  | { tag: "signal"; description: string }
  | Lend
  | Recall
  | Results
  | ReturnItems
  | ItemCrashed
  | Capacity
  | { tag: "join"; origin: Uint8Array }
  | { tag: "disconnect"; node: Uint8Array }
  | { tag: "bundle"; messages: Uint8Array[] }
  | { tag: "large"; size: number }
  | { tag: "part"; data: Uint8Array }
  | { tag: "grant" }
  | { tag: "ended"; results: number }
  | { tag: "heartbeat"; ping: number; pong: number };

/** What a node sends. */
export type Outgoing =
  | Hello
  | Results
  | { tag: "ready"; offer: string }
  | { tag: "refused"; reason: string; traceback: string }
  | { tag: "joined" }
  | { tag: "unreachable"; reason: string; offer: string }
  | { tag: "signal"; description: string }
  | Capacity
  | { tag: "large"; size: number }
  | { tag: "part"; data: Uint8Array }
  | { tag: "grant" }
  | ReturnItems
  | ItemCrashed
  | Lend
  | Recall
  | { tag: "offer"; origin: Uint8Array; parent: Uint8Array }
  | Update
  | { tag: "leaving" }
  | { tag: "heartbeat"; ping?: number; pong?: number };

export type Bytes = Uint8Array<ArrayBuffer>;

export function encode(message: Outgoing): Bytes {
  switch (message.tag) {
    case "hello":
      return pack([
        "hello",
        message.name,
        message.workers,
        message.run,
        0,
        "",
        message.reports ?? false,
      ]);
    case "results":
      return joinArray(6, [
        pack("results"),
        pack(message.lease),
        pack(message.offset),
        pack(message.seconds, { forceIntegerToFloat: true }),
        message.values,
        encodeFailures(message.failures),
      ]);
    case "lend":
      return joinArray(4, [pack("lend"), pack(message.lease), message.items, pack(message.isCopy)]);
    case "recall":
      return pack(["recall", message.lease, message.isSuperseded]);
    case "ready":
      return pack(["ready", 0, [], message.offer]);
    case "refused":
      return pack(["refused", cut(message.reason), cut(message.traceback)]);
    case "unreachable":
      return pack(["unreachable", cut(message.reason), message.offer]);
    case "signal":
      return pack(["signal", message.description]);
    case "want":
      return pack(["want", message.workers, message.maxValue]);
    case "large":
      return pack(["large", message.size]);
    case "part":
      return pack(["part", message.data]);
    case "returned":
      return pack(["returned", message.lease, message.offset, message.count]);
    case "struck":
      return pack(["struck", message.lease, message.offset, cut(message.reason)]);
    case "offer":
      return pack(["offer", message.origin, message.parent, "", ""]);
    case "update":
      return encodeUpdate(message);
    case "joined":
    case "leaving":
    case "grant":
      return pack([message.tag]);
    case "heartbeat":
      return pack(["heartbeat", message.ping ?? 0, message.pong ?? 0]);
  }
}

/** Several messages as one, which costs whoever receives them little more than one does. */
export function bundle(encoded: readonly Bytes[]): Bytes {
  return joinArray(2, [pack("bundle"), joinArray(encoded.length, encoded)]);
}

function encodeUpdate({ introductions, intervals }: Update): Bytes {
  const introduced = introductions.map(({ key, device, sequence, counters }) => {
    const { node, epoch, parent, name, kind, version, link, workers, units } = device;
    const fields = [node, epoch, parent, name, kind, version, link, workers, units];
    return [key, fields, sequence, counters];
  });
  const reported = intervals.map(({ key, sequence, counters, state, held, roundTrip }) => {
    return [key, sequence, counters, state, held, 0, null, roundTrip];
  });
  return pack(["update", [], introduced, [], reported, null]);
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
      return decodeRunInfo(read);
    case "function part":
      return { tag, data: read.bytes() };
    case "welcome":
      return { tag, parent: read.identifier() };
    case "delegated":
      return {
        tag,
        parent: read.identifier(),
        addresses: read.texts(),
        ticket: read.text(),
        answer: fields.length > 4 ? read.text() : "",
      };
    case "signal":
      return { tag, description: fields.length > 1 ? read.text() : "" };
    case "lend":
      return {
        tag,
        lease: read.count(),
        items: read.raw(),
        isCopy: fields.length > 3 && read.boolean(),
      };
    case "recall":
      return { tag, lease: read.count(), isSuperseded: fields.length > 2 && read.boolean() };
    case "results":
      return {
        tag,
        lease: read.count(),
        offset: read.count(),
        seconds: read.seconds(),
        values: read.raw(),
        failures: fields.length > 5 ? read.failures() : NO_FAILURES,
      };
    case "returned":
      return { tag, lease: read.count(), offset: read.count(), count: read.count() };
    case "struck":
      return { tag, lease: read.count(), offset: read.count(), reason: read.shortText() };
    case "want":
      return { tag, workers: read.count(), maxValue: fields.length > 2 ? read.count() : 0 };
    case "join":
      return { tag, origin: read.identifier() };
    case "disconnect":
      return { tag, node: read.identifier() };
    case "bundle":
      return { tag, messages: split(read.raw()) };
    case "large":
      return { tag, size: read.count() };
    case "part":
      return { tag, data: read.bytes() };
    case "ended":
      return { tag, results: fields.length > 1 ? read.count() : 0 };
    case "grant":
      return { tag };
    case "heartbeat":
      return {
        tag,
        ping: fields.length > 1 ? read.count() : 0,
        pong: fields.length > 2 ? read.count() : 0,
      };
    default:
      throw new MalformedError(`an unknown message, ${tag.slice(0, 40)}`);
  }
}

function decodeRunInfo(read: Fields): RunInfo {
  const version = read.count();
  const node = read.identifier();
  const [run, name] = [read.text(), read.text()];
  const packed = read.bytes();
  read.texts(); // the requirements: the page was told which packages to bring
  const timeout = read.timeLimit();
  const batchLimit = read.batchLimit();
  read.raw(); // the degree and
  read.raw(); // the time to connect: browsers have no children
  const [silence, reportingInterval] = [read.interval(), read.interval()];
  read.raw(); // whether children are delegated, and
  read.raw(); // the versions that the exact form needs, which no browser is sent
  const parts = read.count();
  const speculate = read.left > 0 ? read.boolean() : true;
  const protocol = read.left > 0 ? read.text() : "";
  const iceServers = read.left > 0 ? read.texts() : [];
  const globalMonitoring = read.left > 0 && read.boolean();
  const turnServers = read.left > 0 ? read.turnServers() : [];
  return { tag: "assigned", version, node, run, name, function: packed, timeout, batchLimit, silence, reportingInterval, parts, speculate, protocol, iceServers, turnServers, globalMonitoring };
}

function decodeFailure(fields: readonly Uint8Array[]): Failure {
  const read = new Fields(fields);
  const [type, reason] = [read.shortText(), read.shortText()];
  const traceback = read.left > 0 ? read.shortText() : "";
  const device = read.left > 0 ? read.shortText() : "";
  const encoded = read.left > 0 ? read.bytes() : NO_ARGUMENTS;
  if (encoded.length > MAX_ARGUMENTS_BYTES) throw new MalformedError("arguments of too many bytes");
  return { type, reason, traceback, device, arguments: encoded };
}

/** The fields of a message, each checked as it is taken. */
class Fields {
  private next = 0;

  constructor(private readonly fields: readonly Uint8Array[]) {}

  /** How many are left; older nodes send fewer. */
  get left(): number {
    return this.fields.length - this.next;
  }

  raw(): Uint8Array {
    const field = this.fields[this.next++];
    if (field === undefined) throw new MalformedError("a field is missing");
    return field;
  }

  /** Failures by their place, which is a number; a map in JavaScript's objects would not tell. */
  failures(): Failures {
    const parts = splitMap(this.raw(), MAX_BATCH_LIMIT);
    if (parts.length === 0) return NO_FAILURES;
    const failures = new Map<number, Failure>();
    const inside = new Fields(parts);
    while (inside.left > 0) failures.set(inside.count(), decodeFailure(split(inside.raw())));
    return failures;
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
  shortText = (): string => this.check(this.value(), isShort);
  seconds = (): number => this.check(this.value(), areSeconds);
  texts = (): string[] => this.check(this.value(), isStrings);
  turnServers = (): TurnServer[] =>
    this.check(this.value(), areTriples).map(([url, username, credential]) => ({ url, username, credential }));
  boolean = (): boolean => this.check(this.value(), isBoolean);
  count = (): number => this.check(this.value(), isCount);
  identifier = (): Uint8Array => this.check(this.value(), isIdentifier);
  interval = (): number => this.check(this.value(), isInterval);
  batchLimit = (): number | null => this.check(this.value(), isBatchLimit);
  timeLimit = (): number | null => this.check(this.value(), isTimeLimit);
}

const isShort = (value: unknown): value is string => isString(value) && value.length <= MAX_TEXT;
const areSeconds = (value: unknown): value is number =>
  isNumber(value) && value >= 0 && value <= MAX_COMPUTED_SECONDS;
const isString = (value: unknown): value is string => typeof value === "string";
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
const isNumber = (value: unknown): value is number => typeof value === "number";
const isInterval = (value: unknown): value is number =>
  isNumber(value) && value >= LEAST_SECONDS && value <= MOST_SECONDS;
const isBatchLimit = (value: unknown): value is number | null =>
  value === null || (isCount(value) && value >= 1 && value <= MAX_BATCH_LIMIT);
const isTimeLimit = (value: unknown): value is number | null =>
  value === null || (isNumber(value) && value > 0 && value <= MOST_SECONDS);
export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isStrings = (value: unknown): value is string[] => Array.isArray(value) && value.every(isString);
const areTriples = (value: unknown): value is [string, string, string][] =>
  Array.isArray(value) && value.every((each) => isStrings(each) && each.length === 3);
const isIdentifier = (value: unknown): value is Uint8Array =>
  isBytes(value) && value.length === ID_BYTES;
