import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { Device, type Figures } from "../src/node/device";
import { GATHER_MILLISECONDS } from "../src/tree/link";
import { decode } from "../src/values";
import { FakeSandbox, Network, NODE, type Peer, ROOT, settle } from "./root";

const ROOT_URL = "ws://root:5000/node";
const PARENT = new Uint8Array([9, 9, 9, 9, 9, 9, 9, 9]);

let network: Network;
let sandbox: FakeSandbox;
let device: Device;
let figures: Figures;
let running: Promise<void>;

beforeEach(() => {
  // Message ports and the tests' own waiting go by the real time.
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] });
  network = new Network();
  sandbox = new FakeSandbox();
});

afterEach(async () => {
  const stopping = device.stop();
  await pass(2);
  await stopping;
  await running;
  sandbox.close();
  vi.useRealTimers();
});

function start(options: { token?: string; workers?: number } = {}): void {
  const surroundings = {
    connect: network.connect,
    openSandbox: sandbox.open,
    changed: (now: Figures) => {
      figures = now;
    },
  };
  device = new Device({ url: ROOT_URL, token: "token", name: "phone", workers: 1, ...options }, surroundings);
  running = device.run();
}

/** So many seconds go by. */
async function pass(seconds: number): Promise<void> {
  await settle();
  for (let left = seconds * 10; left > 0; left--) await vi.advanceTimersByTimeAsync(100);
  await settle();
}

/** A device that computes below the root. */
async function join(options: Parameters<typeof start>[0] & { silence?: number; timeout?: number } = {}): Promise<Peer> {
  start(options);
  await settle();
  const root = network.last;
  root.assign({ silence: options.silence ?? 10, timeout: options.timeout ?? null });
  await settle();
  root.say("welcome", ROOT);
  await settle();
  return root;
}

const tags = (peer: Peer): string[] => peer.take().map(([tag]) => tag);
/** The results that came, by lease and place. */
function results(peer: Peer): [lease: number, place: number, value: unknown][] {
  return peer
    .take()
    .filter(([tag]) => tag === "results")
    .flatMap(([, lease, offset, , values]) =>
      (values as unknown[]).map((value, i): [number, number, unknown] => [lease as number, (offset as number) + i, value]),
    );
}

describe("joining", () => {
  test("it says who it is, gets ready, takes its place and asks for work", async () => {
    start();
    await settle();
    const root = network.last;
    expect(network.connected).toEqual([ROOT_URL]);
    expect(root.take()).toEqual([["hello", 1, "phone", 1, new Uint8Array(0), "", "token", "", 0, [], ""]]);
    root.assign();
    await settle();
    expect(root.take()).toEqual([["ready", 0, []]]);
    expect(figures.state).toBe("joining");
    root.say("welcome", ROOT);
    await settle();
    expect(root.take()).toEqual([["want", 1]]);
    expect(figures).toMatchObject({ state: "computing", function: "double", workers: 1 });
  });
  test("a device that is denied says why, and does not come again", async () => {
    start();
    await settle();
    network.last.say("denied", "the link is not complete", 1);
    await pass(60);
    await running;
    expect(figures).toMatchObject({ state: "refused", note: "The link is not complete." });
    expect(network.connected.length).toBe(1);
  });
  test("another version is refused with a sentence", async () => {
    start();
    await settle();
    network.last.assign({ version: 2 });
    await pass(60);
    expect(figures.state).toBe("refused");
    expect(figures.note).toContain("another version");
    expect(network.connected.length).toBe(1);
  });
  test("a function that cannot be loaded is told to the root, and shown", async () => {
    sandbox.refusal = "there is no such module";
    start();
    await settle();
    network.last.assign();
    await settle();
    expect(network.last.take().at(-1)).toEqual(["refused", "there is no such module", "Traceback"]);
    expect(figures).toMatchObject({ state: "refused", note: "there is no such module" });
    expect(sandbox.workers).toBe(0);
  });
  test("a function of another language is refused", async () => {
    start();
    await settle();
    network.last.assign({ packed: new Uint8Array([0x91, 0xa1, 0x78]) });
    await settle();
    expect(network.last.take().at(-1)![0]).toBe("refused");
    expect(figures.state).toBe("refused");
  });
  test("a function that is nonsense ends the stay, not the program", async () => {
    start();
    await settle();
    network.last.assign({ packed: new Uint8Array([0xc1]) });
    await settle();
    expect(figures.state).toBe("waiting");
  });
});

