/** What a tab's children may do to it: what is served, and what ends their links. */

import { encode as pack, decode as unpack } from "@msgpack/msgpack";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { FromBorrower } from "../src/child-messages";
import { LeftError } from "../src/errors";
import { split } from "../src/msgpack-slices";
import { type BorrowerChannel, BURST, Children } from "../src/node/children";
import { Ledger } from "../src/reporting/ledger";
import { Traffic } from "../src/tree/keepalive";
import { keyOf } from "../src/tree/overlay";
import { memoryChannelPair } from "./channels";
import { settle } from "./root";

const OWN = new Uint8Array(8).fill(9);
const idOf = (number: number): Uint8Array => new Uint8Array([0, 0, 0, 0, 0, 0, 0, number]);

let children: Children;
let ledger: Ledger;
let lent: { name: string; messages: FromBorrower[]; end: unknown }[];
let channels: BorrowerChannel[];
let changes: number;

beforeEach(() => {
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
  });
  ledger = new Ledger();
  lent = [];
  channels = [];
  changes = 0;
  children = new Children(
    {
      meetChild: async (channel) => {
        const payload = await channel.receive();
        const [node, hello] = split(payload);
        const accept = (): typeof channel => channel;
        return { node: unpack(node!) as Uint8Array, payload: hello!, accept };
      },
      openPeer: () => {
        throw new Error("nobody offers here");
      },
      async lend(channel, { name }) {
        const served = { name, messages: [] as FromBorrower[], end: null as unknown };
        lent.push(served);
        channels.push(channel);
        try {
          for (;;) served.messages.push(await channel.receive());
        } catch (error) {
          served.end = error;
        }
      },
      onChange: () => {
        changes += 1;
      },
    },
    { node: OWN, degree: 3, bootstrapTimeout: 60, silence: 10, traffic: new Traffic(), ledger },
  );
});
afterEach(() => {
  children.close();
  vi.useRealTimers();
});

/** A child, which says and hears raw messages. */
class RawChild {
  readonly heard: unknown[][] = [];
  isClosed = false;
  private readonly channel;

  constructor(
    readonly number: number,
    hello: unknown[] = ["hello", `child ${number}`, 2, "run", 0, "", false, false],
  ) {
    const [here, there] = memoryChannelPair();
    this.channel = there;
    void children.serve(here).catch(() => {});
    there.send(pack([idOf(number), hello]));
    void this.listen();
  }

  private async listen(): Promise<void> {
    try {
      for (;;) {
        const message = unpack(await this.channel.receive()) as unknown[];
        if (message[0] !== "heartbeat") this.heard.push(message);
      }
    } catch {
      this.isClosed = true;
    }
  }

  say(...message: unknown[]): void {
    this.channel.send(pack(message));
  }

  close(): void {
    this.channel.close();
  }
}

/** A child that is served. */
async function join(number = 1): Promise<RawChild> {
  const child = new RawChild(number);
  await settle();
  return child;
}
const device = (number: number, name = "a"): unknown[] => [
  idOf(number),
  5,
  OWN,
  name,
  "native",
  "1",
  "webrtc",
  2,
  "",
];

test("a child is welcomed, and its messages on items reach the lender", async () => {
  const child = await join();
  expect(child.heard).toEqual([["welcome", OWN]]);
  child.say("want", 3, 100, null);
  child.say("returned", 1, 0, 2);
  await settle();
  expect(lent[0]).toMatchObject({ name: "child 1" });
  expect(lent[0]!.messages.map(({ tag }) => tag)).toEqual(["want", "returned"]);
  channels[0]!.send({ tag: "lend", lease: 4, items: pack([1, 2]), isCopy: false });
  await settle();
  expect(child.heard.at(-1)).toEqual(["lend", 4, [1, 2], false]);
  expect(children.count).toBe(1);
  child.close();
  await settle();
  expect([children.count, changes]).toEqual([0, 2]);
});

test("one that leaves in order is told apart from one that is lost", async () => {
  const child = await join();
  child.say("leaving");
  await settle();
  expect(lent[0]!.end).toBeInstanceOf(LeftError);
  expect(child.isClosed).toBe(true);
});

test("one that comes back before its end was noticed has the new link alone", async () => {
  const first = await join();
  const second = await join();
  expect(first.isClosed).toBe(true);
  expect(second.isClosed).toBe(false);
  expect(children.count).toBe(1);
});

test("one that falls silent is parted with", async () => {
  const child = await join();
  await vi.advanceTimersByTimeAsync(25_000);
  expect(child.isClosed).toBe(false);
  await vi.advanceTimersByTimeAsync(10_000);
  await settle();
  expect(child.isClosed).toBe(true);
  expect(channels[0]!.fellSilent()).toBe(true);
});

