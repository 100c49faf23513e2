/** Frames as Python has them, credit, and the end of a data channel. */

import { sha256 } from "@noble/hashes/sha2.js";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import vectors from "../../../../tests/vectors/data-channel.json";
import { CLOSE_MILLISECONDS, DataChannel, HIGH_BYTES } from "../src/tree/data-channel";
import {
  cutFrames,
  FRAME_BYTES,
  FRAME_COST,
  FrameState,
  WINDOW_BYTES,
} from "../src/tree/data-frames";
import { KeepaliveChannel } from "../src/tree/keepalive";
import { bytesOf, hexOf } from "./bytes";
import { carry, type MemoryWire, wirePair } from "./wires";

function message(size: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = (i * 7 + (i >> 8)) % 251;
  return bytes;
}
const NOTHING = new Uint8Array(0);
const FRAMES_OF_WINDOW = Math.floor(WINDOW_BYTES / (FRAME_BYTES + FRAME_COST));

/** A frame of a message that goes on. */
const more = (): ArrayBuffer => new Uint8Array(FRAME_BYTES).buffer;

function pair(): [DataChannel, DataChannel, MemoryWire, MemoryWire] {
  const [a, b] = wirePair();
  return [new DataChannel(a, NOTHING), new DataChannel(b, NOTHING), a, b];
}

describe("frames", () => {
  test.each(vectors.messages)("a message of $size bytes is cut as Python does", (vector) => {
    const frames = [...cutFrames(message(vector.size))];
    expect(frames.map(({ length }) => length)).toEqual(vector.lengths);
    expect(frames.map((frame) => hexOf(sha256(frame)))).toEqual(vector.digests);
    const state = new FrameState();
    for (const frame of frames) state.arrive(frame.buffer);
    expect(state.take().message).toEqual(message(vector.size));
    expect(state.take().message).toBeNull();
  });

  test("credit is given for half a window as Python gives it", () => {
    const state = new FrameState();
    let credit: Uint8Array | null = null;
    let cost = 0;
    while (credit === null) {
      state.arrive(more());
      cost += FRAME_BYTES + FRAME_COST;
      credit = state.take().credit;
    }
    expect(cost).toBeGreaterThanOrEqual(vectors.credit.bytes);
    expect(cost - FRAME_BYTES - FRAME_COST).toBeLessThan(vectors.credit.bytes);
    expect(hexOf(credit)).toBe(`02${cost.toString(16).padStart(8, "0")}`);
  });

  test("Python's credit is read", () => {
    const state = new FrameState();
    const frame = new Uint8Array(FRAME_BYTES);
    let sent = 0;
    while (state.spend(frame)) sent += 1;
    expect(sent).toBe(FRAMES_OF_WINDOW);
    state.arrive(bytesOf(vectors.credit.frame).slice().buffer);
    while (state.spend(frame)) sent += 1;
    expect(sent).toBe(Math.floor((1.5 * WINDOW_BYTES) / (FRAME_BYTES + FRAME_COST)));
  });

  test.each<[string, unknown]>([
    ["a text", "text"],
    ["nothing", new ArrayBuffer(0)],
    ["too long a frame", new ArrayBuffer(FRAME_BYTES + 1)],
    ["an unknown kind", Uint8Array.of(3, 1).buffer],
    ["a short part with more to follow", Uint8Array.of(0, 1).buffer],
    ["credit of another length", Uint8Array.of(2, 1).buffer],
    ["credit for what was never spent", Uint8Array.of(2, 0, 0, 0, 1).buffer],
    ["very much credit", Uint8Array.of(2, 255, 255, 255, 255).buffer],
  ])("%s ends the channel", async (_, frame) => {
    const [here, , wire] = pair();
    const received = here.receive();
    wire.onFrame(frame);
    await expect(received).rejects.toThrow(/no frame|wrong credit/);
    expect(wire.closed).toBe(true);
  });

  test("who sends more than there is credit for is cut off, and no more is kept", async () => {
    const [here, , wire] = pair();
    for (let sent = 0; sent < FRAMES_OF_WINDOW; sent++) wire.onFrame(more());
    expect(wire.closed).toBe(false);
    wire.onFrame(more());
    expect(wire.closed).toBe(true);
    await expect(here.receive()).rejects.toThrow("more came on the data channel than");
  });

  test("a message that never ends is cut off", async () => {
    const [here, , wire] = pair();
    const received = here.receive();
    received.catch(() => {});
    let sent = 0;
    while (!wire.closed && sent < 5000) {
      wire.onFrame(more());
      sent += 1;
    }
    await expect(received).rejects.toThrow("a message is too long");
    expect(sent).toBe(Math.ceil((64 * 1024 * 1024 + 1024 + 1) / (FRAME_BYTES - 1)));
  });
});

