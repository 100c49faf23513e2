/**
 * A tab's parent is killed at each stage of joining it: the tab finds another place in bounded time, computes what
 * it is lent there, and keeps nothing of the parent.
 *
 * Killed is who says nothing any more; its links break, or are silent. The stages before the place are the root's
 * alone to notice: `tests/joining` has them.
 */

import { describe, expect, test } from "vitest";

import { device, network, pass, results, sandbox, start, state, useDevice } from "./device-setup";
import { ANSWER } from "./fake-page";
import { NODE, PARENT, type Peer, ROOT, settle, TICKET } from "./root";

useDevice();

const SILENCE = 10;
type How = "broken" | "silent";
type Protocol = "websocket" | "webrtc";
/** Seconds that a tab may be without a place after its parent's end. A WebSocket does not tell that a long message
 * is coming: so its silence is the end only after three times as long. */
const WITHIN: Record<Protocol, Record<How, number>> = {
  websocket: { broken: 6, silent: 36 },
  webrtc: { broken: 6, silent: 16 },
};

interface Stage {
  name: string;
  /** How many steps of the handshake the parent makes; all, where it is left out. */
  steps?: number;
  /** What happens after the handshake until the stage is reached. */
  until?: (parent: Peer) => Promise<void>;
}

const welcome = async (parent: Peer): Promise<void> => {
  parent.say("welcome", PARENT);
  await settle();
};
const lend = async (parent: Peer): Promise<void> => {
  await welcome(parent);
  parent.lend(1, [null]); // which the sandbox thinks about
  await settle();
};
const STAGES: Stage[] = [
  { name: "its channel is open", steps: 0 },
  { name: "it has shown its certificate", steps: 1 },
  { name: "it has the ticket", steps: 2 },
  { name: "both have proved who they are", steps: 3 },
  { name: "the tab is welcome, and the root knows", until: welcome },
  { name: "the first lease has come", until: lend },
  {
    name: "a result is under way",
    until: async (parent) => {
      await lend(parent);
      sandbox.answerAll();
      await settle();
    },
  },
];
const CASES = (["websocket", "webrtc"] as const).flatMap((protocol) =>
  (["broken", "silent"] as const).flatMap((how) =>
    STAGES.map((stage) => ({ protocol, how, stage, name: `${protocol}, ${how}: ${stage.name}` })),
  ),
);

/** Have a tab that is sent to a parent. */
async function redirect(protocol: Protocol): Promise<Peer> {
  start({ protocol });
  await settle();
  const root = network.last;
  root.assign({ silence: SILENCE, protocol: "auto" });
  network.webrtc.is = "parent";
  await pass(0.2);
  expect(root.take().map(([tag]) => tag)).toContain("ready");
  root.say("delegated", PARENT, ["192.168.1.9:4000"], TICKET, protocol === "webrtc" ? ANSWER : "");
  await settle();
  return root;
}

/** Let the tab have a place at the root, by whichever way it asks for one; how many seconds that takes. */
async function placeAtTheRoot(root: Peer, within: number): Promise<[Peer, number]> {
  for (let seconds = 0; seconds <= within; seconds += 0.5) {
    if (root.take().some(([tag]) => tag === "unreachable")) {
      root.say("welcome", ROOT);
      await pass(0.2);
      return [root, seconds];
    }
    if (network.connected.filter((url) => url.includes("root")).length > 1) {
      const again = network.last;
      await settle();
      if (again.certified !== null && again.heard.length > 0) {
        again.assign({ silence: SILENCE, protocol: "auto" });
        await pass(0.2);
        again.say("welcome", ROOT);
        await pass(0.2);
        return [again, seconds];
      }
    }
    await pass(0.5);
  }
  throw new Error(`no other place within ${within} s`);
}

/**
 * See that the tab computes for the root, each item once, and that nothing of the parent is left: where it may use
 * WebRTC, it offers that to the root now, by one connection more.
 */
