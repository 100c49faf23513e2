/** How a tab's node pauses: it keeps its place in the tree, and computes nothing. */

import { describe, expect, test } from "vitest";

import {
  device,
  join,
  joinAndLend,
  network,
  pass,
  results,
  running,
  sandbox,
  state,
  tags,
  useDevice,
} from "./device-setup";
import { NODE, type Peer, ROOT, settle } from "./root";

useDevice();

/** The last report that came: its state, and its counters' growth. */
function lastReport(root: Peer): { state: number; counters: number[]; introduced: unknown[] } {
  const updates = root.heard.filter(([tag]) => tag === "update");
  const [, , introductions, , intervals] = updates.at(-1) as [string, ...unknown[][]];
  const [, , counters, reported] = intervals!.at(-1) as [number, number, number[], number];
  return { state: reported, counters, introduced: introductions!.flat() };
}

const PAUSED = 4;
const PAUSED_MILLISECONDS = 10;

describe("pausing", () => {
  test("what runs is delivered, what waits given back, and the link stays", async () => {
    const root = await joinAndLend();
    const paused = device.pause();
    await pass(0.1);
    expect(root.take()).toEqual([
      ["want", 0, expect.any(Number), null],
      ["returned", 2, 0, 1],
      ["returned", 3, 0, 2],
    ]);
    root.lend(4, [8]); // which was on its way
    await pass(0.1);
    expect(root.take()).toEqual([["returned", 4, 0, 1]]);
    sandbox.answerAll();
    await pass(0.1);
    await paused;
    expect(tags(root)).toEqual(["results"]);
    expect(state.phase).toBe("paused");
    expect(root.closed).toBe(false);
    expect(sandbox.workers).toBe(0);
  });
  test("what takes too long is given back, nobody is blamed for it, and its result never comes", async () => {
    const root = await join();
    root.lend(1, [null]);
    await pass(0.05);
    root.take();
    const paused = device.pause();
    await pass(1.2);
    await paused;
    expect(root.take()).toEqual([
      ["want", 0, expect.any(Number), null],
      ["returned", 1, 0, 1],
    ]);
    sandbox.answerAll();
    await pass(0.1);
    expect(root.take()).toEqual([]);
    expect(state.phase).toBe("paused");
  });
  test("it reports that it is paused, for how long, and its figures go on", async () => {
    const root = await join({ workers: 2 });
    root.lend(1, [1, 2]);
    await pass(0.1);
    const paused = device.pause();
    await pass(0.1);
    await paused;
    root.heard.splice(0);
    await pass(6.1);
    const report = lastReport(root);
    expect(report.state).toBe(PAUSED);
    expect(report.counters[PAUSED_MILLISECONDS]).toBe(2 * 3000);
    const resumed = device.resume("other name", 1);
    await pass(0.1);
    await resumed;
    root.lend(2, [3]);
    root.heard.splice(0);
    await pass(3.1);
    const after = lastReport(root);
    expect(after.state).not.toBe(PAUSED);
    expect(after.counters[1], "the items of the interval").toBe(1);
    expect(after.introduced[1], "it says again what it is called").toContain("other name");
    expect(device.state().results).toBe(3);
  });
  test("it goes on with as many workers as are wanted then", async () => {
    const root = await join();
    const paused = device.pause();
    await pass(0.1);
    await paused;
    root.take();
    const resumed = device.resume("phone", 3);
    await pass(0.2);
    await resumed;
    expect(root.take()).toEqual([["want", 3, expect.any(Number), null]]);
    expect(sandbox.workers).toBe(3);
    expect(state.phase).toBe("computing");
    root.lend(1, [4]);
    await pass(0.1);
    expect(results(root)).toEqual([[1, 0, 8]]);
  });
  test("who loses the parent meanwhile does not come back by itself", async () => {
    const root = await join();
    const paused = device.pause();
    await pass(0.1);
    await paused;
    const connected = network.connected.length;
    root.channel.close();
    await pass(10);
    await running;
    expect(state.phase).toBe("stopped");
    expect(network.connected.length).toBe(connected);
    expect(state.identity).not.toBe("");
  });
  test("the end of the run is shown, and no other run begins", async () => {
    const root = await join();
    const paused = device.pause();
    await pass(0.1);
    await paused;
    const connected = network.connected.length;
    root.say("ended", 7);
    await pass(10);
    await running;
    expect(state.phase).toBe("finished");
    expect(state.runTotal).toBe(7);
    expect(network.connected.length).toBe(connected);
  });
  test("the parent is lost while it pauses", async () => {
    const root = await join();
    root.lend(1, [null]);
    await pass(0.05);
    const paused = device.pause();
    await pass(0.2);
    root.channel.close();
    await pass(2);
    await paused;
    await running;
    expect(state.phase).toBe("stopped");
    expect(sandbox.workers).toBe(0);
  });
  test("without a place in the tree it stops", async () => {
    const root = await join();
    root.channel.close();
    network.refuse = () => true;
    await pass(0.5);
    expect(state.phase).toBe("waiting");
    const paused = device.pause();
    await pass(0.5);
    await paused;
    await running;
    expect(state.phase).toBe("stopped");
  });
  test("a function that cannot be loaded any more is a reason to end", async () => {
    const root = await join();
    const paused = device.pause();
    await pass(0.1);
    await paused;
    sandbox.refusal = "it is broken now";
    const resumed = device.resume("phone", 1);
    await pass(0.2);
    await resumed;
    await running;
    expect(state.phase).toBe("refused");
    expect(root.closed).toBe(true);
  });
  test("who is paused leaves in order", async () => {
    const root = await join();
    const paused = device.pause();
    await pass(0.1);
    await paused;
    root.take();
    const stopped = device.stop();
    await pass(0.1);
    await stopped;
    expect(tags(root)).toEqual(["leaving"]);
  });
  test("who joins again proves to be the same device", async () => {
    await join();
    const { identity } = state;
    expect(identity).not.toBe("");
    await device.stop();
    await running;
    const root = await join({ identity });
    expect(root.certified).toEqual(NODE);
    root.say("welcome", ROOT);
    await settle();
    expect(state.identity.split(":")[0]).toBe(identity.split(":")[0]);
  });
});
