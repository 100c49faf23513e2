/** Passwords for TURN servers are good for a limited time: a tab that stays always has new ones. */

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

import { ChannelClosedError } from "../src/errors";
import type { Incoming, RunInfo } from "../src/messages";
import { type RenewalHost, TurnRenewal } from "../src/node/turn-renewal";
import { device, network, pass, start, state, useDevice } from "./device-setup";
import { ANSWER } from "./fake-page";
import { NODE, type Peer, ROOT, settle } from "./root";

const HOUR = 3600;
/** For how long a root's passwords are good. */
const GOOD_SECONDS = 24 * HOUR;
const STAY_HOURS = 100;
const RUN = "run";

describe("the passwords that a tab has", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const now = (): number => Date.now() / 1000;
  /** What a root says to who joins: the name of the run, and until when its passwords are good. */
  const told = (run = RUN): Incoming => {
    const turnServers = [{ url: "turn:a", username: String(now() + GOOD_SECONDS), credential: "" }];
    return { tag: "assigned", run, turnServers } as unknown as RunInfo;
  };
  let looks = 0;
  let open = 0;

  /** A root that says this. It is away where that throws, and silent where that is null. */
  function rootThat(says: () => Incoming | null): RenewalHost["look"] {
    [looks, open] = [0, 0];
    return async (onLink) => {
      looks += 1;
      open += 1;
      let isOpen = true;
      const close = (): void => {
        if (isOpen) open -= 1;
        isOpen = false;
      };
      onLink({ close });
      const message = says();
      if (message === null) return new Promise(() => {});
      return { receive: () => Promise.resolve(message) };
    };
  }

  /** Stay in a run; for each hour whether the password is good that a new link would use. */
  async function stay(look: RenewalHost["look"]): Promise<boolean[]> {
    let expiry = now() + GOOD_SECONDS;
    const renewed = ({ turnServers: [server] }: RunInfo): void => {
      expiry = Number(server!.username);
    };
    const renewal = new TurnRenewal(RUN, { look, renewed });
    void renewal.start();
    const good: boolean[] = [];
    for (let hour = 0; hour < STAY_HOURS; hour++) {
      await vi.advanceTimersByTimeAsync(1000 * HOUR);
      good.push(expiry > now());
    }
    renewal.stop();
    const before = looks;
    await vi.advanceTimersByTimeAsync(1000 * GOOD_SECONDS);
    expect(looks).toBe(before);
    expect(vi.getTimerCount()).toBe(0);
    expect(open).toBe(0);
    return good;
  }

  test("are good for days, and the root is seldom asked", async () => {
    expect(await stay(rootThat(() => told()))).not.toContain(false);
    expect(looks).toBeGreaterThan(STAY_HOURS / 6 - 1);
    expect(looks).toBeLessThan(STAY_HOURS / 4);
  });
  test.each(["away", "silent"])("are good although the root is %s for hours", async (how) => {
    const began = now();
    const root = rootThat(() => {
      if ((now() - began) % (20 * HOUR) > 15 * HOUR) return told();
      if (how === "silent") return null;
      throw new ChannelClosedError("nobody is there");
    });
    expect(await stay(root)).not.toContain(false);
  });
  test("are not those of another run", async () => {
    const good = await stay(rootThat(() => told("another run")));
    expect(good.slice(0, 23)).not.toContain(false);
    expect(good.slice(24)).not.toContain(true);
  });
  test("a link that comes when nobody waits any more is closed", async () => {
    let arrive = (): void => {};
    const closed: string[] = [];
    const renewal = new TurnRenewal(RUN, {
      look: (onLink) =>
        new Promise(() => {
          arrive = () => onLink({ close: () => closed.push("late") });
        }),
      renewed: () => expect.unreachable(),
    });
    void renewal.start();
    await vi.advanceTimersByTimeAsync(1000 * (6 * HOUR + 31));
    arrive();
    expect(closed).toEqual(["late"]);
    renewal.stop();
  });
});

describe("a tab", () => {
  useDevice();

  const turn = (name: string): [string, string, string] => ["turn:192.0.2.1", name, "secret"];
  const server = (username: string): object => ({
    urls: "turn:192.0.2.1",
    username,
    credential: "secret",
  });

  /** Have a tab that computes for the root, and is to connect to it by WebRTC, too. */
  async function join(protocol = "webrtc"): Promise<Peer> {
    start({ protocol });
    await settle();
    const root = network.last;
    root.assign({ protocol: "auto", silence: 1e6, turnServers: [turn("first")] });
    await settle();
    root.say("welcome", ROOT);
    await pass(0.2);
    return root;
  }

  const passHours = async (hours: number): Promise<void> => {
    await vi.advanceTimersByTimeAsync(hours * HOUR * 1000);
    await settle();
  };

  test("looks in at the root as the same device, and uses what it is told for the next link", async () => {
    const root = await join();
    expect(network.servers.at(-1)).toEqual([server("first")]);
    await passHours(4);
    expect(network.peers.length).toBe(1);
    for (let tries = 0; tries < 240 && network.peers.length === 1; tries++)
      await passHours(1 / 120);
    const looked = network.last;
    expect(looked.certified).toEqual(NODE);
    expect(looked.take()).toEqual([["hello", "phone", 0, RUN, 0, "", false, false]]);
    looked.assign({ protocol: "auto", turnServers: [turn("second")] });
    await pass(0.2);
    expect(looked.closed).toBe(true);
    expect(looked.take()).toEqual([]);
    expect(state).toMatchObject({ phase: "computing", link: "websocket" });
    root.say("signal", ""); // the second link is tried again
    await pass(1);
    device.setOnline(true);
    await pass(1);
    expect(network.servers.at(-1)).toEqual([server("second")]);
    root.say("signal", ANSWER);
    await pass(0.2);
    expect(network.last.certified).toEqual(NODE);
  }, 60_000);
  test("that connects by WebSocket alone asks for none", async () => {
    await join("websocket");
    await passHours(12);
    expect(network.peers.length).toBe(1);
  }, 60_000);
  test("whose run is over asks for none", async () => {
    const root = await join();
    root.say("ended", 1);
    await pass(1);
    network.refuse = () => true;
    const before = network.connected.length;
    await device.stop();
    await passHours(12);
    expect(network.connected.length).toBe(before);
  }, 60_000);
});
