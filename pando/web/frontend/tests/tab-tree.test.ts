/** Trees of tabs over channels in memory: results are exact and in order, whoever comes and goes. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { pass, TabTree, type TreeDevice } from "./tab-tree";

let tree: TabTree;

beforeEach(() => {
  // Message ports and the tests' own waiting go by the real time.
  vi.useFakeTimers({
    toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
  });
  tree = new TabTree();
});
afterEach(async () => {
  await tree.close();
  vi.useRealTimers();
});

const numbers = (count: number, first = 0): number[] =>
  Array.from({ length: count }, (_, i) => first + i);
const doubled = (count: number): number[] => numbers(count).map((each) => 2 * each);

/** Wait until the root has so many results. */
async function results(count: number): Promise<unknown[]> {
  for (let i = 0; i < 600 && tree.root.results.length < count; i++) await pass(0.1);
  return tree.root.results;
}

/** Items of which some are thought about until devices are told to answer. */
const thoughtful = (count: number): (number | null)[] =>
  numbers(count).map((each) => (each % 25 === 24 ? null : each));
const answered = (items: (number | null)[]): (number | null)[] =>
  items.map((each) => each && 2 * each);

/** Have devices answer what they think about until the root has so many results. */
async function answerAll(count: number, ...devices: TreeDevice[]): Promise<unknown[]> {
  for (let i = 0; i < 600 && tree.root.results.length < count; i++) {
    for (const { sandbox } of devices) sandbox.answerAll();
    await pass(0.1);
  }
  return tree.root.results;
}

test("one below the other: both compute, and the root has all results in order", async () => {
  const first = await tree.join("first");
  const second = await tree.join("second");
  await pass(1);
  expect(tree.root.children.size).toBe(1);
  expect(Object.fromEntries(tree.root.reported)).toEqual({ first: "root", second: "first" });
  tree.root.lendMore(numbers(300));
  expect(await results(300)).toEqual(doubled(300));
  expect(first.results).toBeGreaterThan(0);
  expect(second.results).toBeGreaterThan(0);
  expect(second.state.link).toBe("webrtc");
});

test("three in a row", async () => {
  const devices = [await tree.join("first"), await tree.join("second"), await tree.join("third")];
  await pass(2);
  const parents = { first: "root", second: "first", third: "second" };
  expect(Object.fromEntries(tree.root.reported)).toEqual(parents);
  tree.root.lendMore(numbers(600));
  expect(await results(600)).toEqual(doubled(600));
  for (const device of devices) expect(device.results).toBeGreaterThan(0);
});

test("a child that is killed: what it held is computed by others", async () => {
  const first = await tree.join("first");
  const second = await tree.join("second");
  const items = thoughtful(400);
  tree.root.lendMore(items);
  await pass(2);
  expect(second.results).toBeGreaterThan(0);
  second.kill();
  expect(tree.root.results.length).toBeLessThan(400);
  expect(await answerAll(400, first)).toEqual(answered(items));
});

test("a parent that is killed: its child joins again, with its subtree and what it has", async () => {
  const first = await tree.join("first");
  const second = await tree.join("second");
  const third = await tree.join("third");
  const items = thoughtful(400);
  tree.root.lendMore(items);
  await pass(2);
  const before = second.results;
  expect(before).toBeGreaterThan(0);
  first.kill();
  expect(tree.root.results.length).toBeLessThan(400);
  expect(await answerAll(400, second, third)).toEqual(answered(items));
  await pass(2);
  expect(tree.root.reported.get("second")).toBe("root");
  expect(tree.root.reported.get("third")).toBe("second");
  expect(second.results).toBeGreaterThan(before);
  expect(third.results).toBeGreaterThan(0);
  const starts = second.sandbox.commands.filter(({ type }) => type === "start");
  expect(starts.length).toBe(1);
});

test("who takes no children any more hands them over: the new place comes first", async () => {
  const first = await tree.join("first");
  const second = await tree.join("second");
  const third = await tree.join("third");
  const items = thoughtful(400);
  tree.root.lendMore(items);
  await pass(2);
  const phases = new Set<string>();
  first.device.setWilling(false);
  for (let i = 0; i < 40; i++) {
    await pass(0.1);
    phases.add(second.state.phase);
  }
  expect([...phases]).toEqual(["computing"]); // it was never without a place
  expect(tree.root.children.size).toBe(2);
  expect(await answerAll(400, first, second, third)).toEqual(answered(items));
  await pass(1);
  const parents = { first: "root", second: "root", third: "second" };
  expect(Object.fromEntries(tree.root.reported)).toEqual(parents);
});

test("a page that is not willing gets nobody", async () => {
  await tree.join("first", { willing: false });
  await tree.join("second");
  expect(tree.root.children.size).toBe(2);
  expect(tree.root.overlay.beyondDegree.length).toBe(1);
});

test("nobody is sent to a page that has become unwilling, and to one that is willing again", async () => {
  const first = await tree.join("first");
  first.device.setWilling(false);
  await pass(0.2);
  await tree.join("second");
  expect(tree.root.children.size).toBe(2);
  first.device.setWilling(true);
  await pass(0.2);
  await tree.join("third");
  await pass(1);
  expect(tree.root.children.size).toBe(2);
});

test("a device that is paused computes nothing, and its children go elsewhere", async () => {
  const first = await tree.join("first");
  await tree.join("second");
  const pausing = first.device.pause();
  await pass(3);
  await pausing;
  const before = first.results;
  tree.root.lendMore(numbers(200));
  expect(await results(200)).toEqual(doubled(200));
  expect(first.results).toBe(before);
  expect(tree.root.children.size).toBe(2);
});

test("a device that was sent away is parted from its parent", async () => {
  await tree.join("first");
  const second = await tree.join("second");
  const id = new Uint8Array([0, 0, 0, 0, 0, 0, 7, 2]);
  tree.root.tell("first", "disconnect", id);
  await pass(0.3);
  expect(second.state.phase).not.toBe("computing");
});

test("the end of the run reaches all", async () => {
  const devices = [await tree.join("first"), await tree.join("second"), await tree.join("third")];
  tree.root.lendMore(numbers(50));
  await results(50);
  tree.root.tell("first", "ended", 50);
  await pass(2);
  for (const { finishedWith } of devices) expect(finishedWith[0]).toBe(50);
});