describe("the tree", () => {
  async function delegate(addresses: string[]): Promise<Peer> {
    start();
    await settle();
    const root = network.last;
    root.assign();
    await settle();
    root.take();
    root.say("delegated", addresses, "ticket");
    await settle();
    return root;
  }
  test("it goes where it is sent, with its ticket and without the token", async () => {
    const root = await delegate(["192.168.1.7:5001"]);
    expect(network.connected.at(-1)).toBe("ws://192.168.1.7:5001/node");
    const parent = network.last;
    expect(parent.take()).toEqual([["hello", 1, "phone", 1, NODE, "run", "", "ticket", 0, [], ""]]);
    parent.say("welcome", PARENT);
    await settle();
    expect(tags(root)).toEqual(["joined"]);
    expect(root.closed).toBe(true);
    expect(tags(parent)).toEqual(["want"]);
    parent.lend(1, [1, 2]);
    await settle();
    expect(results(parent)).toEqual([[1, 0, 2], [1, 1, 4]]);
    await pass(3.1);
    const status = parent.heard.find(([tag]) => tag === "status");
    expect(status).toEqual(["status", [[NODE, PARENT, "phone", 1, 0, 2, 0.02, null]]]);
  });
  test("what cannot be reached is said, and the root's next answer counts", async () => {
    network.refuse = (url) => url.includes("192.168");
    const root = await delegate(["192.168.1.7:5001", "192.168.1.8:5001"]);
    expect(network.connected.length).toBe(3);
    expect(root.take()).toEqual([["unreachable", "the node at 192.168.1.8:5001 cannot be reached"]]);
    root.say("welcome", ROOT);
    await settle();
    expect(figures.state).toBe("computing");
    expect(tags(root)).toEqual(["want"]);
  });
  test.each([
    ["a parent that says no", (parent: Peer) => parent.say("denied", "the ticket is old", 1), "the ticket is old"],
    ["a parent that says something else", (parent: Peer) => parent.say("ended"), "no welcome"],
    ["a parent that goes", (parent: Peer) => parent.channel.close(), "the other end is gone"],
    ["a parent that never answers", () => {}, "no welcome"],
  ])("%s", async (_, behave, reason) => {
    const root = await delegate(["10.0.0.1:1"]);
    behave(network.last);
    await pass(6);
    expect(root.take()).toEqual([["unreachable", reason]]);
    expect(network.peers[1]!.closed).toBe(true);
  });
  test("a place without an address is unreachable", async () => {
    expect((await delegate([])).take()).toEqual([["unreachable", "it has no address"]]);
  });
  test("it takes no children in", async () => {
    const root = await join();
    root.take();
    root.say("join", PARENT);
    await settle();
    expect(root.take()).toEqual([["offer", PARENT, NODE, [], ""]]);
  });
});