test("one that does not prove who it is has little time for it", async () => {
  const [here, there] = memoryChannelPair();
  void children.serve(here).catch(() => {});
  const end = there.receive().catch((error: Error) => error.message);
  await vi.advanceTimersByTimeAsync(10_001);
  expect(await end).toContain("gone");
});

test("it says whether others can connect to it", async () => {
  await join();
  const takes = (): boolean => children.placement.children.get(keyOf(idOf(1)))!.takesChildren;
  expect(takes()).toBe(false);
  const other = new RawChild(2, ["hello", "tab", 1, "run", 0, "", false, true]);
  await settle();
  expect(children.placement.children.get(keyOf(idOf(2)))).toMatchObject({
    takesChildren: true,
    needsOffer: true,
  });
  other.say("want", 1, 0, false);
  await settle();
  expect(children.placement.children.get(keyOf(idOf(2)))!.takesChildren).toBe(false);
});

test("a device that was sent away is parted with, and others are told", async () => {
  const [one, other] = [await join(1), await join(2)];
  children.disconnect(idOf(1));
  await settle();
  expect(one.isClosed).toBe(true);
  expect(lent[0]!.end).toBeInstanceOf(LeftError); // it is not to blame for what it ran
  expect(other.heard.at(-1)).toEqual(["disconnect", idOf(1)]);
});

describe("what ends a child's link", () => {
  test.each<[string, unknown[]]>([
    ["what only parents say", ["lend", 1, [1], false]],
    ["what is unknown", ["nonsense"]],
    ["a negative count", ["want", -1, 0]],
    ["an offer on nobody", ["offer", new Uint8Array(3), OWN, "", ""]],
    ["a very long ticket", ["offer", idOf(5), OWN, "t".repeat(1001), ""]],
    ["a very long answer", ["offer", idOf(5), OWN, "t", "v".repeat(8193)]],
    ["a very large message", ["large", 2 ** 40]],
    ["a part of no message", ["part", new Uint8Array(5)]],
    ["a report on a device that was not introduced", ["update", [], [], [], [[0, 1, []]]]],
    ["a key that is too large", ["update", [], [[20_000, device(1), 0, []]]]],
    ["a counter that is none", ["update", [], [[0, device(1), 0, [-1]]]]],
    ["too many counters", ["update", [], [[0, device(1), 0, new Array(17).fill(1)]]]],
    ["a very long name", ["update", [], [[0, device(1, "x".repeat(65)), 0, []]]]],
    [
      "a report out of order",
      ["update", [], [[0, device(1), 5, []]], [], [[0, 5, [1], 0, 0, 0, null, 0]]],
    ],
    [
      "a key that is another device's",
      [
        "update",
        [],
        [
          [0, device(1), 0, []],
          [0, device(2), 0, []],
        ],
      ],
    ],
  ])("%s", async (_, message) => {
    const child = await join();
    child.say(...message);
    await settle();
    expect(child.isClosed).toBe(true);
    expect(children.count).toBe(0);
  });

  test("very many messages", async () => {
    const child = await join();
    for (let i = 0; i <= BURST; i++) child.say("returned", 1, 0, 1);
    await settle();
    expect(child.isClosed).toBe(true);
  });

  test("a hello that is none", async () => {
    const child = new RawChild(1, ["ready", 0, []]);
    await settle();
    expect(child.isClosed).toBe(true);
    expect(lent).toEqual([]);
  });
});

test("large messages of several children come one after the other", async () => {
  const [one, other] = [await join(1), await join(2)];
  const size = 200 * 1024 * 1024;
  one.say("large", size);
  other.say("large", size);
  await settle();
  expect(one.heard.at(-1)).toEqual(["grant"]);
  expect(other.heard.at(-1)).toEqual(["welcome", OWN]);
  one.close();
  await settle();
  expect(other.heard.at(-1)).toEqual(["grant"]);
});

test("an offer for a second link is answered with none", async () => {
  const child = await join();
  child.say("signal", "v=0");
  await settle();
  expect(child.heard.at(-1)).toEqual(["signal", "", 0]);
});

test("what children report is noted, and forgotten with their links", async () => {
  const child = await join();
  child.say("update", [], [[0, device(1), 0, []]], [], [[0, 1, [3000, 2], 0, 1, 0, null, 5]]);
  await settle();
  expect([...ledger.live().values()].map(({ report }) => report.counters.slice(0, 2))).toEqual([
    [3000, 2],
  ]);
  child.close();
  await settle();
  expect(ledger.live().size).toBe(0);
  expect([...ledger.entries.values()][0]!.lost).toBe(true);
});

test("at the end of the run all are told how many results it has had", async () => {
  const all = [await join(1), await join(2)];
  await children.end(7);
  await settle();
  for (const child of all) {
    expect(child.heard.at(-1)).toEqual(["ended", 7]);
    expect(child.isClosed).toBe(true);
  }
  expect([...ledger.entries.values()].every(({ lost }) => !lost)).toBe(true);
});
