import { describe, expect, test } from "vitest";

import { decode, encode, UnsupportedValueError } from "../src/values";
import vectors from "../../../../tests/vectors/values.json";

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

describe("values from Python", () => {
  test.each(vectors as { python: string; hex: string }[])("$python can be read", ({ hex }) => {
    expect(() => decode(bytesOf(hex))).not.toThrow();
  });
  test.each([
    ["2**53", 2n ** 53n],
    ["2**63", 2n ** 63n],
    ["-2**63", -(2n ** 63n)],
    ["2**100", 2n ** 100n],
    ["-2**100", -(2n ** 100n)],
    ["65536", 65536],
    ["1.5", 1.5],
    ["(1, (2, [3]))", [1, [2, [3]]]],
  ])("%s is exact", (python, value) => {
    const vector = (vectors as { python: string; hex: string }[]).find((each) => each.python === python);
    if (vector) expect(decode(bytesOf(vector.hex))).toEqual(value);
  });
  test("64 bits that a number holds are a number, deep inside, too", () => {
    expect(decode(bytesOf("9182a161cf0000000200000000a162d3ffffffff00000000"))).toEqual([
      { a: 2 ** 33, b: -(2 ** 32) },
    ]);
  });
});

describe("values to Python", () => {
  test.each([
    [1, "01"],
    [-1, "ff"],
    [1.5, "cb3ff8000000000000"],
    [1e21, "cb444b1ae4d6e2ef50"],
    [2n ** 64n, "c70901010000000000000000"],
    [-(2n ** 63n) - 1n, "c70901ff7fffffffffffffff"],
    [0n, "d40100"],
    [-1n, "d401ff"],
    [128n, "d5010080"],
    [undefined, "c0"],
    [null, "c0"],
    ["é", "a2c3a9"],
    [[1, [undefined]], "920191c0"],
    [new Map([["a", 1]]), "81a16101"],
    [new Set([1]), "d5039101"],
    [{ a: 1, b: undefined }, "81a16101"],
    [new Uint8Array([1]), "c40101"],
    [Object(3), "03"],
  ])("%s", (value, hex) => {
    expect(hexOf(encode(value))).toBe(hex);
  });
  test("a big integer of any size comes back", () => {
    for (const value of [2n ** 300n, -(2n ** 300n), 10n ** 40n, -(10n ** 40n), 2n ** 127n, -(2n ** 127n)]) {
      expect(decode(encode([value]))).toEqual([value]);
    }
  });
  test("a Date is the moment", () => {
    const moment = new Date("2026-11-24T10:20:30.456Z");
    expect(decode(encode(moment))).toEqual(moment);
    expect(hexOf(encode(moment)).slice(0, 6)).toBe("c72006");
  });
  test.each([[() => 1], [Symbol("x")], [[() => 1]], [new Date(NaN)]])("%s cannot travel", (value) => {
    expect(() => encode(value)).toThrow(UnsupportedValueError);
  });
  test("a value that holds itself cannot travel", () => {
    const loop: unknown[] = [];
    loop.push(loop);
    expect(() => encode(loop)).toThrow(UnsupportedValueError);
  });
});
