/** What a tab says to its children, and reads from them: the other side of `messages.ts`. */

import { encode as pack, decode as unpack } from "@msgpack/msgpack";

import { MalformedError } from "./errors";
import { Fields, isCount, MAX_BATCH_LIMIT } from "./message-fields";
import {
  type Bytes,
  type Failure,
  type Failures,
  type Hello,
  MAX_ARGUMENTS_BYTES,
  type Results,
} from "./messages";
import { joinArray, split, splitMap } from "./msgpack-slices";
import { decodeUpdate, type Update } from "./reporting/records";
import { MAX_TEXT } from "./text";

/** What a node receives from a child. */
export type FromChild =
  | Results
  | { tag: "want"; workers: number; maxValue: number; answersOffers: boolean | null }
  | { tag: "returned"; lease: number; offset: number; count: number }
  | { tag: "struck"; lease: number; offset: number; reason: string }
  | { tag: "offer"; origin: Uint8Array; parent: Uint8Array; ticket: string; answer: string }
  | { tag: "signal"; description: string }
  | Update
  | { tag: "leaving" }
  | { tag: "bundle"; messages: Uint8Array[] }
  | { tag: "large"; size: number }
  | { tag: "part"; data: Uint8Array }
  | { tag: "grant" }
  | { tag: "heartbeat"; ping: number; pong: number };

/** What a node sends a child. */
export type ToChild =
  | { tag: "denied"; reason: string }
  | { tag: "welcome"; parent: Uint8Array }
  | { tag: "lend"; lease: number; items: Uint8Array; isCopy: boolean }
  | { tag: "recall"; lease: number; isSuperseded: boolean }
  | { tag: "join"; origin: Uint8Array; offer: string }
  | { tag: "disconnect"; node: Uint8Array }
  | { tag: "signal"; description: string }
  | { tag: "ended"; results: number }
  | { tag: "leaving" };

export function encodeToChild(message: ToChild): Bytes {
  switch (message.tag) {
    case "denied":
      return pack(["denied", message.reason, 0]);
    case "welcome":
      return pack(["welcome", message.parent]);
    case "lend":
      return joinArray(4, [pack("lend"), pack(message.lease), message.items, pack(message.isCopy)]);
    case "recall":
      return pack(["recall", message.lease, message.isSuperseded]);
    case "join":
      return pack(["join", message.origin, message.offer]);
    case "disconnect":
      return pack(["disconnect", message.node]);
    case "signal":
      return pack(["signal", message.description]);
    case "ended":
      return pack(["ended", message.results]);
    case "leaving":
      return pack(["leaving"]);
  }
}

/**
 * The message of a child that some bytes are.
 *
 * @throws MalformedError they are none, or none that a child may send.
 */
export function decodeFromChild(bytes: Uint8Array): FromChild {
  const fields = split(bytes);
  const read = new Fields(fields);
  const tag = read.text();
  switch (tag) {
    case "results":
      return {
        tag,
        lease: read.count(),
        offset: read.count(),
        seconds: read.seconds(),
        values: read.raw(),
        failures: read.left > 0 ? decodeFailures(read.raw()) : new Map(),
      };
    case "want":
      return {
        tag,
        workers: read.count(),
        maxValue: read.left > 0 ? read.count() : 0,
        answersOffers: read.left > 0 ? read.choice() : null,
      };
    case "returned":
      return { tag, lease: read.count(), offset: read.count(), count: read.count() };
    case "struck":
      return {
        tag,
        lease: read.count(),
        offset: read.count(),
        reason: read.boundedText(MAX_TEXT),
      };
    case "offer":
      return {
        tag,
        origin: read.identifier(),
        parent: read.identifier(),
        ticket: read.left > 0 ? read.word() : "",
        answer: read.left > 0 ? read.description() : "",
      };
    case "signal":
      return { tag, description: read.left > 0 ? read.description() : "" };
    case "update":
      return decodeUpdate(read);
    case "bundle":
      return { tag, messages: split(read.raw()) };
    case "large":
      return { tag, size: read.count() };
    case "part":
      return { tag, data: read.bytes() };
    case "leaving":
    case "grant":
      return { tag };
    case "heartbeat":
      return {
        tag,
        ping: read.left > 0 ? read.count() : 0,
        pong: read.left > 0 ? read.count() : 0,
      };
    default:
      throw new MalformedError(`a child does not send this, ${tag.slice(0, 40)}`);
  }
}

/** What a child says of itself in the handshake. @throws MalformedError it is something else. */
export function decodeHello(bytes: Uint8Array): Hello & { port: number } {
  const read = new Fields(split(bytes));
  const tag = read.text();
  if (tag !== "hello") throw new MalformedError("a node must say who it is");
  const name = read.left > 0 ? read.word() : "";
  const workers = read.left > 0 ? read.count() : 1;
  const run = read.left > 0 ? read.word() : "";
  const port = read.left > 0 ? read.count() : 0;
  if (read.left > 0) read.raw(); // its fingerprint: functions come from the root alone
  const reports = read.left > 0 && read.boolean();
  const answersOffers = read.left > 0 && read.boolean();
  return { tag, name, workers, run, port, reports, answersOffers };
}

/** The failures of a message: a map with numbers for keys, each followed by a failure. */
function decodeFailures(encoded: Uint8Array): Failures {
  const entries = splitMap(encoded);
  if (entries.length > MAX_BATCH_LIMIT) throw new MalformedError("very many failures");
  return new Map(entries.map(([place, failure]) => [readPlace(place), readFailure(failure)]));
}

function readPlace(encoded: Uint8Array): number {
  const place = unpack(encoded);
  if (!isCount(place)) throw new MalformedError("a failure at no place");
  return place;
}

function readFailure(encoded: Uint8Array): Failure {
  const read = new Fields(split(encoded));
  const failure: Failure = {
    type: read.boundedText(MAX_TEXT),
    reason: read.boundedText(MAX_TEXT),
    traceback: read.left > 0 ? read.boundedText(MAX_TEXT) : "",
    device: read.left > 0 ? read.boundedText(MAX_TEXT) : "",
  };
  const given = read.left > 0 ? read.bytes() : new Uint8Array();
  if (given.length > MAX_ARGUMENTS_BYTES) throw new MalformedError("very long arguments");
  return given.length > 0 ? { ...failure, arguments: given } : failure;
}
