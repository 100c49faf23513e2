/** How a tab's node comes back after losses, and waits for the next run. */

import { describe, expect, test, vi } from "vitest";

import {
  device,
  join,
  network,
  pass,
  results,
  sandbox,
  start,
  state,
  tags,
  useDevice,
} from "./device-setup";
import { NODE, ROOT, settle } from "./root";

useDevice();

describe("coming back", () => {
  test("after a lost link it joins again as the same node, and keeps the function", async () => {
    const root = await join();
    root.lend(1, [null]);
    await settle();
    root.channel.close();
    await settle();
    expect(state).toMatchObject({ phase: "waiting", retry: 1, note: "The other end is gone." });
    await pass(1.1);
    const again = network.last;
    expect(again.certified).toEqual(NODE);
    expect(again.take()).toEqual([["hello", "phone", 1, "run", 0, "", false, false]]);
    again.assign({ packed: new Uint8Array(0) });
    await settle();
    again.say("welcome", ROOT);
    await settle();
    expect(tags(again)).toEqual(["ready", "want"]);
    expect(sandbox.commands.filter((command) => command.type === "start").length).toBe(1);
    sandbox.answerAll(); // nobody waits for that item any more
    await settle();
    again.lend(1, [7]);
    await settle();
    expect(results(again)).toEqual([[1, 0, 14]]);
  });
  test("it tries more and more rarely while nobody answers", async () => {
    network.refuse = () => true;
    start();
    const tries: number[] = [];
    for (let second = 0; second < 60; second++) {
      const before = network.connected.length;
      await vi.advanceTimersByTimeAsync(1000);
      if (network.connected.length > before) tries.push(second);
    }
    expect(state.note).toBe("The node at root:5000 cannot be reached.");
    const pauses = tries.slice(1).map((second, i) => second - tries[i]!);
    expect(pauses.slice(0, 3)).toEqual([2, 4, 8]);
    expect(Math.max(...pauses)).toBe(15);
  });
  test("once it computes, the next pause is short again", async () => {
    network.refuse = () => true;
    start();
    await pass(20);
    network.refuse = () => false;
    await pass(15);
    const root = network.last;
    root.assign();
    await settle();
    root.say("welcome", ROOT);
    await settle();
    root.channel.close();
    await settle();
    expect(state.retry).toBe(1);
  });
  test("a silent parent is dead, and signs of life are given", async () => {
    const root = await join({ silence: 3 });
    await pass(2.5);
    expect(root.heard.filter(([tag]) => tag === "heartbeat").length).toBeGreaterThanOrEqual(1);
    root.say("heartbeat");
    await pass(8.5);
    expect(root.closed).toBe(false);
    await pass(1.5);
    expect(root.closed).toBe(true);
    expect(state.phase).toBe("waiting");
    expect(state.note).toBe("Nothing was heard for 9 s.");
  });
  test("another run at the same place is joined with nothing kept", async () => {
    const root = await join();
    root.channel.close();
    await pass(1.1);
    network.last.assign({ run: "another run" });
    await settle();
    expect(sandbox.workers).toBe(0);
    await pass(3);
    expect(network.last.take()[0]!.slice(1)).toEqual(["phone", 1, "", 0, "", false, false]);
  });
  test("when the run is over its workers end, and it waits for the next one", async () => {
    const root = await join();
    root.lend(1, [1]);
    await settle();
    root.say("ended");
    await settle();
    expect(sandbox.workers).toBe(0);
    expect(state).toMatchObject({
      phase: "finished",
      results: 1,
    });
    await pass(1.1);
    expect(network.connected.length).toBe(2);
  });
  test("the end of a run tells what this device has had of it", async () => {
    const root = await join();
    root.lend(1, [1, 2, 3]);
    await settle();
    root.say("ended", 12);
    await settle();
    expect(state).toMatchObject({ phase: "finished", run: "run", runResults: 3, runTotal: 12 });
  });
  test.each([
    [true, "waiting without end where the link lasts"],
    [false, "no longer than a script takes to begin another map"],
  ])("after a run the next one is waited for: %s, %s", async (linkLasts) => {
    const root = await join({ linkLasts });
    root.say("ended", 1);
    await settle();
    network.refuse = () => true;
    const phases = new Set<string>();
    for (let second = 0; second < 120; second++) {
      await pass(1);
      phases.add(state.phase);
    }
    expect([...phases], "what is shown lasts").toEqual(["finished"]);
    const tried = network.connected.length;
    await pass(20);
    expect(network.connected.length > tried).toBe(linkLasts);
  });
  test("a link that is no longer good after a run is no failure", async () => {
    const root = await join();
    root.say("ended", 1);
    await pass(1.1);
    network.last.say("denied", "invalid or expired link", 1);
    await pass(20);
    expect(state.phase).toBe("finished");
    expect(network.connected.length).toBe(2);
  });
  test("the next run is computed for, and its state begin anew", async () => {
    const root = await join();
    root.lend(1, [1, 2]);
    await settle();
    root.say("ended", 2);
    await pass(1.1);
    network.last.assign({ run: "next" });
    await settle();
    network.last.say("welcome", ROOT);
    network.last.lend(1, [1]);
    await settle();
    expect(device.state()).toMatchObject({
      phase: "computing",
      run: "next",
      results: 3,
      runResults: 1,
      runTotal: null,
    });
  });
  test("it is tried at once where the person or the network says so", async () => {
    const root = await join();
    network.refuse = () => true;
    root.channel.close();
    await pass(10);
    const tried = network.connected.length;
    device.retry();
    await settle();
    expect(network.connected.length).toBe(tried + 1);
    device.setOnline(false);
    expect(state.offline).toBe(true);
    device.setOnline(true);
    await settle();
    expect(state.offline).toBe(false);
    expect(network.connected.length).toBe(tried + 2);
  });
  test("it is idle where nothing is lent, and only there", async () => {
    const root = await join();
    await pass(0.2);
    expect(device.state().idle, "work is on its way").toBe(false);
    await pass(1);
    expect(device.state().idle).toBe(true);
    root.lend(1, [null]);
    await pass(30);
    expect(device.state(), "a long item").toMatchObject({ idle: false, results: 0 });
    expect(device.state().busy).toBeCloseTo(30, 0);
    sandbox.answerAll();
    await settle();
    expect(device.state().idle).toBe(false);
    await pass(1);
    expect(device.state().idle).toBe(true);
  });
  test("nonsense from the parent ends the stay", async () => {
    const root = await join();
    root.channel.send(new Uint8Array([0xc1]));
    await settle();
    expect(root.closed).toBe(true);
    expect(state.phase).toBe("waiting");
  });
  test("items that are no array end the stay", async () => {
    const root = await join();
    root.say("lend", 1, 5);
    await settle();
    expect(root.closed).toBe(true);
  });
});
