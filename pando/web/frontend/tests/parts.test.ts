import { describe, expect, test } from "vitest";

import { MalformedError } from "../src/errors";
import { isRelayed, socketUrl } from "../src/page/room";
import type { Channel } from "../src/tree/channel";
import { Assembler, inParts, MAX_PART_BYTES, splitParts } from "../src/tree/parts";

describe("parts of messages", () => {
  test.each([0, 1, MAX_PART_BYTES - 1, MAX_PART_BYTES, 3 * MAX_PART_BYTES])("%i bytes", (size) => {
    const message = crypto.getRandomValues(new Uint8Array(Math.min(size, 65536)));
    const whole = new Uint8Array(size).map((_, i) => message[i % message.length]!);
    const assembler = new Assembler();
    const parts = [...splitParts(whole)];
    expect(parts.every(({ length }) => length <= MAX_PART_BYTES)).toBe(true);
    expect(parts.length).toBe(Math.max(1, Math.ceil(size / (MAX_PART_BYTES - 1))));
    const completed = parts.map((part) => assembler.add(part));
    expect(completed.slice(0, -1).every((each) => each === null)).toBe(true);
    expect(Buffer.compare(completed.at(-1)!, whole)).toBe(0); // toEqual takes seconds
    expect(assembler.add(Uint8Array.of(1, 7))).toEqual(Uint8Array.of(7));
  });

  test.each([[[]], [[0]], [[2, 1]]])("what is no part: %j", (bytes) => {
    expect(() => new Assembler().add(Uint8Array.from(bytes))).toThrow(MalformedError);
  });

  test("an endless message is refused", () => {
    const assembler = new Assembler();
    const part = new Uint8Array(MAX_PART_BYTES);
    expect(() => {
      for (let i = 0; i < 2000; i++) assembler.add(part);
    }).toThrow(MalformedError);
  });

  test("a channel in parts", async () => {
    const sent: Uint8Array[] = [];
    const channel: Channel = {
      send: (bytes) => void sent.push(bytes),
      receive: () => Promise.resolve(sent.shift()!),
      close: () => {},
    };
    const relayed = inParts(channel);
    relayed.send(new Uint8Array(2 * MAX_PART_BYTES).fill(9));
    expect(sent.length).toBe(3);
    expect(await relayed.receive()).toEqual(new Uint8Array(2 * MAX_PART_BYTES).fill(9));
  });
});

describe("where a page finds its run", () => {
  const room = "r/abcdefghijklmnopqrstuv";
  test.each([
    ["http://192.168.1.7:5000/#x", "ws://192.168.1.7:5000/node"],
    ["https://example.org/pando/?a#x", "wss://example.org/pando/node"],
    [`https://example.org/${room}#x`, `wss://example.org/${room}/node`],
    [`http://localhost:5000/${room}/#x;start`, `ws://localhost:5000/${room}/node`],
  ])("%s", (page, url) => {
    expect(socketUrl(page, "node")).toBe(url);
    expect(isRelayed(new URL(page).pathname)).toBe(url.includes("/r/"));
  });
});
