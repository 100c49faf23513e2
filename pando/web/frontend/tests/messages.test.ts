import { encode as pack, decode as unpack } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import vectors from "../../../../tests/vectors/messages.json";
import { decodeFromChild, decodeHello, encodeToChild, type ToChild } from "../src/child-messages";
import { MalformedError } from "../src/errors";
import { decode, encode, type Incoming, type Outgoing } from "../src/messages";
import { joinArray } from "../src/msgpack-slices";
import { cut, MAX_LINE, MAX_TEXT, oneLine } from "../src/text";
import { bytesOf, hexOf, randomNumbers } from "./bytes";

type Fields = { tag: string } & Record<string, unknown>;

/** The fields of a vector as a message has them: bytes, names and failures as here. */
function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== "object" || value === null) return value;
  if ("bytes" in value) return bytesOf(value.bytes as string);
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key.replace(/_./, (pair) => pair.charAt(1).toUpperCase()),
      key === "failures" ? reviveFailures(each as object) : revive(each),
    ]),
  );
}

const reviveFailures = (failures: object): Map<number, unknown> =>
  new Map(Object.entries(failures).map(([place, why]) => [Number(place), revive(why)]));

const { fromBrowsers, toBrowsers } = vectors as unknown as Record<
  "fromBrowsers" | "toBrowsers",
  { hex: string; fields: Fields }[]
>;
const named = (list: { hex: string; fields: { tag: string } }[]): [string, string, Fields][] =>
  list.map(({ hex, fields }) => [fields.tag, hex, revive(fields) as Fields]);

/** Every kind there is: the compiler sees to it. */
const OUTGOING: Record<Outgoing["tag"], true> = {
  hello: true,
  ready: true,
  refused: true,
  joined: true,
  unreachable: true,
  want: true,
  results: true,
  returned: true,
  struck: true,
  lend: true,
  recall: true,
  offer: true,
  signal: true,
  update: true,
  leaving: true,
  large: true,
  part: true,
  grant: true,
  heartbeat: true,
};
const INCOMING: Record<Incoming["tag"], true> = {
  denied: true,
  assigned: true,
  "function part": true,
  welcome: true,
  delegated: true,
  signal: true,
  lend: true,
  recall: true,
  results: true,
  returned: true,
  struck: true,
  want: true,
  join: true,
  disconnect: true,
  bundle: true,
  ended: true,
  leaving: true,
  large: true,
  part: true,
  grant: true,
  heartbeat: true,
};

/** What a node says before it has a parent, and what parents say. */
const NOT_FROM_CHILD = new Set([
  "hello",
  "ready",
  "refused",
  "joined",
  "unreachable",
  "lend",
  "recall",
]);
/** What only a root says, each link by itself, or a child. */
const NOT_TO_CHILD = new Set([
  "results",
  "returned",
  "struck",
  "want",
  "assigned",
  "function part",
  "delegated",
  "bundle",
  "large",
  "part",
  "grant",
  "heartbeat",
  "denied",
]);

