import { encode as pack } from "@msgpack/msgpack";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { computeBatch, DurationEstimator, failFromOutside } from "../src/compute/batch";
import { describe as describeError, load, readPackage } from "../src/compute/javascript";
import { FLUSH_MILLISECONDS, type Part } from "../src/compute/protocol";
import { FunctionError } from "../src/errors";
import { decode, encode } from "../src/values";

interface Outcome {
  values: unknown[];
  failures: Map<number, { type: string; reason: string; traceback: string }>;
  parts: Part[];
}

/** What comes of items given to the function of a module. */
async function apply(source: string, items: unknown[], asText = false): Promise<Outcome> {
  return applyFunction(load({ name: "f", source, filename: "module.js", asText }), items);
}

async function applyFunction(
  call: (item: unknown) => unknown,
  items: unknown[],
  estimator = new DurationEstimator(),
): Promise<Outcome> {
  const outcome: Outcome = { values: [], failures: new Map(), parts: [] };
  await computeBatch(call, encode(items), estimator, (part) => {
    for (const [place, why] of part.failures)
      outcome.failures.set(outcome.values.length + place, why);
    outcome.values.push(...(decode(part.values) as unknown[]));
    outcome.parts.push(part);
  });
  return outcome;
}

const exported = (body: string): string => `module.exports['/pando/1.0.0'] = ${body};`;

describe("results", () => {
  test.each([
    ["returned", "(x) => x * 2"],
    ["called back at once", "(x, cb) => cb(null, x * 2)"],
    ["called back later", "(x, cb) => setTimeout(() => cb(null, x * 2), 1)"],
    ["called back later, others first", "(x, cb) => setTimeout(() => cb(null, x * 2), 5 - x)"],
    [
      "called back twice",
      "(x, cb) => { cb(null, x * 2); cb(null, 'twice'); cb(new Error('thrice')) }",
    ],
    [
      "called back twice, later",
      "(x, cb) => setTimeout(() => { cb(undefined, x * 2); cb(null, 'twice') })",
    ],
    [
      "called back at once and later",
      "(x, cb) => { cb(null, x * 2); setTimeout(() => cb(null, 'late')) }",
    ],
    ["of a promise", "(x) => Promise.resolve(x * 2)"],
    ["of an async function", "async (x) => { await null; return x * 2 }"],
    [
      "of an async function with a callback",
      "async function (x, cb) { await null; cb(null, x * 2) }",
    ],
    ["of something with a `then`", "(x) => ({ then(done) { done(x * 2) } })"],
  ])("%s", async (_, body) => {
    const { values, failures } = await apply(exported(body), [1, 2, 3]);
    expect(values).toEqual([2, 4, 6]);
    expect(failures.size).toBe(0);
  });
  test.each([
    ["module.exports = (x) => x + 1"],
    ["exports.default = (x) => x + 1"],
    ["exports.default = { '/pando/1.0.0': (x) => x + 1 }"],
    ["this['/pando/1.0.0'] = (x) => x + 1"],
    ["exports['/pando/1.0.0'] = (x) => x + 1; exports.other = () => 'other'"],
  ])("of %s", async (source) => {
    expect((await apply(source, [1])).values).toEqual([2]);
  });
  test.each([
    ["undefined", "undefined"],
    ["null", "null"],
    ["[1, [2, 3]]", "1,2,3"],
    ["({})", "[object Object]"],
    ["1e21", "1e+21"],
    ["-0", "0"],
    ["0.1 + 0.2", "0.30000000000000004"],
    ["2n ** 70n", "1180591620717411303424"],
    ["''", ""],
    ["Promise.resolve(5)", "5"],
    ["Symbol('s')", "Symbol(s)"],
    ["(() => 1)", "() => 1"],
    ["new Date(0).toISOString()", "1970-01-01T00:00:00.000Z"],
  ])("%s as text", async (expression, text) => {
    expect((await apply(exported(`() => ${expression}`), [0], true)).values).toEqual([text]);
  });
  test("a result without text fails alone", async () => {
    const { values, failures } = await apply(
      exported("(x) => x ? Object.create(null) : 1"),
      [0, 1, 0],
      true,
    );
    expect(values).toEqual(["1", null, "1"]);
    expect(failures.get(1)?.type).toBe("TypeError");
  });
  test("values that cannot be serialized fail alone", async () => {
    const { values, failures } = await apply(exported("(x) => (x === 2 ? () => 1 : x)"), [1, 2, 3]);
    expect(values).toEqual([1, null, 3]);
    expect([...failures.keys()]).toEqual([1]);
    expect(failures.get(1)?.type).toBe("UnsupportedValueError");
  });
});

