/** Encoded MessagePack, split and joined without being decoded. */

import { MalformedError } from "./errors";

/** An encoded nothing: what a result is that has failed. */
export const NIL: Uint8Array<ArrayBuffer> = new Uint8Array([0xc0]);

/** Containers inside containers; deeper ones are not values of anybody's. */
const MAX_DEPTH = 512;

/** Bytes after the tag of each type 0xc0 to 0xdf whose size is known from the tag alone. */
// biome-ignore format: a table
const FIXED: Readonly<Record<number, number>> = {
  0xc0: 0, 0xc2: 0, 0xc3: 0, 0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8,
  0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8, 0xd4: 2, 0xd5: 3, 0xd6: 5, 0xd7: 9, 0xd8: 17,
};

/** Types that begin with their length: bytes of the length, and bytes that it does not count. */
// biome-ignore format: a table
const SIZED: Readonly<Record<number, readonly [number, number]>> = {
  0xc4: [1, 0], 0xc5: [2, 0], 0xc6: [4, 0], 0xc7: [1, 1], 0xc8: [2, 1], 0xc9: [4, 1],
  0xd9: [1, 0], 0xda: [2, 0], 0xdb: [4, 0],
};

function readLength(bytes: Uint8Array, at: number, size: number): number {
  if (at + size > bytes.length) throw new MalformedError("the bytes end too soon");
  let length = 0;
  for (let i = 0; i < size; i++) length = length * 256 + bytes[at + i]!;
  return length;
}

/** Where the value that begins at `at` ends. */
export function skip(bytes: Uint8Array, at: number, depth = 0): number {
  const tag = bytes[at];
  if (tag === undefined) throw new MalformedError("the bytes end too soon");
  let end: number;
  if (tag < 0x80 || tag >= 0xe0) return at + 1;
  if (tag < 0x90) return skipMany(bytes, at + 1, 2 * (tag & 0x0f), depth);
  if (tag < 0xa0) return skipMany(bytes, at + 1, tag & 0x0f, depth);
  if (tag < 0xc0) {
    end = at + 1 + (tag & 0x1f);
  } else if (tag >= 0xdc) {
    const size = tag % 2 === 0 ? 2 : 4;
    const count = readLength(bytes, at + 1, size);
    return skipMany(bytes, at + 1 + size, tag < 0xde ? count : 2 * count, depth);
  } else if (FIXED[tag] !== undefined) {
    end = at + 1 + FIXED[tag];
  } else {
    const sized = SIZED[tag];
    if (sized === undefined) throw new MalformedError("a type that does not exist");
    end = at + 1 + sized[0] + sized[1] + readLength(bytes, at + 1, sized[0]);
  }
  if (end > bytes.length) throw new MalformedError("the bytes end too soon");
  return end;
}

function skipMany(bytes: Uint8Array, at: number, count: number, depth: number): number {
  if (depth >= MAX_DEPTH) throw new MalformedError("nested too deeply");
  if (count > bytes.length - at) throw new MalformedError("the bytes end too soon");
  for (let i = 0; i < count; i++) at = skip(bytes, at, depth + 1);
  return at;
}

/** An encoded array, cut: where each of its elements begins, and after the last where it ends. */
export function findElements(bytes: Uint8Array): Uint32Array {
  return findAll(bytes, readArraySize(bytes));
}

/** How many elements an encoded array has, and how many bytes say so. */
export function readArraySize(bytes: Uint8Array): Head {
  const head = readHead(bytes, 0x90, 0xdc);
  if (head === null) throw new MalformedError("not an array");
  return head;
}

type Head = readonly [count: number, bytes: number];

/** The head of a container whose types begin with `short`, for up to 15, and with `long`. */
function readHead(bytes: Uint8Array, short: number, long: number): Head | null {
  const tag = bytes[0];
  if (tag === undefined) return null;
  if ((tag & 0xf0) === short) return [tag & 0x0f, 1];
  if (tag !== long && tag !== long + 1) return null;
  const size = tag === long ? 2 : 4;
  return [readLength(bytes, 1, size), 1 + size];
}

function findAll(bytes: Uint8Array, [count, head]: Head): Uint32Array {
  let at = head;
  if (count > bytes.length - at) throw new MalformedError("the bytes end too soon");
  const places = new Uint32Array(count + 1);
  for (let i = 0; i < count; i++) {
    places[i] = at;
    at = skip(bytes, at);
  }
  places[count] = at;
  if (at !== bytes.length) throw new MalformedError("more bytes than the array has");
  return places;
}

/** The elements of an encoded array, each as it is encoded. */
export function split(bytes: Uint8Array): Uint8Array[] {
  return cutAt(bytes, findElements(bytes));
}

/** The keys and values of an encoded map of at most `most` keys, each key before its value. */
export function splitMap(bytes: Uint8Array, most: number): Uint8Array[] {
  const head = readHead(bytes, 0x80, 0xde);
  if (head === null) throw new MalformedError("not a map");
  if (head[0] > most) throw new MalformedError("a map of very many keys");
  return cutAt(bytes, findAll(bytes, [2 * head[0], head[1]]));
}

function cutAt(bytes: Uint8Array, places: Uint32Array): Uint8Array[] {
  return Array.from({ length: places.length - 1 }, (_, i) =>
    bytes.subarray(places[i], places[i + 1]),
  );
}

/** An array of `count` elements that are encoded already, one after the other, in `parts`. */
export function joinArray(count: number, parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return join(header(count, 0x90, 0xdc), parts);
}

/** A map of `count` keys and values that are encoded already, each key before its value. */
export function joinMap(count: number, parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return join(header(count, 0x80, 0xde), parts);
}

function join(head: number[], parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const size = parts.reduce((sum, part) => sum + part.length, head.length);
  const joined = new Uint8Array(size);
  joined.set(head);
  let at = head.length;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** A container's first bytes: `small` is the tag of short ones, `large` of those with 16 bits of length. */
function header(count: number, small: number, large: number): number[] {
  if (count < 16) return [small | count];
  if (count < 65536) return [large, count >> 8, count & 0xff];
  return [large + 1, count >>> 24, (count >> 16) & 0xff, (count >> 8) & 0xff, count & 0xff];
}