describe("as Python has them", () => {
  test("there are vectors for each kind", () => {
    expect(new Set(fromBrowsers.map(({ fields }) => fields.tag))).toEqual(
      new Set(Object.keys(OUTGOING)),
    );
    expect(new Set(toBrowsers.map(({ fields }) => fields.tag))).toEqual(
      new Set(Object.keys(INCOMING)),
    );
  });
  test.each(named(fromBrowsers))("%s is sent in the same bytes", (_, hex, fields) => {
    expect(hexOf(encode(fields as unknown as Outgoing))).toBe(hex);
  });
  test("results have no more failures than a batch has items", () => {
    const withFailures = (count: number): Uint8Array => {
      const map = [0xdf, count >>> 24, (count >>> 16) & 255, (count >>> 8) & 255, count & 255];
      const fields = [pack("results"), pack(1), pack(0), pack(0), pack([])];
      return joinArray(6, [...fields, new Uint8Array(map), new Uint8Array(2 * count).fill(0xc0)]);
    };
    expect(() => decode(withFailures(1_000_001))).toThrow("a map of very many keys");
    expect(() => decode(withFailures(10))).toThrow("of a wrong type");
  });
  test.each(named(toBrowsers))("%s is read", (_, hex, fields) => {
    const read = decode(bytesOf(hex));
    expect(read.tag).toBe(fields.tag);
    expect(fields).toMatchObject(read as unknown as Record<string, unknown>);
  });
  test.each(named(fromBrowsers).filter(([tag]) => !NOT_FROM_CHILD.has(tag)))(
    "a child's %s is read",
    (_, hex, fields) => {
      const read = decodeFromChild(bytesOf(hex));
      expect(fields).toMatchObject(read as unknown as Record<string, unknown>);
    },
  );
  test.each(named(fromBrowsers).filter(([tag]) => NOT_FROM_CHILD.has(tag) && tag !== "hello"))(
    "a child does not send %s",
    (_, hex) => expect(() => decodeFromChild(bytesOf(hex))).toThrow(MalformedError),
  );
  test.each(named(fromBrowsers).filter(([tag]) => tag === "hello"))("%s", (_, hex, fields) => {
    const { port, ...read } = decodeHello(bytesOf(hex));
    expect(port).toBe(0);
    expect(fields).toMatchObject(read);
  });
  test.each(named(toBrowsers).filter(([tag]) => !NOT_TO_CHILD.has(tag)))(
    "%s is sent to a child in the same bytes",
    (_, hex, fields) => {
      const encoded = encodeToChild(fields as unknown as ToChild);
      expect(unpack(encoded)).toEqual(unpack(bytesOf(hex)));
    },
  );
  test("fields that a later version adds are ignored", () => {
    expect(decode(pack(["recall", 5, false, "more"]))).toEqual({
      tag: "recall",
      lease: 5,
      isSuperseded: false,
    });
  });
});

/** Numbers that a tab is sent and does not use, as they are for nodes with children. */
const UNUSED = new Set(["denied version"]);
/** What no field takes that is a number. */
const ABSURD = [
  NaN,
  Infinity,
  -Infinity,
  -1,
  -0.5,
  2 ** 53,
  -(2 ** 53),
  1e19,
  1e300,
  "1",
  true,
  [],
  {},
];
/** What is no length of time, either. */
const NO_TIME = ["timeout", "silence", "reporting_interval"];

describe("numbers", () => {
  const cases = vectors.numbersToBrowsers.map(({ tag, field, place }) => {
    const { hex } = toBrowsers.find(({ fields }) => fields.tag === tag)!;
    return [`${tag} ${field}`, unpack(bytesOf(hex)) as unknown[], field, place] as const;
  });

  test.each(cases.filter(([name]) => !UNUSED.has(name)))(
    "%s is malformed where it is absurd",
    (_, fields, field, place) => {
      const values = NO_TIME.includes(field) ? [...ABSURD, 0] : ABSURD;
      expect(() => decode(pack(fields))).not.toThrow();
      for (const value of values) {
        const encoded = pack(fields.with(place, value));
        expect(() => decode(encoded), `${value}`).toThrow(MalformedError);
      }
      for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, -(2n ** 63n)]) {
        const encoded = pack(fields.with(place, value), { useBigInt64: true });
        expect(() => decode(encoded), `${value}`).toThrow(MalformedError);
      }
    },
  );

  test.each(cases.filter(([name]) => UNUSED.has(name)))(
    "%s changes nothing where it is absurd",
    (_, fields, _field, place) => {
      const message = decode(pack(fields));
      for (const value of ABSURD) expect(decode(pack(fields.with(place, value)))).toEqual(message);
    },
  );

  test("those that a tab does not use are numbers that it is sent", () => {
    const names = cases.map(([name]) => name);
    expect(names).toEqual(expect.arrayContaining([...UNUSED]));
  });
});

