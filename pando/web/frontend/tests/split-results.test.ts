import { expect, test } from "vitest";

import { splitResults } from "../src/node/split-results";
import { decode, encode } from "../src/values";

const why = { type: "E", reason: "bad", traceback: "", device: "" };
const part = (values: unknown[], failures: [number, typeof why][] = []) => ({
  count: values.length,
  values: encode(values),
  failures: new Map(failures),
  seconds: 1,
});

test("what fits stays one part", () => {
  const whole = part([1, 2, 3]);
  expect(splitResults(whole, 4)).toEqual([whole]);
});

test("what does not is divided, each failure with its own result", () => {
  const parts = splitResults(
    part(
      ["aaaa", "bbbb", "cccc", "dddd", "eeee"],
      [
        [0, why],
        [3, why],
      ],
    ),
    12,
  );
  expect(parts.flatMap(({ values }) => decode(values) as string[])).toEqual([
    "aaaa",
    "bbbb",
    "cccc",
    "dddd",
    "eeee",
  ]);
  expect(parts.every(({ values }) => values.length <= 12)).toBe(true);
  let place = 0;
  const failed = parts.flatMap(({ count, failures }) => {
    const places = [...failures.keys()].map((each) => place + each);
    place += count;
    return places;
  });
  expect(failed).toEqual([0, 3]);
  expect(parts.reduce((sum, { seconds }) => sum + seconds, 0)).toBeCloseTo(1);
});

test("one result that is large, but not too large, goes alone", () => {
  const parts = splitResults(part(["a", "b".repeat(100), "c"]), 20, 200);
  expect(parts.map(({ values }) => decode(values))).toEqual([["a"], ["b".repeat(100)], ["c"]]);
  expect(parts.every(({ failures }) => failures.size === 0)).toBe(true);
});

test("one result that is too large fails alone", () => {
  const parts = splitResults(part(["a", "b".repeat(100), "c"]), 10, 20);
  const values = parts.flatMap((each) => decode(each.values) as unknown[]);
  expect(values).toEqual(["a", null, "c"]);
  const failures = parts.flatMap((each) => [...each.failures.values()]);
  expect(failures.map(({ type }) => type)).toEqual(["UnsupportedValueError"]);
  expect(failures[0]!.reason).toMatch(/the result has 10\d bytes, and at most 20 can be sent/);
});
