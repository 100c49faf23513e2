/** How a tab's node connects by WebRTC: to the root, beside a first link, and to parents below it. */

import { describe, expect, test, vi } from "vitest";

import { PAUSES } from "../src/node/second-link";
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
import { ANSWER, OFFER } from "./fake-page";
import { NODE, PARENT, type Peer, ROOT, settle, TICKET } from "./root";

useDevice();

const WEBRTC = { protocol: "webrtc", runs: "auto" };

/** The offers that a root was sent, in messages of this kind; each as the other end reads it. */
function offers(root: Peer, kind: string): string[] {
  const said = root.take().filter(([tag]) => tag === kind);
  return said.map((fields) => fields[kind === "signal" ? 1 : fields.length - 1] as string);
}

/** Have a device that computes for the root by WebSocket, and has made it an offer. */
async function joinAndOffer(options: Parameters<typeof join>[0] = WEBRTC): Promise<Peer> {
  const root = await join(options);
  await pass(0.2);
  return root;
}

/** Let the root answer; its end of the second link. */
async function changeOver(root: Peer, silence = 10): Promise<Peer> {
  root.say("signal", ANSWER);
  await pass(0.2);
  const second = network.last;
  second.assign({ packed: new Uint8Array(0), protocol: "auto", silence });
  await pass(0.2);
  return second;
}