describe("failures", () => {
  test.each([
    ["thrown", "(x) => { throw new RangeError('no') }", "RangeError"],
    [
      "thrown behind an await",
      "async (x) => { await null; throw new RangeError('no') }",
      "RangeError",
    ],
    [
      "thrown by an async function with a callback",
      "async (x, cb) => { throw new RangeError('no') }",
      "RangeError",
    ],
    ["called back", "(x, cb) => cb(new RangeError('no'))", "RangeError"],
    ["called back later", "(x, cb) => setTimeout(() => cb(new RangeError('no')))", "RangeError"],
    ["thrown before calling back", "(x, cb) => { throw new RangeError('no'); cb() }", "RangeError"],
    ["called back as a text", "(x, cb) => cb('no')", "Error"],
    ["thrown as a text", "() => { throw 'no' }", "Error"],
    ["like an error", "() => { throw { name: 'Odd', message: 'no' } }", "Odd"],
  ])("%s", async (_, body, type) => {
    const { values, failures } = await apply(exported(body), [1, 2]);
    expect(values).toEqual([null, null]);
    expect([...failures.values()].map((why) => [why.type, why.reason])).toEqual([
      [type, "no"],
      [type, "no"],
    ]);
  });
  test("are at their places among results", async () => {
    const { values, failures } = await apply(
      exported("(x) => { if (x % 2) throw new Error(x); return x }"),
      [0, 1, 2, 3],
    );
    expect(values).toEqual([0, null, 2, null]);
    expect([...failures].map(([place, why]) => [place, why.reason])).toEqual([
      [1, "1"],
      [3, "3"],
    ]);
  });
  test.each([
    [undefined],
    [null],
    [0],
    [Symbol("s")],
    [Object.create(null)],
    [{ message: Object.create(null) }],
  ])("whatever is thrown has a text: %o", (thrown) => {
    for (const text of Object.values(describeError(thrown))) expect(text).toBeTypeOf("string");
  });
});

describe("stacks", () => {
  const source = [
    "var first = 1;",
    "",
    "function inner() {",
    "  throw new Error('here');",
    "}",
    exported("(x) => inner()"),
  ];
  test("name the user's file and lines, and nobody else's", async () => {
    const { failures } = await apply(source.join("\n"), [1]);
    const stack = failures.get(0)!.traceback.split("\n");
    expect(stack[0]).toBe("Error: here");
    expect(stack[1]).toMatch(/inner.*module\.js:4:9/);
    expect(stack[2]).toMatch(/module\.js:6:/);
    expect(stack.length).toBe(3);
  });
  test("the first line is the first", async () => {
    const { failures } = await apply("exports.default = () => { throw new Error('at once') }", [1]);
    expect(failures.get(0)?.traceback).toMatch(/module\.js:1:/);
  });
  test("are there behind an await, too", async () => {
    const { failures } = await apply(
      "exports.default = async () => {\nawait null;\nthrow new Error('x') }",
      [1],
    );
    expect(failures.get(0)?.traceback).toMatch(/module\.js:3:/);
  });
});

describe("modules", () => {
  const run = (source: string, filename = "module.js"): unknown =>
    load({ name: "f", source, filename, asText: false })(5);
  test("are sloppy, as those of the original are", () => {
    expect(
      run(
        "undeclared = 7; exports.default = function (x) { return undeclared + x + (this === globalThis) }",
      ),
    ).toBe(13);
    delete (globalThis as Record<string, unknown>)["undeclared"];
  });
  test("may be strict", () => {
    expect(() => run("'use strict'; undeclared = 7; exports.default = (x) => x")).toThrow(
      ReferenceError,
    );
  });
  test("see none of this program's variables", () => {
    expect(
      run(
        "exports.default = () => [typeof packaged, typeof wrapper, typeof split, typeof FunctionError].join()",
      ),
    ).toBe("undefined,undefined,undefined,undefined");
  });
  test("are told their file and folder", () => {
    expect(run("exports.default = () => [__filename, __dirname]", "/home/me/my module.js")).toEqual(
      ["/home/me/my module.js", "/home/me"],
    );
  });
  test("may end with a comment", () => {
    expect(run("exports.default = (x) => x // the end")).toBe(5);
  });
  test("may report", () => {
    const reports: unknown[] = [];
    const source =
      "const { report } = require('pando-computing'); exports.default = (x) => report({ nbItems: x })";
    load({ name: "f", source, filename: "f.js", asText: false }, (info) => reports.push(info))(3);
    expect(reports).toEqual([{ nbItems: 3 }]);
  });
  test.each([
    ["exports.default = 5"],
    ["module.exports = null"],
    ["module.exports = undefined"],
    [""],
    ["require('fs')"],
  ])("%s is refused with a sentence", (source) => {
    expect(() => run(source)).toThrow(FunctionError);
  });
  test("what the module throws is thrown", () => {
    expect(() => run("throw new RangeError('at once')")).toThrow(RangeError);
    expect(() => run("this is no JavaScript")).toThrow(SyntaxError);
  });
  test("packages are read as they are written", () => {
    const packed = pack(["javascript", "square", "exports.default = 1", "square.js", true]);
    expect(readPackage(packed)).toEqual({
      name: "square",
      source: "exports.default = 1",
      filename: "square.js",
      asText: true,
    });
    expect(() => readPackage(pack(["python", 1]))).toThrow(FunctionError);
  });
});

