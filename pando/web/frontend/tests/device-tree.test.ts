/** A tab's node below the root. */

import { describe, expect, test } from "vitest";

import { join, network, pass, results, start, state, tags, useDevice } from "./device-setup";
import { NODE, PARENT, type Peer, ROOT, settle } from "./root";

useDevice();

describe("the tree", () => {
  async function delegate(addresses: string[]): Promise<Peer> {
    start();
    await settle();
    const root = network.last;
    root.assign();
    await settle();
    root.take();
    root.say("delegated", PARENT, addresses, "ticket");
    await settle();
    return root;
  }
  test("it goes where it is sent, with its ticket and without the token", async () => {
    const root = await delegate(["192.168.1.7:5001"]);
    expect(network.connected.at(-1)).toBe("ws://192.168.1.7:5001/node");
    const parent = network.last;
    expect(parent.take()).toEqual([["hello", "phone", 1, "run", 0, "", false, false]]);
    parent.say("welcome", PARENT);
    await settle();
    expect(tags(root)).toEqual(["joined"]);
    expect(root.closed).toBe(true);
    const epoch = expect.any(Number);
    const device = [
      NODE,
      epoch,
      PARENT,
      "phone",
      "tab",
      expect.stringMatching(/^\d/),
      "websocket",
      1,
      "",
    ];
    const first = parent.heard.find(([tag]) => tag === "update");
    const counters0 = expect.any(Array);
    expect(first).toEqual([
      "update",
      [],
      [[0, device, 0, []]],
      [],
      [[0, 1, counters0, 1, 0, 0, null, 0]],
      null,
    ]);
    expect(tags(parent)).toEqual(["want"]);
    parent.lend(1, [1, 2]);
    await settle();
    expect(results(parent)).toEqual([
      [1, 0, 2],
      [1, 1, 4],
    ]);
    await pass(3.1);
    const second = parent.heard.find(([tag]) => tag === "update");
    const counters = expect.arrayContaining([2, 20]);
    expect(second).toEqual(["update", [], [], [], [[0, 2, counters, 1, 0, 0, null, 0]], null]);
  });
  test("what cannot be reached is said, and the root's next answer counts", async () => {
    network.refuse = (url) => url.includes("192.168");
    const root = await delegate(["192.168.1.7:5001", "192.168.1.8:5001"]);
    expect(network.connected.length).toBe(3);
    expect(root.take()).toEqual([
      ["unreachable", "the node at 192.168.1.8:5001 cannot be reached", ""],
    ]);
    root.say("welcome", ROOT);
    await settle();
    expect(state.phase).toBe("computing");
    expect(tags(root)).toEqual(["want"]);
  });
  test.each([
    ["a parent that says something else", (parent: Peer) => parent.say("ended"), "no welcome"],
    ["a parent that goes", (parent: Peer) => parent.channel.close(), "the other end is gone"],
    ["a parent that never answers", () => {}, "no welcome"],
  ])("%s", async (_, behave, reason) => {
    const root = await delegate(["10.0.0.1:1"]);
    behave(network.last);
    await pass(6);
    expect(root.take()).toEqual([["unreachable", reason, ""]]);
    expect(network.peers[1]!.closed).toBe(true);
  });
  test("a place without an address is unreachable", async () => {
    expect((await delegate([])).take()).toEqual([["unreachable", "it has no address", ""]]);
  });
  test("it takes no children in", async () => {
    const root = await join();
    root.take();
    root.say("join", PARENT);
    await settle();
    expect(root.take()).toEqual([["offer", PARENT, NODE, "", ""]]);
  });
});