describe("a second link to the root", () => {
  test("the first one stays until it stands, and it is the same node", async () => {
    const root = await joinAndOffer();
    root.lend(1, [1, null, 2]);
    await pass(0.2);
    expect(results(root)).toEqual([[1, 0, 2]]);
    const second = await changeOver(root);
    expect(second.certified).toEqual(NODE);
    expect(second.take()).toEqual([["hello", "phone", 1, "run", 0, "", false, false]]);
    expect(root.closed).toBe(false); // what runs may still be delivered
    sandbox.answerAll();
    await pass(0.2);
    const said = root.take().map(([tag, lease, offset]) => [tag, lease, offset]);
    expect(said).toContainEqual(["results", 1, 1]);
    expect(said.map(([tag]) => tag)).not.toContain("leaving"); // others would get its place
    expect(second.take().map(([tag]) => tag)).toEqual(["ready"]);
    expect([root.closed, state.phase]).toEqual([false, "computing"]);
    second.say("welcome", ROOT);
    await pass(0.2);
    expect(root.closed).toBe(true);
    second.lend(1, [7]);
    await pass(0.2);
    expect(results(second)).toEqual([[1, 0, 14]]);
    expect(state).toMatchObject({ phase: "computing", link: "webrtc", linkProblem: "" });
    const introduced = second.heard.length;
    expect(introduced).toBe(0);
    expect(sandbox.commands.filter((command) => command.type === "start").length).toBe(1);
  });
  test("its first try takes the connection of its request for a place, and the next one another", async () => {
    const root = await joinAndOffer();
    expect(network.connections.length).toBe(1);
    root.say("signal", "");
    await pass(0.5);
    expect(network.connections.map(({ isClosed }) => isClosed)).toEqual([true]);
    device.setOnline(true);
    await pass(0.2);
    expect(network.connections.map(({ isClosed }) => isClosed)).toEqual([true, false]);
  });
  test("who stops before the root answers leaves no connection", async () => {
    await joinAndOffer();
    await device.stop();
    await pass(0.2);
    expect(network.connections.map(({ isClosed }) => isClosed)).toEqual([true]);
  });
  test("what it reports says what its link is", async () => {
    const root = await joinAndOffer();
    const linkOf = (peer: Peer): unknown => {
      const update = peer.heard.find(([tag]) => tag === "update") as unknown[];
      return ((update[2] as unknown[][])[0]![1] as unknown[])[6];
    };
    expect(linkOf(root)).toBe("websocket");
    const second = await changeOver(root);
    await pass(0.5);
    second.say("welcome", ROOT);
    await pass(0.2);
    expect(linkOf(second)).toBe("webrtc");
  });
  test("a root that ends the first one just before it lets the second one in", async () => {
    const root = await joinAndOffer();
    const second = await changeOver(root);
    root.channel.close();
    await settle();
    second.say("welcome", ROOT);
    await pass(0.2);
    expect(state).toMatchObject({ phase: "computing", link: "webrtc" });
    second.lend(1, [7]);
    await pass(0.2);
    expect(results(second)).toEqual([[1, 0, 14]]);
  });
  test("where the root does not let it in, the node joins anew: the first one is of no use", async () => {
    const root = await joinAndOffer();
    const second = await changeOver(root);
    root.say("heartbeat");
    second.say("heartbeat");
    await pass(9);
    root.say("heartbeat");
    await pass(2.5);
    expect([root.closed, second.closed]).toEqual([true, true]);
    await pass(1);
    expect(network.last.certified).toEqual(NODE);
    expect(network.connections.every(({ isClosed }) => isClosed)).toBe(true);
  });
  test("its offer is what Python reads, and nothing else of the browser's", async () => {
    const root = await joinAndOffer();
    const [offer] = offers(root, "signal");
    expect(offer).toContain("a=setup:actpass");
    expect(offer).not.toContain("ice-options");
    expect(OFFER).toContain("ice-options");
  });
  /** Answer each offer in this way for so long; the pauses between them, in seconds. */
  async function answerAll(seconds: number, ...answer: unknown[]): Promise<number[]> {
    const root = await joinAndOffer();
    const tries: number[] = [];
    for (let second = 0; second < seconds; second++) {
      root.say("heartbeat");
      if (offers(root, "signal").length > 0) {
        tries.push(second);
        root.say("signal", ...answer);
      }
      await pass(1);
    }
    expect(state).toMatchObject({ phase: "computing", link: "websocket" });
    return tries.slice(1).map((second, i) => second - tries[i]!);
  }

  test.each([0, 0.99])(
    "it tries again after ever longer pauses, spread by chance (%d), and says why",
    async (chance) => {
      vi.spyOn(Math, "random").mockReturnValue(chance);
      const pauses = await answerAll(1200, "");
      expect(state.linkProblem).toBe("the root does not take part");
      for (const [i, each] of pauses.entries())
        expect(Math.abs(each - PAUSES[i + 1]! * (1 + chance / 2))).toBeLessThan(5);
      expect(pauses.length).toBe(3);
    },
    60_000,
  );
  test.each([0, 0.99])(
    "where too many ask, it asks again after the pause that the root names, spread by chance (%d)",
    async (chance) => {
      vi.spyOn(Math, "random").mockReturnValue(chance);
      const pauses = await answerAll(60, "", 7.0);
      expect(state.linkProblem).toBe("too many ask at present");
      expect(pauses.length).toBeGreaterThan(3);
      for (const each of pauses) expect(Math.abs(each - 7 * (1 + chance))).toBeLessThan(2);
    },
  );
  test("no root can keep it from asking for ever", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    expect((await answerAll(130, "", 1e6)).length).toBe(2);
  });
  test("an answer that comes too late is none to the next offer", async () => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    const root = await joinAndOffer();
    for (let second = 0; second < 45; second++) {
      root.say("heartbeat");
      await pass(1);
    }
    expect(offers(root, "signal").length).toBe(2);
    root.say("signal", ANSWER);
    await pass(0.5);
    expect(network.peers.length).toBe(1);
    root.say("signal", ANSWER);
    await pass(0.5);
    expect(network.peers.length).toBe(2);
  });
  test("a connection that does not open is given up, and the first link goes on", async () => {
    network.webrtc.silent = true;
    const root = await joinAndOffer();
    root.say("signal", ANSWER);
    await pass(6);
    expect(state.linkProblem).toBe("the devices cannot reach each other by UDP");
    expect(network.connections[0]?.isClosed).toBe(true);
    root.lend(1, [4]);
    await pass(0.2);
    expect(results(root)).toEqual([[1, 0, 8]]);
  });
  test("where the ends have reached each other, a busy root has longer", async () => {
    network.webrtc.silent = true;
    const root = await joinAndOffer();
    root.say("signal", ANSWER);
    await pass(2);
    const connection = network.connections.at(-1)!;
    connection.say({ type: "reached" });
    await pass(6);
    expect(connection.isClosed).toBe(false);
    root.say("heartbeat");
    await pass(5);
    expect(connection.isClosed).toBe(true);
  });
  test("with a network of its own again it tries at once", async () => {
    const root = await joinAndOffer();
    root.say("signal", "");
    await pass(0.5);
    expect(offers(root, "signal").length).toBe(1);
    device.setOnline(true);
    await pass(0.2);
    expect(offers(root, "signal").length).toBe(1);
  });
  test("an answer that is none", async () => {
    const root = await joinAndOffer();
    root.say("signal", "v=0");
    await pass(0.2);
    expect(state.linkProblem).toContain("session description");
    expect(network.connections.at(-1)?.isClosed).toBe(true);
  });
  test("who passes on other certificates does not get through", async () => {
    const root = await joinAndOffer();
    const other = ANSWER.replace(/fingerprint:sha-256 ../, "fingerprint:sha-256 FF");
    root.say("signal", other);
    await pass(0.5);
    expect(network.last.certified).toBeNull();
    expect(state.link).toBe("websocket");
    expect(state.linkProblem).not.toBe("");
  });
  test("where the first link is lost before it stands, the node joins anew", async () => {
    const root = await joinAndOffer();
    root.channel.close();
    await settle();
    expect(state.phase).toBe("waiting");
    expect(network.connections.every(({ isClosed }) => isClosed)).toBe(true);
  });
  test("where it is lost again, the node joins anew as before", async () => {
    const second = await changeOver(await joinAndOffer());
    await pass(0.5);
    second.say("welcome", ROOT);
    await pass(0.2);
    const used = network.connections.find(({ channel }) => channel !== null);
    used!.say({ type: "failed", reason: "the WebRTC connection is lost" });
    await settle();
    expect(state).toMatchObject({ phase: "waiting", note: "The WebRTC connection is lost." });
    await pass(1.1);
    expect(network.last.certified).toEqual(NODE);
  });
  test("a silent root is noticed after the time of silence", async () => {
    const second = await changeOver(await joinAndOffer(), 3);
    await pass(0.5);
    second.say("welcome", ROOT);
    await pass(4.5);
    expect(state.note).toBe("Nothing was heard for 3 s.");
  });
  test.each([
    ["the run has no part in it", { protocol: "webrtc" }, "the run does not take part in it"],
    ["the browser has none", { ...WEBRTC, webrtc: false }, "this browser does not have it"],
    ["nothing asks for it", { runs: "auto" }, ""],
    ["the link forbids it", { protocol: "websocket", runs: "webrtc" }, ""],
  ])("none is made where %s", async (_, options, problem) => {
    const root = await joinAndOffer(options);
    expect(tags(root)).not.toContain("signal");
    expect(network.connections.length).toBe(0);
    expect(state.linkProblem).toBe(problem);
  });
  test("stopping amid the change ends both links", async () => {
    const root = await joinAndOffer();
    root.lend(1, [null]);
    const second = await changeOver(root);
    const stopping = device.stop();
    await pass(3);
    await stopping;
    expect(state.phase).toBe("stopped");
    expect([root.closed, second.closed]).toEqual([true, true]);
    expect(second.take().map(([tag]) => tag)).toEqual(["hello"]);
    expect(network.connections.every(({ isClosed }) => isClosed)).toBe(true);
  });
  test("where the function turns out not to run, the change is given up", async () => {
    const root = await joinAndOffer();
    root.lend(1, [null]);
    const second = await changeOver(root);
    sandbox.refusal = "there is no such module";
    sandbox.fail("it was ended");
    await pass(3);
    expect(state).toMatchObject({ phase: "refused", note: "There is no such module." });
    expect([root.closed, second.closed]).toEqual([true, true]);
  });
  test("stopping amid a try ends that, too", async () => {
    const root = await joinAndOffer();
    const stopping = device.stop();
    await pass(2);
    await stopping;
    expect(state.phase).toBe("stopped");
    expect(tags(root).at(-1)).toBe("leaving");
    expect(network.connections.every(({ isClosed }) => isClosed)).toBe(true);
  });
});

