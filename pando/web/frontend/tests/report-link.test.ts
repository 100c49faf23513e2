/** A tab's report link: what it tells the root beside its parent, and that it harms nothing. */

import { describe, expect, test } from "vitest";

import { device, join, network, pass, results, state, useDevice } from "./device-setup";
import { NODE, type Peer, ROOT, settle } from "./root";

useDevice();

/** A device that computes, and its report link, which the root has let in. */
async function joinAndReport(): Promise<{ root: Peer; link: Peer }> {
  const root = await join({ globalMonitoring: true });
  const link = network.last;
  expect(link).not.toBe(root);
  expect(link.certified).toEqual(NODE);
  expect(link.take()).toEqual([["hello", "phone", 1, "run", 0, "", true, false]]);
  link.say("welcome", ROOT);
  await settle();
  return { root, link };
}

const totals = (peer: Peer): unknown[] =>
  peer
    .updates()
    .flatMap((update) => update[4] as unknown[][])
    .map(([, sequence, counters]) => [sequence, (counters as number[])[1] ?? 0]);

describe("the report link", () => {
  test("it is opened where the run asks for it, and not else", async () => {
    await join({ globalMonitoring: false });
    expect(network.peers).toHaveLength(1);
  });
  test("an older root asks for none", async () => {
    await join();
    expect(network.peers).toHaveLength(1);
  });
  test("it tells once who this is, and each interval what has been done", async () => {
    const { root, link } = await joinAndReport();
    root.lend(1, [1, 2, 3]);
    await pass(7);
    const updates = link.updates();
    expect(updates).toHaveLength(3);
    const [[, gone, introduced, summed, , rest]] = updates as unknown as [unknown[]];
    expect([gone, summed, rest]).toEqual([[], [], null]);
    expect(introduced).toHaveLength(1);
    expect((introduced as unknown[][])[0]![1]).toEqual([
      NODE,
      expect.any(Number),
      ROOT,
      "phone",
      "tab",
      expect.any(String),
      "websocket",
      1,
      "",
    ]);
    expect(updates.slice(1).flatMap((update) => update[2])).toEqual([]);
    const items = updates.flatMap((update) => update[4] as unknown[][]);
    expect(items.map(([, sequence]) => sequence)).toEqual([1, 2, 3]);
    const done = items.map(([, , counters]) => (counters as number[])[1] ?? 0);
    expect(done.reduce((sum, count) => sum + count, 0)).toBe(3);
  });
  test("it goes on while the parent is lost, without one", async () => {
    const { root, link } = await joinAndReport();
    link.updates();
    root.channel.close();
    network.refuse = () => true;
    await pass(7);
    const updates = link.updates();
    expect(updates.length).toBeGreaterThanOrEqual(2);
    const [introduction] = updates.flatMap((update) => update[2] as unknown[][]);
    expect((introduction![1] as unknown[])[2]).toEqual(new Uint8Array());
    expect(state.phase).toBe("waiting");
  });
  test("one that is lost comes back, tells all anew, and the place is not touched", async () => {
    const { root, link } = await joinAndReport();
    link.channel.close();
    await pass(2);
    const again = network.last;
    expect(again).not.toBe(link);
    again.say("welcome", ROOT);
    await pass(4);
    expect(totals(again).length).toBeGreaterThanOrEqual(2);
    expect(state.phase).toBe("computing");
    root.lend(1, [21]);
    await pass(1);
    expect(results(root)).toEqual([[1, 0, 42]]);
  });
  test("one that cannot be opened is tried ever more seldom, and the place is not touched", async () => {
    const root = await join({ globalMonitoring: true });
    network.last.channel.close();
    network.proves = { refusal: "only a device of this run reports to it" };
    for (let seconds = 0; seconds < 30; seconds += 10) {
      root.say("heartbeat");
      await pass(10);
    }
    const tries = network.peers.length - 2;
    expect(tries).toBeGreaterThanOrEqual(4);
    expect(tries).toBeLessThan(10);
    expect(state.phase).toBe("computing");
    expect(root.closed).toBe(false);
  });
  test("whatever the root says on it ends that link alone", async () => {
    const { root, link } = await joinAndReport();
    link.lend(1, [1]);
    await pass(2);
    expect(link.closed).toBe(true);
    expect(results(root)).toEqual([]);
    expect(state.phase).toBe("computing");
  });
  test("a root that falls silent is left", async () => {
    const { link } = await joinAndReport();
    await pass(35);
    expect(link.closed).toBe(true);
  });
  test("it ends with the session", async () => {
    const { root, link } = await joinAndReport();
    root.say("ended", 5);
    await pass(1);
    expect(link.closed).toBe(true);
    await device.stop();
  });
});