async function expectAllIsWell(root: Peer, parents: Peer[]): Promise<void> {
  expect(state.phase).toBe("computing");
  root.take();
  root.lend(1, [20, 21]);
  await pass(0.2);
  sandbox.answerAll(); // what it still thought about was the parent's
  await pass(0.5);
  expect(results(root)).toEqual([
    [1, 0, 40],
    [1, 1, 42],
  ]);
  expect(parents.map(({ closed }) => closed)).toEqual(parents.map(() => true));
  const open = network.connections.filter(({ isClosed }) => !isClosed);
  expect(open).toEqual(network.connections.length > 0 ? [network.connections.at(-1)] : []);
  expect(network.peers.filter(({ closed }) => !closed)).toEqual([root]);
  expect(sandbox.workers).toBe(1);
}

describe("a parent that is killed while it is joined", () => {
  test.each(CASES)("$name", async ({ protocol, how, stage }) => {
    const wait = redirect(protocol);
    // The root has made its handshake by then; whoever is met from now on is the parent.
    await settle();
    network.proves = stage.steps === undefined ? {} : { steps: stage.steps };
    const root = await wait;
    await pass(protocol === "webrtc" ? 0.6 : 0.1);
    const parent = network.last;
    expect(parent).not.toBe(root);
    await stage.until?.(parent);
    network.proves = {};
    kill(parent, how, protocol);
    const [found] = await placeAtTheRoot(root, WITHIN[protocol][how]);
    expect(found === root ? NODE : found.certified).toEqual(NODE);
    await expectAllIsWell(found, [parent]);
  });

  function kill(parent: Peer, how: How, protocol: string): void {
    if (how === "silent") return;
    if (protocol === "websocket") parent.channel.close();
    else network.connections.at(-1)!.say({ type: "failed", reason: "the connection is lost" });
  }

  test("its address does not answer at all", async () => {
    const { connect } = network;
    const late: (() => void)[] = [];
    network.connect = (url) => {
      if (!url.includes("192.168")) return connect(url);
      return new Promise((resolve) => late.push(() => void connect(url).then(resolve)));
    };
    const root = await redirect("websocket");
    const [found, seconds] = await placeAtTheRoot(root, WITHIN.webrtc.broken);
    expect(found).toBe(root);
    expect(seconds).toBeGreaterThan(4);
    late.forEach((answer) => answer()); // it was only slow
    await settle();
    const parent = network.last;
    await pass(0.2);
    await expectAllIsWell(root, [parent]);
  });

  test("eight addresses that do not answer take less time than the root waits", async () => {
    const { connect } = network;
    let tried = 0;
    network.connect = (url) => {
      if (!url.includes("192.168")) return connect(url);
      tried++;
      return new Promise(() => {});
    };
    start();
    await settle();
    const root = network.last;
    root.assign();
    await settle();
    const addresses = Array.from({ length: 8 }, (_, i) => `192.168.1.${i + 1}:4000`);
    root.say("delegated", PARENT, addresses, TICKET);
    await pass(31);
    expect(root.take().at(-1)).toEqual(["unreachable", "it does not answer", ""]);
    expect(tried).toBeGreaterThan(5);
    root.say("welcome", ROOT);
    await pass(15);
    expect(tried).toBeLessThan(8);
  });

  test.each(["silent", "broken"])("ICE or DTLS does not come to an end: %s", async (how) => {
    network.webrtc.silent = true;
    const root = await redirect("webrtc");
    await pass(0.6);
    if (how === "broken") {
      network.connections.at(-1)!.say({ type: "failed", reason: "the check has failed" });
    }
    const [found] = await placeAtTheRoot(root, WITHIN.webrtc.broken);
    expect(found).toBe(root);
    await expectAllIsWell(root, []);
  });

  test("the tab is stopped while its parent is silent", async () => {
    network.webrtc.silent = true;
    await redirect("webrtc");
    await pass(0.6);
    const stopping = device.stop();
    await pass(6);
    await stopping;
    expect(state.phase).toBe("stopped");
    expect(network.connections.every(({ isClosed }) => isClosed)).toBe(true);
    expect(network.peers.every(({ closed }) => closed)).toBe(true);
  });
});
