/** What a tab's node computes. */

import { describe, expect, test, vi } from "vitest";

import { GATHER_MILLISECONDS } from "../src/tree/keepalive";
import { decode } from "../src/values";
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
import { settle } from "./root";

useDevice();

describe("computing", () => {
  test("results come under their leases, failures with the device's name", async () => {
    const root = await join({ workers: 2 });
    root.lend(1, [1, 2, 3]);
    root.lend(2, ["bad"]);
    await pass(1);
    const heard = root.take().filter(([tag]) => tag === "results");
    expect(heard.filter(([, lease]) => lease === 1).flatMap(([, , , , values]) => values)).toEqual([
      2, 4, 6,
    ]);
    expect(heard.find(([, lease]) => lease === 2)!.at(-1)).toEqual({
      0: ["E", "bad", "at bad", "phone", new Uint8Array()],
    });
    expect(state.phase).toBe("computing");
    expect(device.state()).toMatchObject({
      results: 4,
      failures: 1,
      failure: "at bad",
      workers: 2,
    });
  });
  test("workers that cannot be kept alive end the stay, and are not counted on", async () => {
    const root = await join();
    root.lend(1, [null]);
    await settle();
    sandbox.refusal = "it does not load any more";
    sandbox.fail("out of memory");
    await settle();
    expect(state.phase).toBe("refused");
    expect(state.note).toContain("It does not load any more");
    expect(root.closed).toBe(true);
  });
  test("a root that never answers is left", async () => {
    start();
    await settle();
    await pass(120.2);
    expect(state.note).toBe("The root does not answer.");
  });
  test("workers of a run whose root is gone for long are ended", async () => {
    const root = await join();
    network.refuse = () => true;
    root.channel.close();
    await pass(20);
    expect(sandbox.workers).toBe(1);
    await pass(30);
    expect(sandbox.workers).toBe(0);
  });
  test("the first worker starts alone, the others when it is ready", async () => {
    sandbox.slow = true;
    await join({ workers: 3 });
    expect(sandbox.workers).toBe(1);
    sandbox.loadAll();
    await settle();
    expect(sandbox.workers).toBe(3);
  });
  test("results go at once where a worker has nothing to do, and together where all are busy", async () => {
    const root = await join({ workers: 2 });
    root.take();
    root.lend(1, [null]);
    root.lend(2, [1]);
    await settle();
    expect(results(root)).toEqual([[2, 0, 2]]);
    root.lend(3, [2]);
    root.lend(4, [null]);
    await settle();
    expect(results(root)).toEqual([]);
    await vi.advanceTimersByTimeAsync(GATHER_MILLISECONDS);
    await settle();
    expect(results(root)).toEqual([[3, 0, 4]]);
    sandbox.answerAll();
  });
  test("values pass untouched", async () => {
    const root = await join();
    root.take();
    root.lend(1, [2 ** 40]);
    await settle();
    expect(results(root)).toEqual([[1, 0, 2 ** 41]]);
    expect(decode(new Uint8Array([0xc0]))).toBeNull();
  });
  test("an item over its time fails alone", async () => {
    const root = await join({ timeout: 2 });
    root.take();
    root.lend(1, [null]);
    root.lend(2, [5]);
    await pass(1.5);
    expect(root.take()).toEqual([]);
    await pass(1);
    const heard = root.take();
    expect(heard.find(([, lease]) => lease === 1)!.at(-1)).toMatchObject({
      0: ["TimeoutError", "it took longer than 2 s", "", "phone", new Uint8Array()],
    });
    expect(heard.find(([, lease]) => lease === 2)![4]).toEqual([10]);
    expect(sandbox.commands.filter((command) => command.type === "end").length).toBe(1);
  });
  test("a worker that fails is replaced, and its item struck", async () => {
    const root = await join();
    root.lend(1, [null]);
    await settle();
    root.take();
    const [worker, port] = [...sandbox.ports][0]!;
    port.postMessage({ type: "surprise" });
    await settle();
    expect(root.take()).toEqual([["struck", 1, 0, "protocol violation"]]);
    expect([...sandbox.ports.keys()]).not.toContain(worker);
    expect(sandbox.workers).toBe(1);
  });
  test.each([
    [
      "results of another batch",
      {
        type: "results",
        batch: 99,
        count: 1,
        values: new Uint8Array([0x91, 1]),
        failures: new Map(),
        seconds: 1,
      },
    ],
    [
      "fewer values than it says",
      {
        type: "results",
        batch: 1,
        count: 1,
        values: new Uint8Array([0x90]),
        failures: new Map(),
        seconds: 1,
      },
    ],
    [
      "values that are none",
      {
        type: "results",
        batch: 1,
        count: 1,
        values: new Uint8Array([0xc1]),
        failures: new Map(),
        seconds: 1,
      },
    ],
    [
      "failures that are none",
      {
        type: "results",
        batch: 1,
        count: 1,
        values: new Uint8Array([0x91, 1]),
        failures: new Map([[5, {}]]),
        seconds: 1,
      },
    ],
    [
      "endless time",
      {
        type: "results",
        batch: 1,
        count: 1,
        values: new Uint8Array([0x91, 1]),
        failures: new Map(),
        seconds: NaN,
      },
    ],
    ["the end, without results", { type: "batchTruncated", batch: 1 }],
    ["nothing", null],
  ])("a worker that says %s is replaced", async (_, message) => {
    const root = await join();
    root.lend(1, [null]);
    await settle();
    root.take();
    [...sandbox.ports.values()][0]!.postMessage(message);
    await settle();
    expect(tags(root)).toEqual(["struck"]);
  });
  test("a sandbox that is silent is lost: the item is blamed, and a new one goes on at the same place", async () => {
    const root = await join();
    root.lend(1, [null]);
    root.lend(2, [4]);
    await settle();
    root.take();
    sandbox.silent = true;
    await pass(8);
    sandbox.silent = false;
    await pass(1);
    expect(tags(root)).toEqual(["struck", "results"]);
    expect(root.closed).toBe(false);
    expect(state.phase).toBe("computing");
    expect(sandbox.workers).toBe(1);
    root.lend(3, [5]);
    await pass(0.1);
    expect(results(root)).toEqual([[3, 0, 10]]);
  });
  test("where the new one is lost as well, before it has loaded the function, the device joins anew", async () => {
    const root = await join();
    sandbox.silent = sandbox.slow = true;
    await pass(8);
    expect(root.closed).toBe(false);
    expect(state.phase).toBe("preparing");
    await pass(8);
    expect(root.closed).toBe(true);
    sandbox.silent = sandbox.slow = false;
    await pass(2);
    expect(network.last.take()[0]!.slice(0, 6)).toEqual(["hello", "phone", 1, "", 0, ""]);
  });
});
