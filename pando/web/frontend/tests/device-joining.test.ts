/** How a tab's node joins, and whom it believes. */

import { describe, expect, test } from "vitest";

import { MAX_VALUE_BYTES } from "../src/tree/large-messages";
import { RootKeys } from "../src/trust/keys";
import {
  join,
  network,
  pass,
  ROOT_URL,
  results,
  running,
  sandbox,
  start,
  state,
  tags,
  useDevice,
} from "./device-setup";
import { CREDENTIALS, PACKAGE, PARENT, ROOT, settle } from "./root";

useDevice();

describe("joining", () => {
  test("it says who it is, gets ready, takes its place and asks for work", async () => {
    start();
    await settle();
    const root = network.last;
    expect(network.connected).toEqual([ROOT_URL]);
    expect(root.take()).toEqual([["hello", "phone", 1, "", 0, "", false, false]]);
    root.assign();
    await settle();
    expect(root.take()).toEqual([["ready", 0, [], ""]]);
    expect(state.phase).toBe("joining");
    root.say("welcome", ROOT);
    await settle();
    expect(root.take()).toEqual([["want", 1, MAX_VALUE_BYTES, null]]);
    expect(state).toMatchObject({ phase: "computing", function: "double", workers: 1 });
  });
  test("a device that is denied says why, and does not come again", async () => {
    start();
    await settle();
    network.last.say("denied", "the link is not complete", 1);
    await pass(60);
    await running;
    expect(state).toMatchObject({ phase: "refused", note: "The link is not complete." });
    expect(network.connected.length).toBe(1);
  });
  test("a function that cannot be loaded is told to the root, and shown", async () => {
    sandbox.refusal = "there is no such module";
    start();
    await settle();
    network.last.assign();
    await settle();
    expect(network.last.take().at(-1)).toEqual(["refused", "there is no such module", "Traceback"]);
    expect(state).toMatchObject({ phase: "refused", note: "There is no such module." });
    expect(sandbox.workers).toBe(0);
  });
  test("a function of another language is refused", async () => {
    start();
    await settle();
    network.last.assign({ packed: new Uint8Array([0x91, 0xa1, 0x78]) });
    await settle();
    expect(network.last.take().at(-1)![0]).toBe("refused");
    expect(state.phase).toBe("refused");
  });
  test("a function in parts is put together", async () => {
    start();
    await settle();
    network.last.assign({ packed: new Uint8Array(), parts: 2 });
    network.last.say("function part", PACKAGE.slice(0, 5));
    network.last.say("function part", PACKAGE.slice(5));
    await settle();
    expect(network.last.take().at(-1)).toEqual(["ready", 0, [], ""]);
  });
  test("a function of empty parts ends the stay, however many are announced", async () => {
    start();
    await settle();
    network.last.assign({ packed: new Uint8Array(), parts: 2 ** 40 });
    network.last.say("function part", new Uint8Array());
    await settle();
    expect(network.last.closed).toBe(true);
    expect(state.phase).toBe("waiting");
  });
  test("a function that is nonsense ends the stay, not the program", async () => {
    start();
    await settle();
    network.last.assign({ packed: new Uint8Array([0xc1]) });
    await settle();
    expect(state.phase).toBe("waiting");
  });
});

describe("who is believed", () => {
  test.each([
    [
      "another root",
      { keys: new RootKeys(new Uint8Array(32).fill(8), new Uint8Array(32).fill(9)) },
      "another run",
    ],
    ["an open root", { psk: null }, "lets everybody join"],
    ["a node", { is: "parent" as const }, "not its root"],
  ])("%s is told nothing, and waited for no longer than others", async (_, proves, reason) => {
    network.proves = proves;
    start();
    await settle();
    expect(network.last.take()).toEqual([]);
    expect(state).toMatchObject({ phase: "waiting", workers: 0 });
    expect(state.note).toContain(reason);
    expect(sandbox.workers).toBe(0);
    network.proves = {};
    await pass(1.1);
    expect(network.last.take()).toEqual([["hello", "phone", 1, "", 0, "", false, false]]);
  });
  test("a root that proves its refusal is not asked again", async () => {
    network.proves = { refusal: "this link has ended" };
    start();
    await pass(60);
    await running;
    expect(state).toMatchObject({ phase: "refused", note: "This link has ended." });
    expect(network.connected.length).toBe(1);
  });
  test("without a link any root is taken", async () => {
    network.proves = { psk: null };
    start({ token: "" });
    await settle();
    expect(network.last.take()).toEqual([["hello", "phone", 1, "", 0, "", false, false]]);
  });
  test.each(["x", "wo-T9S3Y1ggTvM1E", `${CREDENTIALS}A`])(
    "nobody is asked by the link '%s'",
    async (token) => {
      start({ token });
      await pass(2);
      await running;
      expect(state.phase).toBe("refused");
      expect(network.connected).toEqual([]);
    },
  );
  test("where the root encrypts, as it does through a relay, the tab does", async () => {
    network.proves = { encrypts: true };
    const root = await join();
    expect(tags(root)).toEqual(["hello", "ready", "want"]);
    root.lend(1, [1, 2]);
    await settle();
    expect(results(root)).toEqual([
      [1, 0, 2],
      [1, 1, 4],
    ]);
    root.channel.send(new Uint8Array(100));
    await settle();
    expect(state).toMatchObject({ phase: "waiting" });
    expect(state.note).toContain("changed on the way");
  });
  test("a parent that another root has certified is not believed", async () => {
    start();
    await settle();
    const root = network.last;
    root.assign();
    await settle();
    network.proves = { keys: new RootKeys(new Uint8Array(32).fill(8), new Uint8Array(32).fill(9)) };
    root.say("delegated", PARENT, ["10.0.0.1:1"], "ticket");
    await settle();
    expect(root.take().at(-1)).toEqual([
      "unreachable",
      "the root has not signed the certificate",
      "",
    ]);
    expect(network.last.take()).toEqual([]);
  });
});
