/** What a tab says to its children, and reads from them: the other side of `messages.ts`. */

import { encode as pack } from "@msgpack/msgpack";

import { MalformedError } from "./errors";
import { Fields } from "./message-fields";
import {
  type Bytes,
  type Capacity,
  decode,
  encode,
  type Hello,
  type ItemCrashed,
  type Lend,
  type Recall,
  type Results,
  type ReturnItems,
  type Signal,
} from "./messages";
import { split } from "./msgpack-slices";
import { decodeUpdate, type Update } from "./reporting/records";

/** What of a child's messages is for the lender, and what that says to it. */
export type FromBorrower = Results | ReturnItems | ItemCrashed | Capacity;
export type ToBorrower = Lend | Recall;

/** What a node receives from a child. */
export type FromChild =
  | FromBorrower
  | { tag: "offer"; origin: Uint8Array; parent: Uint8Array; ticket: string; answer: string }
  | Signal
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
  | ToBorrower
  | { tag: "join"; origin: Uint8Array; offer: string }
  | { tag: "disconnect"; node: Uint8Array }
  | Signal
  | { tag: "ended"; results: number }
  | { tag: "leaving" };

export function encodeToChild(message: ToChild): Bytes {
  switch (message.tag) {
    case "denied":
      return pack(["denied", message.reason, 0]);
    case "welcome":
      return pack(["welcome", message.parent]);
    case "lend":
    case "recall":
      return encode(message);
    case "join":
      return pack(["join", message.origin, message.offer]);
    case "disconnect":
      return pack(["disconnect", message.node]);
    case "signal":
      return encode(message);
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
    case "want":
    case "returned":
    case "struck":
      return decode(bytes) as FromBorrower;
    case "offer":
      return {
        tag,
        origin: read.identifier(),
        parent: read.identifier(),
        ticket: read.left > 0 ? read.word() : "",
        answer: read.left > 0 ? read.description() : "",
      };
    case "signal":
      return {
        tag,
        description: read.left > 0 ? read.description() : "",
        again: read.left > 0 ? read.seconds() : 0,
      };
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
