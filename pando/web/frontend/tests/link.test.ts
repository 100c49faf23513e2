import { decode as unpack, encode as pack } from "@msgpack/msgpack";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import type { Outgoing } from "../src/messages";
import { split } from "../src/raw";
import { type Channel, ChannelClosedError } from "../src/tree/channel";
import { GATHER_MILLISECONDS, Link } from "../src/tree/link";
import { memoryChannelPair } from "./channels";

let link: Link;
let there: Channel;
let heard: unknown[];

beforeEach(() => {
  vi.useFakeTimers();
  const [here, other] = memoryChannelPair();
  [link, there, heard] = [new Link(here), other, []];
  listen().catch(() => {}); // the link has been closed
});
afterEach(() => void vi.useRealTimers());

/** Each message as its first two fields; those of a bundle in an array of their own. */
async function listen(): Promise<void> {
  const read = (message: Uint8Array): unknown => {
    const [tag, second] = split(message);
    if (unpack(tag!) === "bundle") return split(second!).map(read);
    return [tag!, second!].map((field) => unpack(field));
  };
  for (;;) heard.push(read(await there.receive()));
}

const want = (workers: number): Outgoing => ({ tag: "want", workers });
const results = (size: number): Outgoing => ({
  tag: "results", lease: 1, offset: 0, seconds: 0, values: pack([new Uint8Array(size)]), failures: new Map(),
});

describe("messages", () => {
  test("that are posted go as one, soon", async () => {
    for (const workers of [1, 2, 3]) link.post(want(workers));
    await vi.advanceTimersByTimeAsync(GATHER_MILLISECONDS - 1);
    expect(heard).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(heard).toEqual([[["want", 1], ["want", 2], ["want", 3]]]);
    link.post(want(4));
    await vi.advanceTimersByTimeAsync(GATHER_MILLISECONDS);
    expect(heard.slice(1)).toEqual([["want", 4]]);
  });
  test("that are sent go at once, behind those that were posted", async () => {
    link.post(want(1));
    link.send(want(2));
    await vi.advanceTimersByTimeAsync(0);
    expect(heard).toEqual([[["want", 1], ["want", 2]]]);
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
    expect(heard.slice(-2)).toEqual([["results", 1], ["results", 1]]);
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
