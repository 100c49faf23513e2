import { encode as pack, decode as unpack } from "@msgpack/msgpack";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { MalformedError } from "../src/errors";
import { encode, type Outgoing } from "../src/messages";
import { split } from "../src/msgpack-slices";
import { type Channel, ChannelClosedError } from "../src/tree/channel";
import { GATHER_MILLISECONDS, KeepaliveChannel, SENT_MILLISECONDS } from "../src/tree/keepalive";
import { Assembly, PART_BYTES } from "../src/tree/large-messages";
import { memoryChannelPair } from "./channels";

let link: KeepaliveChannel;
let there: Channel;
let heard: unknown[];

beforeEach(() => {
  vi.useFakeTimers();
  const [here, other] = memoryChannelPair();
  [link, there, heard] = [new KeepaliveChannel(here), other, []];
  listen().catch(() => {}); // the link has been closed
});
afterEach(() => void vi.useRealTimers());

/** Each message as its first two fields; those of a bundle in an array of their own. */
async function listen(): Promise<void> {
  const read = (message: Uint8Array): unknown => {
    const [tag, second] = split(message);
    if (unpack(tag!) === "bundle") return split(second!).map(read);
    return [tag, second].map((field) => (field === undefined ? undefined : unpack(field)));
  };
  for (;;) heard.push(read(await there.receive()));
}

const want = (workers: number): Outgoing => ({ tag: "want", workers, maxValue: 5 });
const results = (size: number): Outgoing => ({
  tag: "results",
  lease: 1,
  offset: 0,
  seconds: 0,
  values: pack([new Uint8Array(size)]),
  failures: new Map(),
});

describe("large messages", () => {
  const lend = pack(["lend", 7, [new Uint8Array(20 * 1024 * 1024)]]);
  const part = (start: number, end: number) => pack(["part", lend.slice(start, end)]);

  test("are put together once they have been granted", async () => {
    const next = link.receive();
    there.send(pack(["large", lend.length]));
    await vi.advanceTimersByTimeAsync(0);
    expect(heard).toEqual([["grant", undefined]]);
    there.send(part(0, 1000));
    there.send(pack(["heartbeat"]));
    there.send(part(1000, lend.length));
    const message = await next;
    expect(message.tag).toBe("lend");
    expect(message.tag === "lend" && message.items.length).toBeGreaterThan(20 * 1024 * 1024);
  });
  const large = results(20 * 1024 * 1024);

  test("are sent in parts once they are granted, and others after them", async () => {
    link.send(large);
    link.send(want(2));
    await vi.advanceTimersByTimeAsync(1000);
    expect(heard).toEqual([["large", encode(large).length]]);
    there.send(pack(["grant"]));
    void link.receive().catch(() => {});
    await vi.advanceTimersByTimeAsync(1000);
    expect(heard.at(-1)).toEqual(["want", 2]);
    const parts = heard.slice(1, -1) as [string, Uint8Array][];
    expect(new Set(parts.map(([tag]) => tag))).toEqual(new Set(["part"]));
    expect(parts.every(([, data]) => data.length <= PART_BYTES)).toBe(true);
    const assembly = new Assembly();
    assembly.begin(encode(large).length, () => {});
    const whole = parts.map(([, data]) => assembly.add(data)).at(-1)!;
    expect(Buffer.compare(whole, encode(large))).toBe(0);
  });
  test("are overtaken by heartbeats, and wait for a slow network", async () => {
    const [here, other] = memoryChannelPair();
    let backlog = 10 ** 9;
    [link, there, heard] = [new KeepaliveChannel({ ...here, backlog: () => backlog }), other, []];
    listen().catch(() => {});
    link.beat(3);
    link.send(results(5_000_000));
    await vi.advanceTimersByTimeAsync(2500);
    const tags = () => heard.map((message) => (message as unknown[])[0]);
    expect(tags()).toEqual(["large", "part", "heartbeat", "heartbeat"]);
    let isDrained = false;
    void link.drain().then(() => (isDrained = true));
    await vi.advanceTimersByTimeAsync(0);
    expect(isDrained).toBe(false);
    backlog = 0;
    await vi.advanceTimersByTimeAsync(200);
    expect(tags().filter((tag) => tag === "part").length).toBe(20);
    expect(isDrained).toBe(true);
  });
  test("end with the link", async () => {
    link.send(large);
    link.close();
    await link.drain();
    await vi.advanceTimersByTimeAsync(1000);
    expect(heard).toEqual([["large", encode(large).length]]);
    expect(() => link.send(want(1))).toThrow(ChannelClosedError);
  });
  test.each([
    ["of no message", [["part", new Uint8Array(1)]]],
    ["too large", [["large", 2 ** 40]]],
    [
      "amid another",
      [
        ["large", 2_000_000],
        ["large", 2_000_000],
      ],
    ],
    [
      "longer than announced",
      [
        ["large", 2_000_000],
        ["part", new Uint8Array(2_000_001)],
      ],
    ],
  ])("are refused when they are %s", async (_, sent) => {
    for (const message of sent) there.send(pack(message));
    await expect(link.receive()).rejects.toThrow(MalformedError);
  });
});

