/** The uplink: a parent's leases as a stream of its own, and the way back. */

import { describe, expect, test } from "vitest";

import { MalformedError } from "../src/errors";
import type { Failure } from "../src/messages";
import { AttemptsExhausted, type Items, type ResultBatch } from "../src/scheduler";
import { encodeItems, Packed } from "../src/tree/packed";
import { type Answer, Uplink } from "../src/tree/uplink";
import { decode, encode } from "../src/values";

const raw = (...values: unknown[]): Uint8Array[] => values.map((value) => encode(value));
const values = (items: Items | string): unknown => decode(encodeItems(items as Items));
const lend = (up: Uplink, lease: number, ...items: unknown[]): void =>
  up.add({ tag: "lend", lease, items: encode(items), isCopy: false });
const batch = (
  start: number,
  found: Items,
  failures: ReadonlyMap<number, unknown> = new Map(),
): ResultBatch => ({ start, items: found, values: found, failures, size: 0 });
const failure = (type: string): Failure => ({ type, reason: "no", traceback: "", device: "" });

/** Answers as lists: results with their decoded values. */
const told = (answers: readonly Answer[]): unknown[] =>
  answers.map((answer) => {
    const { tag, lease, offset } = answer;
    if (tag === "results") return [lease, offset, decode(answer.values)];
    return tag === "returned" ? ["back", lease, offset, answer.count] : ["struck", lease, offset];
  });

describe("the uplink", () => {
  test("results go back to their leases", () => {
    const up = new Uplink("device");
    lend(up, 7, 1, 2, 3);
    lend(up, 9, 4, 5);
    expect(values(up.read(10))).toEqual([1, 2, 3]);
    expect(values(up.read(10))).toEqual([4, 5]);
    expect(up.read(1)).toBe("would block");
    expect(told(up.answer(batch(2, raw(9, 16)), 0.5))).toEqual([
      [7, 2, [9]],
      [9, 0, [16]],
    ]);
    expect(up.held).toBe(3);
  });
  test("what has not been read goes back at once, what has is to be cancelled", () => {
    const up = new Uplink("device");
    lend(up, 1, "a", "b", "c");
    lend(up, 2, "d");
    expect(values(up.read(1))).toEqual(["a"]);
    const [answer, unstarted] = up.recall({ lease: 1 });
    expect(told([answer!])).toEqual([["back", 1, 1, 2]]);
    expect(unstarted).toEqual([0, 1]);
    expect(values(up.read(5))).toEqual(["d"]);
    expect(told(up.answer(batch(1, raw("D")), 0))).toEqual([[2, 0, ["D"]]]);
    expect(up.recall({ lease: 3 })).toEqual([null, null]);
  });
  test("a lost worker's item is told apart from the results around it", () => {
    const up = new Uplink("device");
    lend(up, 1, 0, 1, 2, 3);
    up.read(4);
    const failures = new Map<number, unknown>([
      [1, new AttemptsExhausted(1, "killed")],
      [2, failure("ValueError")],
    ]);
    const answers = up.answer(batch(0, raw(0, null, null, 9), failures), 0);
    expect(told(answers)).toEqual([
      [1, 0, [0]],
      ["struck", 1, 1],
      [1, 2, [null, 9]],
    ]);
    expect(answers[2]).toMatchObject({
      failures: new Map([[0, { ...failure("ValueError"), device: "device" }]]),
    });
  });
  test("an item that has failed here has no value at all", () => {
    const up = new Uplink("device");
    lend(up, 1, 0, 1);
    up.read(2);
    const failures = new Map([[0, failure("UnsupportedValueError")]]);
    expect(told(up.answer(batch(1, [null], failures), 0))).toEqual([[1, 1, [null]]]);
  });
  test("large results part, and too large ones fail", () => {
    const up = new Uplink("device", { values: 100, value: 400 });
    lend(up, 1, 0, 1, 2, 3);
    up.read(4);
    const large = ["x".repeat(60), "y".repeat(60), "z".repeat(500), "w"];
    const answers = up.answer(batch(0, raw(...large)), 0);
    expect(told(answers)).toEqual([
      [1, 0, [large[0]]],
      [1, 1, [large[1]]],
      [1, 2, [null]],
      [1, 3, ["w"]],
    ]);
    const failed = answers[2] as Answer & { tag: "results" };
    expect(failed.failures.get(0)!.reason).toContain("503 bytes");
  });
  test("what leaves undone goes back to each of its leases", () => {
    const up = new Uplink("device");
    lend(up, 1, "a", "b");
    lend(up, 2, "c");
    lend(up, 3, "d", "e");
    for (let i = 0; i < 3; i++) up.read(9);
    expect(told(up.giveBack(1, 3))).toEqual([
      ["back", 1, 1, 1],
      ["back", 2, 0, 1],
      ["back", 3, 0, 1],
    ]);
    expect(up.giveBack(5, 1)).toEqual([]);
    expect(told(up.answer(batch(4, raw("E")), 0))).toEqual([[3, 1, ["E"]]]);
  });
  test("leases that make no sense are malformed, and lost ones are forgotten", () => {
    const up = new Uplink("device");
    expect(() => lend(up, 1)).toThrow(MalformedError);
    lend(up, 1, "a");
    expect(() => lend(up, 1, "b")).toThrow(MalformedError);
    expect(() => up.add({ tag: "lend", lease: 2, items: encode(1), isCopy: false })).toThrow(
      MalformedError,
    );
    up.read(1);
    up.close();
    expect(up.answer(batch(0, raw("A")), 0)).toEqual([]);
    expect(up.recall({ lease: 1 })).toEqual([null, null]);
  });
  test("what the parent has lent to others as well is known", () => {
    const up = new Uplink("device");
    lend(up, 1, "a");
    up.add({ tag: "lend", lease: 2, items: encode(["b"]), isCopy: true });
    for (let i = 0; i < 2; i++) up.read(9);
    expect([0, 1, 2].map((index) => up.isCopy(index))).toEqual([false, true, false]);
  });
});

describe("values that are passed on", () => {
  const some = [1, "two", [3, { four: 5 }], null, 2 ** 40];

  test("whole they are the same bytes", () => {
    const encoded = encode(some);
    const packed = Packed.of(encoded);
    expect(packed.length).toBe(5);
    expect(packed.slice(0)).toBe(packed);
    expect(encodeItems(packed.slice(0, 9))).toBe(encoded);
  });
  test("in parts, and put together again, they are the same values", () => {
    const packed = Packed.of(encode(some));
    const parts = [packed.slice(0, 2), packed.slice(2, 3), packed.slice(3)];
    expect(parts.map(values)).toEqual([some.slice(0, 2), some.slice(2, 3), some.slice(3)]);
    expect(values((parts[2] as Packed).slice(1))).toEqual(some.slice(4));
    const joined = (parts[0] as Packed).join(parts)!;
    expect(values(joined)).toEqual(some);
    expect(values(joined.slice(1, 4))).toEqual(some.slice(1, 4));
    expect([...joined].map((each) => decode(each))).toEqual(some);
    expect((parts[0] as Packed).join([packed, raw(1)])).toBeNull();
    expect([...packed.slice(3, 3)]).toEqual([]);
    expect(packed.at(5)).toBeUndefined();
  });
  test.each([0, 15, 16, 65_535, 65_536])("arrays of %d values", (size) => {
    expect(Packed.of(encode(Array(size).fill(7))).length).toBe(size);
  });
  test.each([[1], [0x80], [0xc0], []])("no array", (...bytes) => {
    expect(() => Packed.of(new Uint8Array(bytes))).toThrow(MalformedError);
  });
});