describe("batches", () => {
  test("items are started one after the other", async () => {
    const running: number[] = [];
    let most = 0;
    const call = async (item: unknown): Promise<unknown> => {
      running.push(item as number);
      most = Math.max(most, running.length);
      await new Promise((resolve) => setTimeout(resolve, 1));
      running.pop();
      return item;
    };
    expect((await applyFunction(call, [1, 2, 3, 4])).values).toEqual([1, 2, 3, 4]);
    expect(most).toBe(1);
  });
  test("no items are no parts", async () => {
    expect((await applyFunction((x) => x, [])).parts).toEqual([]);
  });
});

describe("results on their way", () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
  afterEach(() => void vi.useRealTimers());
  /** How many results go together, of items that take so many milliseconds. */
  async function group(items: number[], estimator = new DurationEstimator()): Promise<number[]> {
    const { parts } = await applyFunction(
      (item) => void vi.advanceTimersByTime(item as number),
      items,
      estimator,
    );
    const seconds = parts.reduce((sum, part) => sum + part.seconds, 0);
    expect(seconds).toBeCloseTo(items.reduce((sum, item) => sum + item, 0) / 1000);
    return parts.map(({ count }) => count);
  }
  /** Of a function whose items have been short so far. */
  async function calm(): Promise<DurationEstimator> {
    const estimator = new DurationEstimator();
    await group(Array<number>(100).fill(0), estimator);
    return estimator;
  }

  test("of short items go together", async () => {
    expect(await group(Array<number>(100).fill(0))).toEqual([100]);
    expect(await group(Array<number>(220).fill(1))).toEqual([101, 101, 18]);
  });
  test("of long items go alone", async () => {
    expect(await group([FLUSH_MILLISECONDS, FLUSH_MILLISECONDS])).toEqual([1, 1]);
    expect(await group([300])).toEqual([1]);
  });
  test("wait for another one that takes as long, where that is short enough", async () => {
    expect(await group(Array<number>(12).fill(10), await calm())).toEqual([10, 2]);
    expect(await group([40, 40, 40, 40], await calm())).toEqual([3, 1]);
  });
  test("do not wait behind the first items of all, as nobody knows how long others take", async () => {
    expect(await group([10, 10])).toEqual([1, 1]);
  });
  test("do not wait where long items have been seen, until those are forgotten", async () => {
    const estimator = await calm();
    await group([200, 10, 10, 10], estimator);
    expect(await group([10, 10, 10, 10], estimator)).toEqual([1, 1, 1, 1]);
    await group(Array<number>(20).fill(10), estimator);
    expect(await group([10, 10, 10, 10], estimator)).toEqual([4]);
  });
});

test("an error thrown out of a timer is that of the item that is waited for, and of no other", async () => {
  expect(failFromOutside(new Error("nobody waits"))).toBe(false);
  const call = (item: unknown): unknown => {
    if (item !== 2) return item;
    setTimeout(() => expect(failFromOutside(new RangeError("late"))).toBe(true), 1);
    return new Promise(() => {});
  };
  const { values, failures } = await applyFunction(call, [1, 2, 3]);
  expect(values).toEqual([1, null, 3]);
  expect([...failures].map(([place, { type, reason }]) => [place, type, reason])).toEqual([
    [1, "RangeError", "late"],
  ]);
  expect(failFromOutside(new Error("nobody waits any more"))).toBe(false);
});

test("an error whose own words fail is one all the same", () => {
  class Hostile extends Error {
    override get stack(): string {
      throw new Error("no");
    }
    override get message(): string {
      throw new Error("no");
    }
  }
  expect(describeError(new Hostile())).toMatchObject({ type: "Error", traceback: "" });
});

describe("what the time limit sees", () => {
  test("an item is answered only when its result is encoded", async () => {
    const events: string[] = [];
    const call = (item: unknown): unknown => ({
      get member() {
        events.push("encoding");
        return item;
      },
    });
    await computeBatch(call, encode([0]), new DurationEstimator(), () => events.push("answered"));
    expect(events.filter((event, place) => event !== events[place - 1])).toEqual([
      "encoding",
      "answered",
    ]);
  });
});