describe("messages", () => {
  test("that are posted go as one, soon", async () => {
    for (const workers of [1, 2, 3]) link.post(want(workers));
    await vi.advanceTimersByTimeAsync(GATHER_MILLISECONDS - 1);
    expect(heard).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(heard).toEqual([
      [
        ["want", 1],
        ["want", 2],
        ["want", 3],
      ],
    ]);
    link.post(want(4));
    await vi.advanceTimersByTimeAsync(GATHER_MILLISECONDS);
    expect(heard.slice(1)).toEqual([["want", 4]]);
  });
  test("that are sent go at once, behind those that were posted", async () => {
    link.post(want(1));
    link.send(want(2));
    await vi.advanceTimersByTimeAsync(0);
    expect(heard).toEqual([
      [
        ["want", 1],
        ["want", 2],
      ],
    ]);
    await vi.advanceTimersByTimeAsync(10 * GATHER_MILLISECONDS);
    expect(heard.length).toBe(1);
  });
  test("do not wait for others where they are many or large", async () => {
    for (let i = 0; i < 100; i++) link.post(want(i));
    await vi.advanceTimersByTimeAsync(0);
    expect((heard[0] as unknown[]).length).toBeLessThan(100);
    link.post(results(100_000));
    link.post(results(10));
    await vi.advanceTimersByTimeAsync(GATHER_MILLISECONDS);
    expect(heard.flat(2).filter((tag) => tag === "want").length).toBe(100);
    expect(heard.slice(-2)).toEqual([
      ["results", 1],
      ["results", 1],
    ]);
  });
  test("that are waiting when the link ends are nobody's", async () => {
    link.post(want(1));
    link.close();
    await vi.advanceTimersByTimeAsync(GATHER_MILLISECONDS);
    expect(heard).toEqual([]);
    link.post(want(2));
    await vi.advanceTimersByTimeAsync(GATHER_MILLISECONDS);
    await expect(link.receive()).rejects.toThrow(ChannelClosedError);
    expect(() => link.send(want(3))).toThrow(ChannelClosedError);
  });
});

describe("the time of transfers", () => {
  test("is that in which bytes wait to be sent", async () => {
    const [here] = memoryChannelPair();
    let backlog = 0;
    const timed = new KeepaliveChannel({ ...here, backlog: () => backlog });
    timed.send(want(1));
    await vi.advanceTimersByTimeAsync(500);
    expect(timed.traffic.seconds).toBe(0);
    backlog = 1000;
    timed.send(want(2));
    await vi.advanceTimersByTimeAsync(300);
    backlog = 0;
    await vi.advanceTimersByTimeAsync(500);
    expect(timed.traffic.seconds).toBeGreaterThanOrEqual(0.3);
    expect(timed.traffic.seconds).toBeLessThan(0.3 + (2 * SENT_MILLISECONDS) / 1000);
  });
  test("is that in which parts of a large message come", async () => {
    const large = pack(["lend", 7, [new Uint8Array(2 * 1024 * 1024)]]);
    const next = link.receive();
    there.send(pack(["large", large.length]));
    await vi.advanceTimersByTimeAsync(200);
    there.send(pack(["part", large.slice(0, 1000)]));
    await vi.advanceTimersByTimeAsync(300);
    there.send(pack(["part", large.slice(1000)]));
    await next;
    expect(link.traffic.seconds).toBeCloseTo(0.5);
  });
});