describe("computing", () => {
  test("results come under their leases, failures with the device's name", async () => {
    const root = await join({ workers: 2 });
    root.lend(1, [1, 2, 3]);
    root.lend(2, ["bad"]);
    await pass(1);
    const heard = root.take().filter(([tag]) => tag === "results");
    expect(heard.filter(([, lease]) => lease === 1).flatMap(([, , , , values]) => values)).toEqual([2, 4, 6]);
    expect(heard.find(([, lease]) => lease === 2)!.at(-1)).toEqual({ 0: ["E", "bad", "at bad", "phone", new Uint8Array()] });
    expect(figures.state).toBe("computing");
    expect(device.figures()).toMatchObject({ results: 4, failures: 1, failure: "at bad", workers: 2 });
  });
  test("workers that cannot be kept alive end the stay, and are not counted on", async () => {
    const root = await join();
    root.lend(1, [null]);
    await settle();
    sandbox.refusal = "it does not load any more";
    sandbox.fail("out of memory");
    await settle();
    expect(figures.state).toBe("refused");
    expect(figures.note).toContain("it does not load any more");
    expect(root.closed).toBe(true);
  });
  test("a root that never answers is left", async () => {
    start();
    await settle();
    await pass(120.2);
    expect(figures.note).toBe("The root does not answer.");
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
    expect(heard.find(([, lease]) => lease === 1)!.at(-1)).toMatchObject({ 0: ["TimeoutError", "it took longer than 2 s", "", "phone", new Uint8Array()] });
    expect(heard.find(([, lease]) => lease === 2)![4]).toEqual([10]);
    expect(sandbox.orders.filter((order) => order.do === "end").length).toBe(1);
  });
  test("a worker that fails is replaced, and its item struck", async () => {
    const root = await join();
    root.lend(1, [null]);
    await settle();
    root.take();
    const [worker, port] = [...sandbox.ports][0]!;
    port.postMessage({ is: "surprise" });
    await settle();
    expect(root.take()).toEqual([["struck", 1, 0, "the worker does not speak as one"]]);
    expect([...sandbox.ports.keys()]).not.toContain(worker);
    expect(sandbox.workers).toBe(1);
  });
  test.each([
    ["results of another batch", { is: "results", batch: 99, count: 1, values: new Uint8Array([0x91, 1]), failures: new Map(), seconds: 1 }],
    ["fewer values than it says", { is: "results", batch: 1, count: 1, values: new Uint8Array([0x90]), failures: new Map(), seconds: 1 }],
    ["values that are none", { is: "results", batch: 1, count: 1, values: new Uint8Array([0xc1]), failures: new Map(), seconds: 1 }],
    ["failures that are none", { is: "results", batch: 1, count: 1, values: new Uint8Array([0x91, 1]), failures: new Map([[5, {}]]), seconds: 1 }],
    ["endless time", { is: "results", batch: 1, count: 1, values: new Uint8Array([0x91, 1]), failures: new Map(), seconds: NaN }],
    ["the end, without results", { is: "ended early", batch: 1 }],
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
  test("a sandbox that is silent is lost, and the device joins anew", async () => {
    const root = await join();
    sandbox.silent = true;
    await pass(8);
    expect(root.closed).toBe(true);
    sandbox.silent = false;
    await pass(2);
    expect(network.last.take()[0]!.slice(0, 6)).toEqual(["hello", 1, "phone", 1, new Uint8Array(0), ""]);
  });
});

describe("coming back", () => {
  test("after a lost link it joins again as the same node, and keeps the function", async () => {
    const root = await join();
    root.lend(1, [null]);
    await settle();
    root.channel.close();
    await settle();
    expect(figures).toMatchObject({ state: "waiting", retry: 1, note: "The other end is gone." });
    await pass(1.1);
    const again = network.last;
    expect(again.take()).toEqual([["hello", 1, "phone", 1, NODE, "run", "token", "", 0, [], ""]]);
    again.assign({ packed: new Uint8Array(0) });
    await settle();
    again.say("welcome", ROOT);
    await settle();
    expect(tags(again)).toEqual(["ready", "want"]);
    expect(sandbox.orders.filter((order) => order.do === "start").length).toBe(1);
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
    expect(figures.note).toBe("The node at root:5000 cannot be reached.");
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
    expect(figures.retry).toBe(1);
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
    expect(figures.state).toBe("waiting");
    expect(figures.note).toBe("Nothing was heard for 9 s.");
  });
  test("another run at the same place is joined with nothing kept", async () => {
    const root = await join();
    root.channel.close();
    await pass(1.1);
    network.last.assign({ run: "another run" });
    await settle();
    expect(sandbox.workers).toBe(0);
    await pass(3);
    expect(network.last.take()[0]!.slice(4, 6)).toEqual([new Uint8Array(0), ""]);
  });
  test("when the run is over its workers end, and it waits for the next one", async () => {
    const root = await join();
    root.lend(1, [1]);
    await settle();
    root.say("ended");
    await settle();
    expect(sandbox.workers).toBe(0);
    expect(figures).toMatchObject({ state: "waiting", note: "The run is over. Waiting for the next one.", results: 1 });
    await pass(1.1);
    expect(network.connected.length).toBe(2);
  });
  test("nonsense from the parent ends the stay", async () => {
    const root = await join();
    root.channel.send(new Uint8Array([0xc1]));
    await settle();
    expect(root.closed).toBe(true);
    expect(figures.state).toBe("waiting");
  });
  test("items that are no array end the stay", async () => {
    const root = await join();
    root.say("lend", 1, 5);
    await settle();
    expect(root.closed).toBe(true);
  });
});

describe("stopping", () => {
  test("what runs is delivered, what waits given back, and then it leaves", async () => {
    const root = await join();
    root.lend(1, [1, null]);
    root.lend(2, [5]); // which waits in the worker
    root.lend(3, [6, 7]);
    await pass(0.05);
    root.take();
    const stopped = device.stop();
    await pass(0.05);
    expect(root.take()).toEqual([["returned", 3, 0, 2]]);
    root.lend(4, [8]);
    await settle();
    expect(root.take()).toEqual([]); // it goes back with the link
    sandbox.answerAll();
    await pass(0.1);
    await stopped;
    expect(tags(root)).toEqual(["results", "results", "leaving"]);
    expect(root.closed).toBe(true);
    await running;
    expect(figures.state).toBe("stopped");
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
    ["while it waits to connect again", async () => {
      network.refuse = () => true;
      start();
      await settle();
    }],
    ["before the root has answered", async () => {
      start();
      await settle();
    }],
    ["while it gets ready", async () => {
      start();
      await settle();
      network.last.assign();
    }],
    ["while it looks for a place", async () => {
      start();
      await settle();
      network.last.assign();
      await settle();
      network.last.say("delegated", ["10.0.0.1:1"], "ticket");
      await settle();
    }],
  ])("%s", async (_, begin) => {
    await begin();
    const connected = network.connected.length;
    const stopped = device.stop();
    await pass(6);
    await stopped;
    await running;
    expect(figures.state).toBe("stopped");
    expect(network.connected.length).toBe(connected);
    expect(network.peers.every((peer) => peer.closed)).toBe(true);
    expect(sandbox.workers).toBe(0);
  });
});
