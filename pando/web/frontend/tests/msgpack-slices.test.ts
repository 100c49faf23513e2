import { encode as pack, decode as unpack } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import vectors from "../../../../tests/vectors/values.json";
import { MalformedError } from "../src/errors";
import { findElements, joinArray, joinMap, skip, split } from "../src/msgpack-slices";
import { bytesOf, hexOf, randomNumbers } from "./bytes";

const array = (count: number, of: unknown): unknown[] => Array.from({ length: count }, () => of);
const VALUES: unknown[] = [
  null,
  true,
  false,
  0,
  127,
  128,
  65535,
  65536,
  2 ** 32,
  2 ** 40,
  -1,
  -32,
  -33,
  -129,
  -32769,
  -(2 ** 40),
  1.5,
  "",
  "x".repeat(31),
  "x".repeat(32),
  "x".repeat(256),
  "é".repeat(40_000),
  new Uint8Array(0),
  new Uint8Array(255),
  new Uint8Array(256),
  new Uint8Array(70_000),
  [],
  array(15, 1),
  array(16, "a"),
  array(70_000, null),
  [[[]]],
  {},
  { a: [1, { b: 2 }] },
  Object.fromEntries(array(20, 0).map((_, i) => [`key ${i}`, i])),
  Object.fromEntries(array(70_000, 0).map((_, i) => [i, null])),
];
const ENCODED: [string, Uint8Array][] = [
  ...VALUES.map((value): [string, Uint8Array] => [JSON.stringify(value).slice(0, 30), pack(value)]),
  ...vectors.map(({ python, hex }): [string, Uint8Array] => [python, bytesOf(hex)]),
  ["a float of 32 bits", bytesOf("ca3fc00000")],
  ...[1, 2, 4, 8, 16].map((size, i): [string, Uint8Array] => [
    `an extension of ${size}`,
    new Uint8Array([0xd4 + i, 1, ...new Uint8Array(size)]),
  ]),
  ["an extension with 16 bits of length", new Uint8Array([0xc8, 1, 0, 5, ...new Uint8Array(256)])],
  [
    "an extension with 32 bits of length",
    new Uint8Array([0xc9, 0, 1, 0, 0, 5, ...new Uint8Array(65536)]),
  ],
  ["an array with 32 bits of length", bytesOf("dd0000000201c0")],
  ["a map with 16 bits of length", bytesOf("de000101c0")],
  ["a map with 32 bits of length", bytesOf("df0000000101c0")],
  ["a text with 32 bits of length", bytesOf("db0000000161")],
];
const read = (bytes: Uint8Array): unknown => unpack(bytes);
const join = (parts: Uint8Array[]): Uint8Array => joinArray(parts.length, parts);

describe("cutting", () => {
  test.each(ENCODED)("%s ends where it ends", (_, bytes) => {
    expect(skip(bytes, 0)).toBe(bytes.length);
    expect(skip(new Uint8Array([0xc0, ...bytes, 0xc0]), 1)).toBe(bytes.length + 1);
  });
  test.each(ENCODED.filter(([, bytes]) => bytes.length < 300))(
    "%s that is cut off is malformed",
    (_, bytes) => {
      for (let end = 0; end < bytes.length; end++) {
        expect(() => skip(bytes.subarray(0, end), 0)).toThrow(MalformedError);
      }
    },
  );
  test.each([0, 1, 15, 16, 65_535, 65_536, 100_000])("%i elements", (count) => {
    const elements = Array.from({ length: count }, (_, i) => pack(i));
    const joined = join(elements);
    expect(hexOf(joined.subarray(0, 8))).toBe(
      hexOf(pack(array(count, 0).map((_, i) => i)).subarray(0, 8)),
    );
    expect(findElements(joined).length).toBe(count + 1);
    expect(split(joined).map(read)).toEqual(elements.map(read));
  });
  test.each([0, 1, 15, 16, 65_535, 65_536])("a map of %i keys", (count) => {
    const members = Array.from({ length: count }, (_, i) => [pack(i), pack(null)]).flat();
    const joined = joinMap(count, members);
    expect(skip(joined, 0)).toBe(joined.length);
    expect(Object.keys(unpack(joined) as object).length).toBe(count);
  });
  test("all kinds of values, side by side", () => {
    const encoded = ENCODED.map(([, bytes]) => bytes);
    expect(split(join(encoded)).map(hexOf)).toEqual(encoded.map(hexOf));
  });
  test("elements are not copied", () => {
    const joined = join([pack("a"), pack([1])]);
    expect(split(joined).every((each) => each.buffer === joined.buffer)).toBe(true);
  });
  test("bytes in the middle of a buffer are cut like others", () => {
    const inside = new Uint8Array([9, 9, ...pack(["a", 2]), 9]).subarray(2, -1);
    expect(split(inside).map(read)).toEqual(["a", 2]);
    expect(hexOf(joinArray(2, split(inside)))).toBe(hexOf(inside));
  });
});

describe("hostile bytes", () => {
  test.each([
    ["nothing", ""],
    ["no array", "81a16101"],
    ["a type that does not exist", "91c1"],
    ["more elements than there are bytes", "dcffff00"],
    ["billions of elements", "ddffffffff"],
    ["billions of elements in an element", "91ddffffffff00"],
    ["billions of keys in an element", "91dfffffffff00"],
    ["a text of gigabytes", "91dbffffffff61"],
    ["bytes of gigabytes", "91c6ffffffff"],
    ["an extension of gigabytes", "91c9ffffffff01"],
    ["a map without its last value", "918101"],
    ["bytes behind the end", "910101"],
    ["an array that ends too soon", "9201"],
  ])("%s", (_, hex) => {
    expect(() => split(bytesOf(hex))).toThrow(MalformedError);
  });
  test.each([0x91, 0x81])("nested a million times in %i", (tag) => {
    expect(() => skip(new Uint8Array(1_000_000).fill(tag), 0)).toThrow(MalformedError);
  });
  test("nested as deeply as values may be", () => {
    const deep = new Uint8Array(513).fill(0x91, 0, 512);
    expect(skip(deep, 0)).toBe(deep.length);
    expect(() => skip(new Uint8Array(514).fill(0x91, 0, 513), 0)).toThrow(MalformedError);
  });
  test("counts that promise much are found out at once", () => {
    // Each of these arrays claims as many elements as there are bytes.
    const bytes = new Uint8Array(60_000);
    for (let at = 0; at + 5 < bytes.length; at += 5) bytes.set([0xdd, 0, 0, 0xff, 0xff], at);
    const before = performance.now();
    expect(() => split(bytes)).toThrow(MalformedError);
    expect(performance.now() - before).toBeLessThan(1000);
  });
  test("random bytes are values or malformed, and are never read past their end", () => {
    const random = randomNumbers(2);
    for (let round = 0; round < 20_000; round++) {
      const bytes = Uint8Array.from({ length: random() * 40 }, () => random() * 256);
      try {
        expect(skip(bytes, 0)).toBeLessThanOrEqual(bytes.length);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedError);
      }
    }
  });
});