describe("a field of a wrong type", () => {
  const read = toBrowsers.map(({ hex }) => unpack(bytesOf(hex)) as unknown[]);
  test("is malformed, whichever it is, unless nothing is read of it", () => {
    let refused = 0;
    for (const fields of read) {
      for (let place = 1; place < fields.length; place++) {
        const encoded = pack(fields.with(place, { no: "such field" }));
        try {
          const message = decode(encoded);
          // What is taken is a raw field, or one that a tab does not use.
          expect(Object.values(message)).not.toContainEqual({ no: "such field" });
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedError);
          refused += 1;
        }
      }
    }
    expect(refused).toBeGreaterThan(read.length);
  });
});

describe("nonsense", () => {
  test.each([
    ["nothing", new Uint8Array(0)],
    ["no array", pack({ tag: "ended" })],
    ["an empty array", pack([])],
    ["an unknown kind", pack(["surprise"])],
    ["what only nodes above say", pack(["hello", 1])],
    ["a missing field", pack(["recall"])],
    ["a text for a number", pack(["recall", "5"])],
    ["a negative number", pack(["recall", -5])],
    ["half a number", pack(["recall", 1.5])],
    ["a number that is not exact", pack(["recall", 2n ** 60n], { useBigInt64: true })],
    ["an identifier that is too short", pack(["welcome", new Uint8Array(7)])],
    ["an identifier that is a text", pack(["welcome", "12345678"])],
    ["texts that are numbers", pack(["delegated", [1], ""])],
    ["more behind the array", new Uint8Array([...pack(["ended"]), 0])],
    ["a text that is not UTF-8, as tag", new Uint8Array([0x91, 0xa1, 0xff])],
    ["a bundle of nothing", pack(["bundle", 5])],
    ["an extension", new Uint8Array([0x92, ...pack("recall"), 0xd4, 1, 1])],
  ])("%s is malformed", (_, bytes) => {
    expect(() => decode(bytes)).toThrow(MalformedError);
  });
  test("any damaged message is a message or malformed", () => {
    const random = randomNumbers(1);
    for (let round = 0; round < 5000; round++) {
      const vector = toBrowsers[Math.floor(random() * toBrowsers.length)]!;
      let bytes = bytesOf(vector.hex);
      for (let i = 0; i < 1 + random() * 3; i++)
        bytes[Math.floor(random() * bytes.length)] = random() * 256;
      if (random() < 0.3) bytes = bytes.subarray(0, random() * bytes.length);
      try {
        decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(MalformedError);
      }
    }
  });
});

describe("texts", () => {
  test("what comes from elsewhere is one line of visible characters", () => {
    const shown = oneLine(`\x1b[31mred\r\nall is well\u202e\u2028\u0085${"!".repeat(500)}`);
    expect(shown).toMatch(/^\[31mred all is well !+…$/);
    expect(shown.length).toBe(MAX_LINE);
  });
  test("short ones are not cut", () => {
    expect(cut("x".repeat(MAX_TEXT))).toBe("x".repeat(MAX_TEXT));
  });
  test("long ones lose their middle", () => {
    const shortened = cut(`begin${"x".repeat(3 * MAX_TEXT)}end`);
    expect(shortened.length).toBeLessThanOrEqual(MAX_TEXT);
    expect(shortened.length).toBeGreaterThan(MAX_TEXT - 20);
    expect(shortened).toMatch(/^begin.*\n \[…\] \n.*end$/s);
  });
  test("what is cut in two is not sent as half a character", () => {
    const sent = encode({ tag: "unreachable", reason: "😀".repeat(MAX_TEXT), offer: "" });
    const [, reason] = unpack(sent) as string[];
    expect(reason).toBe(reason!.toWellFormed());
    expect([...reason!].length).toBeLessThanOrEqual(MAX_TEXT);
  });
  test("lone surrogates are replaced", () => {
    const sent = encode({ tag: "refused", reason: "\ud800", traceback: "a\udfff" });
    expect(unpack(sent)).toEqual(["refused", "\ufffd", "a\ufffd"]);
  });
});
