/**
 * What nodes say to each other, as `pando/messages` has it: one MessagePack array for each
 * message, its tag first. Items and results stay encoded: a node only passes them on.
 */

import { encode as pack } from "@msgpack/msgpack";

import { MalformedError } from "./errors";
import { Fields, MAX_BATCH_LIMIT } from "./message-fields";
import { joinArray, joinMap, split, splitMap } from "./msgpack-slices";
import { encodeUpdate, type Update } from "./reporting/records";
import { cut, MAX_TEXT } from "./text";

/** A root's reason for refusing a device that may take no part in the run. */
export const SENT_AWAY = "whoever watches over this run has sent this device away";
export const VERSION = 2;
/** The largest function that is taken from a root. */
export const MAX_FUNCTION_BYTES = 256 * 1024 * 1024;
export const MAX_ARGUMENTS_BYTES = 16 * 1024;
const NO_ARGUMENTS = new Uint8Array();
/** The largest message that a node takes, in bytes, as `pando/messages` has it. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;

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
  /** Whether it takes children, whose offers of WebRTC it answers. */
  answersOffers?: boolean;
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
  /** The most items in a batch, where the person who runs this has chosen it. */
  batchLimit: number | null;
  /** How many children a node takes before it delegates. */
  degree: number;
  /** Seconds that a joining node may take to connect. */
  bootstrapTimeout: number;
  /** Whether nodes take children at all. */
  delegates: boolean;
  /** Whether an item that holds up others is lent a second time. */
  speculate: boolean;
  silence: number;
  reportingInterval: number;
  /** In how many messages the function follows, where it is too large for this one. */
  parts: number;
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
  /** Whether it takes children, whose offers of WebRTC it answers, where that has changed. */
  answersOffers?: boolean | null;
}

/** An offer to connect by WebRTC, or the answer to one. */
export interface Signal {
  tag: "signal";
  description: string;
  /** Seconds after which to ask again, where there is no answer since too many ask. */
  again?: number;
}

/** What a node receives from its parent, from the root while it joins, or of items from its children. */
export type Incoming =
  | { tag: "denied"; reason: string }
  | RunInfo
  | { tag: "function part"; data: Uint8Array }
  | { tag: "welcome"; parent: Uint8Array }
  | { tag: "delegated"; parent: Uint8Array; addresses: string[]; ticket: string; answer: string }
  | Signal
  | Lend
  | Recall
  | Results
  | ReturnItems
  | ItemCrashed
  | Capacity
  | { tag: "join"; origin: Uint8Array; offer: string }
  | { tag: "disconnect"; node: Uint8Array }
  | { tag: "bundle"; messages: Uint8Array[] }
  | { tag: "large"; size: number }
  | { tag: "part"; data: Uint8Array }
  | { tag: "grant" }
  | { tag: "ended"; results: number }
  /** The parent takes no children any more: another place is to be found. */
  | { tag: "leaving" }
  | { tag: "heartbeat"; ping: number; pong: number };

/** What a node sends. */
export type Outgoing =
  | Hello
  | Results
  | { tag: "ready"; offer: string }
  | { tag: "refused"; reason: string; traceback: string }
  | { tag: "joined" }
  | { tag: "unreachable"; reason: string; offer: string }
  | Signal
  | Capacity
  | { tag: "large"; size: number }
  | { tag: "part"; data: Uint8Array }
  | { tag: "grant" }
  | ReturnItems
  | ItemCrashed
  | Lend
  | Recall
  | { tag: "offer"; origin: Uint8Array; parent: Uint8Array; ticket: string; answer: string }
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
        message.answersOffers ?? false,
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
      return joinArray(3, [
        pack("signal"),
        pack(message.description),
        pack(message.again ?? 0, { forceIntegerToFloat: true }),
      ]);
    case "want":
      return pack(["want", message.workers, message.maxValue, message.answersOffers ?? null]);
    case "large":
      return pack(["large", message.size]);
    case "part":
      return pack(["part", message.data]);
    case "returned":
      return pack(["returned", message.lease, message.offset, message.count]);
    case "struck":
      return pack(["struck", message.lease, message.offset, cut(message.reason)]);
    case "offer":
      return pack(["offer", message.origin, message.parent, message.ticket, message.answer]);
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
      return {
        tag,
        description: read.left > 0 ? read.text() : "",
        again: read.left > 0 ? read.seconds() : 0,
      };
    case "lend":
      return { tag, lease: read.count(), items: read.raw(), isCopy: fields.length > 3 && read.boolean() };
    case "recall":
      return { tag, lease: read.count(), isSuperseded: fields.length > 2 && read.boolean() };
    case "results":
      return {
        tag,
        lease: read.count(),
        offset: read.count(),
        seconds: read.seconds(),
        values: read.raw(),
        failures: fields.length > 5 ? decodeFailures(read.raw()) : NO_FAILURES,
      };
    case "returned":
      return { tag, lease: read.count(), offset: read.count(), count: read.count() };
    case "struck":
      return { tag, lease: read.count(), offset: read.count(), reason: read.boundedText(MAX_TEXT) };
    case "want":
      return {
        tag,
        workers: read.count(),
        maxValue: read.left > 0 ? read.count() : 0,
        answersOffers: read.left > 0 ? read.choice() : null,
      };
    case "join":
      return { tag, origin: read.identifier(), offer: fields.length > 2 ? read.description() : "" };
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
    case "leaving":
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
  const degree = read.degree();
  const [bootstrapTimeout, silence, reportingInterval] = [read.interval(), read.interval(), read.interval()];
  const delegates = read.boolean();
  read.raw(); // the versions that the exact form needs, which no browser is sent
  const parts = read.count();
  const speculate = read.left === 0 || read.boolean();
  const protocol = read.left > 0 ? read.text() : "";
  const iceServers = read.left > 0 ? read.texts() : [];
  const globalMonitoring = read.left > 0 && read.boolean();
  const turnServers = read.left > 0 ? read.turnServers() : [];
  return { tag: "assigned", version, node, run, name, function: packed, timeout, batchLimit, degree, bootstrapTimeout, delegates, speculate, silence, reportingInterval, parts, protocol, iceServers, turnServers, globalMonitoring };
}

/** Failures by their place, which is a number; a map in JavaScript's objects would not tell. */
function decodeFailures(encoded: Uint8Array): Failures {
  const parts = new Fields(splitMap(encoded, MAX_BATCH_LIMIT));
  const failures = new Map<number, Failure>();
  while (parts.left > 0) failures.set(parts.count(), decodeFailure(split(parts.raw())));
  return failures;
}

function decodeFailure(fields: readonly Uint8Array[]): Failure {
  const read = new Fields(fields);
  const [type, reason] = [read.boundedText(MAX_TEXT), read.boundedText(MAX_TEXT)];
  const traceback = read.left > 0 ? read.boundedText(MAX_TEXT) : "";
  const device = read.left > 0 ? read.boundedText(MAX_TEXT) : "";
  const encoded = read.left > 0 ? read.bytes() : NO_ARGUMENTS;
  if (encoded.length > MAX_ARGUMENTS_BYTES) throw new MalformedError("arguments of too many bytes");
  return { type, reason, traceback, device, arguments: encoded };
}