describe("a parent below the root", () => {
  const redirect = ["delegated", PARENT, ["192.168.1.9:4000"], TICKET] as const;

  /** Have a device that was assigned a run, and has said that it is ready. */
  async function getReady(options: { protocol?: string } = {}): Promise<[Peer, string]> {
    start(options);
    await settle();
    const root = network.last;
    root.assign({ protocol: "auto", iceServers: ["stun:192.0.2.1:3478"] });
    network.webrtc.is = "parent";
    await pass(0.2);
    return [root, offers(root, "ready")[0]!];
  }

  /** Have one that tries the addresses of its parent and WebRTC at once. */
  async function tryBothWays(): Promise<void> {
    const [root] = await getReady();
    network.refuse = (url) => url.includes("192.168");
    root.say(...redirect, "");
    await pass(0.2);
    root.take();
    network.refuse = () => false;
    root.say(...redirect, ANSWER);
  }

  test("it is reached by the answer to the offer that came with the request", async () => {
    const [root, offer] = await getReady({ protocol: "webrtc" });
    expect(offer).toContain("a=setup:actpass");
    expect(network.servers).toEqual([[{ urls: "stun:192.0.2.1:3478" }]]);
    root.say(...redirect, ANSWER);
    await pass(0.2);
    const parent = network.last;
    expect(network.connected.length).toBe(1); // none of its addresses
    expect(parent.certified).toEqual(NODE);
    parent.say("welcome", PARENT);
    await pass(0.2);
    expect(tags(root)).toEqual(["joined"]);
    expect(state).toMatchObject({ phase: "computing", link: "webrtc" });
    parent.lend(1, [3]);
    await pass(0.2);
    expect(results(parent)).toEqual([[1, 0, 6]]);
  });
  test("where no address of one parent answers, an offer goes with the next request", async () => {
    const [root, offer] = await getReady();
    expect(offer).toBe("");
    network.refuse = (url) => url.includes("192.168");
    root.say(...redirect, "");
    await pass(0.2);
    const [asked] = offers(root, "unreachable");
    expect(asked).toContain("a=setup:actpass");
    root.say(...redirect, ANSWER);
    await pass(0.8);
    network.last.say("welcome", PARENT);
    await pass(0.2);
    expect(state).toMatchObject({ phase: "computing", link: "webrtc" });
  });
  test("a WebSocket that stands first is used, and the connection is dropped", async () => {
    await tryBothWays();
    await settle();
    network.last.say("welcome", PARENT);
    await pass(0.8);
    expect(state).toMatchObject({ phase: "computing", link: "websocket" });
    expect(network.connections.length).toBe(1);
    expect(network.connections[0]!.isClosed).toBe(true);
  });
  test("where a way is silent, the other one is used", async () => {
    await tryBothWays();
    await pass(0.8);
    const [websocket, channel] = network.peers.slice(-2);
    channel!.say("welcome", PARENT);
    await pass(0.2);
    expect(state).toMatchObject({ phase: "computing", link: "webrtc" });
    expect(websocket!.closed).toBe(true);
  });
  test("where neither way leads to it, the root is told so", async () => {
    network.webrtc.silent = true;
    const [root] = await getReady({ protocol: "webrtc" });
    root.say(...redirect, ANSWER);
    await pass(6);
    const [unreachable] = root.take();
    expect(unreachable!.slice(0, 2)).toEqual([
      "unreachable",
      "the devices cannot reach each other by UDP",
    ]);
    expect(network.connections[0]!.isClosed).toBe(true);
    root.say("welcome", ROOT);
    await settle();
    expect(state.phase).toBe("computing");
  });
  test("a browser that makes no offer joins without", async () => {
    network.webrtc.offer = "";
    start({ protocol: "webrtc" });
    await settle();
    const root = network.last;
    root.assign({ protocol: "auto" });
    await pass(6);
    expect(root.take().at(-1)).toEqual(["ready", 0, [], ""]);
  });
});
