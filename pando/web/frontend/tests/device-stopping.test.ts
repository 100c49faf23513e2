/** How a tab's node leaves. */

import { describe, expect, test } from "vitest";

import {
  device,
  join,
  joinAndLend,
  network,
  pass,
  running,
  sandbox,
  start,
  state,
  tags,
  useDevice,
} from "./device-setup";
import { PARENT, settle } from "./root";

useDevice();

describe("stopping", () => {
  test("what runs is delivered, what waits given back, and then it leaves", async () => {
    const root = await joinAndLend();
    const stopped = device.stop();
    await pass(0.05);
    expect(root.take()).toEqual([
      ["returned", 2, 0, 1],
      ["returned", 3, 0, 2],
    ]);
    root.lend(4, [8]);
    await settle();
    expect(root.take()).toEqual([]); // it goes back with the link
    sandbox.answerAll();
    await pass(0.1);
    await stopped;
    expect(tags(root)).toEqual(["results", "leaving"]);
    expect(root.closed).toBe(true);
    await running;
    expect(state.phase).toBe("stopped");
    expect(sandbox.workers).toBe(0);
  });
  test("what takes too long is left behind", async () => {
    const root = await join();
    root.lend(1, [null]);
    await settle();
    root.take();
    const stopped = device.stop();
    await pass(1.1);
    await stopped;
    expect(tags(root).at(-1)).toBe("leaving");
    expect(root.closed).toBe(true);
    sandbox.answerAll();
    await settle();
    expect(root.take()).toEqual([]);
  });
  test.each([
    [
      "while it waits to connect again",
      async () => {
        network.refuse = () => true;
        start();
        await settle();
      },
    ],
    [
      "before the root has answered",
      async () => {
        start();
        await settle();
      },
    ],
    [
      "while it gets ready",
      async () => {
        start();
        await settle();
        network.last.assign();
      },
    ],
    [
      "while it looks for a place",
      async () => {
        start();
        await settle();
        network.last.assign();
        await settle();
        network.last.say("delegated", PARENT, ["10.0.0.1:1"], "ticket");
        await settle();
      },
    ],
  ])("%s", async (_, begin) => {
    await begin();
    const connected = network.connected.length;
    const stopped = device.stop();
    await pass(6);
    await stopped;
    await running;
    expect(state.phase).toBe("stopped");
    expect(network.connected.length).toBe(connected);
    expect(network.peers.every((peer) => peer.closed)).toBe(true);
    expect(sandbox.workers).toBe(0);
  });
});