describe("a data channel", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("messages of any size come whole, in order, both ways", async () => {
    const [here, there, a, b] = pair();
    const sizes = [0, 1, 100_000, 1.5 * WINDOW_BYTES, 5];
    for (const size of sizes) {
      here.send(message(size));
      there.send(message(size));
    }
    for (const size of sizes) {
      const received = [here.receive(), there.receive()];
      carry(a, b);
      for (const each of received) expect(Buffer.compare(await each, message(size))).toBe(0);
    }
    expect(here.backlog()).toBe(0);
  });

  test("the browser holds little of what waits, and a reader that stops holds back the sender", () => {
    const [here, , a, b] = pair();
    here.send(message(2 * WINDOW_BYTES));
    expect(a.bufferedAmount).toBeLessThanOrEqual(HIGH_BYTES + FRAME_BYTES);
    expect(here.backlog()).toBeGreaterThanOrEqual(2 * WINDOW_BYTES);
    carry(a, b);
    const cost = a.sent.reduce((sum, { length }) => sum + length + FRAME_COST, 0);
    expect(cost).toBeLessThanOrEqual(WINDOW_BYTES);
    expect(cost).toBeGreaterThan(WINDOW_BYTES - FRAME_BYTES - FRAME_COST);
  });

  test("heartbeats go between the parts of a large value", async () => {
    const [a, b] = wirePair();
    const link = new KeepaliveChannel(new DataChannel(a, NOTHING));
    const other = new KeepaliveChannel(new DataChannel(b, NOTHING));
    other.receive().catch(() => {});
    link.beat(3);
    const values = message(8 * 1024 * 1024);
    link.send({ tag: "results", lease: 1, offset: 0, seconds: 1, values, failures: new Map() });
    await vi.advanceTimersByTimeAsync(500);
    expect(a.bufferedAmount).toBeLessThanOrEqual(HIGH_BYTES + FRAME_BYTES);
    await vi.advanceTimersByTimeAsync(1000); // nothing goes out, and it is time for a heartbeat
    let before = 0;
    const beat = hexOf(Uint8Array.of(1, 0x93, 0xa9)); // the last part of a message of three fields
    while (a.waiting.length > 0) {
      const [frame] = a.waiting;
      if (hexOf(new Uint8Array(frame!, 0, Math.min(3, frame!.byteLength))) === beat) break;
      before += frame!.byteLength;
      b.onFrame(a.waiting.shift());
      a.onFlushed();
    }
    expect(a.waiting.length).toBeGreaterThan(0);
    expect(before).toBeLessThan(1024 * 1024);
    link.close();
    other.close();
  });

  test("parts of a long message are signs of life, and silence is noticed sooner than elsewhere", async () => {
    const [a] = wirePair();
    const link = new KeepaliveChannel(new DataChannel(a, NOTHING));
    link.beat(3);
    const received = link.receive();
    received.catch(() => {});
    for (let second = 0; second < 8; second++) {
      a.onFrame(more());
      await vi.advanceTimersByTimeAsync(1000);
    }
    expect(a.closed).toBe(false);
    await vi.advanceTimersByTimeAsync(4000);
    await expect(received).rejects.toThrow("nothing was heard for 3 s");
  });

  test("what was sent before the end comes", async () => {
    const [here, there, a, b] = pair();
    here.send(message(HIGH_BYTES * 2));
    here.close();
    expect(a.closed).toBe(false);
    const received = there.receive();
    carry(a, b);
    await vi.advanceTimersByTimeAsync(50);
    carry(a, b);
    expect((await received).length).toBe(HIGH_BYTES * 2);
    await vi.advanceTimersByTimeAsync(50);
    expect(a.closed).toBe(true);
    await expect(there.receive()).rejects.toThrow("the other end has closed");
    expect(() => here.send(message(1))).toThrow("this end is closed");
  });

  test("an end does not wait for who takes nothing", async () => {
    const [here, , a] = pair();
    here.send(message(HIGH_BYTES * 2));
    here.close();
    await vi.advanceTimersByTimeAsync(CLOSE_MILLISECONDS + 100);
    expect(a.closed).toBe(true);
  });

  test("draining waits until all is on its way", async () => {
    const [here, there, a, b] = pair();
    let drained = false;
    here.send(message(HIGH_BYTES * 3));
    void here.drain().then(() => {
      drained = true;
    });
    await vi.advanceTimersByTimeAsync(100);
    expect(drained).toBe(false);
    void there.receive();
    carry(a, b);
    await vi.advanceTimersByTimeAsync(100);
    expect(drained).toBe(true);
  });
});
