import { describe, expect, test } from "vitest";
import vectors from "../../../../tests/vectors/values.json";
import { decode, encode, UnsupportedValueError } from "../src/values";

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
    const vector = (vectors as { python: string; hex: string }[]).find(
      (each) => each.python === python,
    );
    if (vector) expect(decode(bytesOf(vector.hex))).toEqual(value);
  });
  test.each([
    ["bytearray(b'ab')", new Uint8Array([97, 98])],
    ["collections.OrderedDict(b=1, a=2)", { b: 1, a: 2 }],
    ["collections.Counter('abca')", { a: 2, b: 1, c: 1 }],
    ["collections.defaultdict(list, {'a': [1]})", { a: [1] }],
    ["collections.deque([1, 2, 3], 5)", [1, 2, 3]],
    ["Pair(1, Pair('x', None))", [1, ["x", null]]],
    ["Color.RED", 1],
    ["Shade.LIGHT", "LIGHT"],
    ["[Color.BLUE, Shade.DARK]", [2, "d"]],
    ["Right.ALL", 3],
    ["Right(0)", 0],
    ["Spot(3)", { x: 3, shade: "d", twice: 6 }],
    ["Mark('a', [Mark('b')])", { name: "a", inner: [{ name: "b", inner: null }] }],
    ["numpy.array([1, -2, 3], '<i8')", [1, -2, 3]],
    [
      "numpy.array([[1.5, 2.5], [3.5, nan]], '<f8')",
      [
        [1.5, 2.5],
        [3.5, NaN],
      ],
    ],
    [
      "numpy.array([[1, 2], [3, 4]], '>i2', order='F')",
      [
        [1, 2],
        [3, 4],
      ],
    ],
    ["numpy.array(7, '<u4')", 7],
    ["numpy.zeros((2, 0, 3), '|u1')", [[], []]],
    ["numpy.array([True, False])", [true, false]],
    ["numpy.array([1+2j], '<c8')", [[1, 2]]],
    ["numpy.array(['ab', 'é'], '<U2')", ["ab", "é"]],
    ["numpy.array([b'ab'], '|S2')", [new Uint8Array([97, 98])]],
    ["numpy.array(['2024-01-02', 'NaT'], '<M8[D]')", [new Date("2024-01-02T00:00:00Z"), null]],
    [
      "numpy.array(['2024-01-02T03:04:05.006', 'NaT'], '<M8[ms]')",
      [new Date("2024-01-02T03:04:05.006Z"), null],
    ],
    ["numpy.array([5], '<m8[ms]')", [5]],
    [
      "numpy.array([[1.5, -2], [0, 65504]], '<f2')",
      [
        [1.5, -2],
        [0, 65504],
      ],
    ],
    ["numpy.uint64(2**64 - 1)", 2n ** 64n - 1n],
    [
      "numpy.zeros((), [('a', '>u2'), ('b', [('c', '<f4', (2,))])])[()]",
      { a: 0, b: { c: [0, 0] } },
    ],
    [
      "pandas.Timestamp('2024-01-02T03:04:05.006').as_unit('ns')",
      new Date("2024-01-02T03:04:05.006Z"),
    ],
    ["pandas.Timedelta(1500, 'ms').as_unit('ms')", 1500],
    ["pandas.NaT", null],
    [
      "pandas.DataFrame({0: [1, 2], 1: [1.5, None]}, columns=pandas.RangeIndex(2))",
      [
        { 0: 1, 1: 1.5 },
        { 0: 2, 1: NaN },
      ],
    ],
    [
      "pandas.DataFrame(numpy.arange(4).reshape(2, 2), columns=pandas.Index(['a', 'b'], dtype=object))",
      [
        { a: 0, b: 1 },
        { a: 2, b: 3 },
      ],
    ],
    ["pandas.Series(pandas.Categorical([7, None, 9]), name='x')", [7, null, 9]],
    ["pandas.Series(pandas.array([1, None], 'Int8'))", [1, null]],
    [
      "polars.DataFrame({'a': [1, None], 'b': ['x', None], 'c': [[1], []]})",
      [
        { a: 1, b: "x", c: [1] },
        { a: null, b: null, c: [] },
      ],
    ],
    [
      "polars.Series('d', [datetime.date(2024, 1, 2), None])",
      [new Date("2024-01-02T00:00:00Z"), null],
    ],
  ])("%s becomes what is nearest", (python, value) => {
    const vector = (vectors as { python: string; hex: string }[]).find(
      (each) => each.python === python,
    );
    expect(decode(bytesOf(vector!.hex))).toEqual(value);
  });
  test("an array whose bytes are too few is refused", () => {
    for (const hex of ["c70b0c93a33c66389301cf0fffffff00c400", "c7090c93a33c66349105c400"]) {
      expect(() => decode(bytesOf(hex))).toThrow();
    }
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
    for (const value of [
      2n ** 300n,
      -(2n ** 300n),
      10n ** 40n,
      -(10n ** 40n),
      2n ** 127n,
      -(2n ** 127n),
    ]) {
      expect(decode(encode([value]))).toEqual([value]);
    }
  });
  test("a Date is the moment", () => {
    const moment = new Date("2026-11-24T10:20:30.456Z");
    expect(decode(encode(moment))).toEqual(moment);
    expect(hexOf(encode(moment)).slice(0, 6)).toBe("c72006");
  });
  test.each([[() => 1], [Symbol("x")], [[() => 1]], [new Date(NaN)]])(
    "%s cannot be serialized",
    (value) => {
      expect(() => encode(value)).toThrow(UnsupportedValueError);
    },
  );
  test("a value that holds itself cannot be serialized", () => {
    const loop: unknown[] = [];
    loop.push(loop);
    expect(() => encode(loop)).toThrow(UnsupportedValueError);
  });
});
