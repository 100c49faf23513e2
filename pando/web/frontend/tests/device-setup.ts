/** A tab's node with its root, network and sandbox in memory: the set-up that its tests share. */

import { afterEach, beforeEach, vi } from "vitest";

import { Device, type DeviceOptions } from "../src/node/device";
import type { DeviceState } from "../src/node/device-state";
import { CREDENTIALS, FakeSandbox, Network, type Peer, ROOT, settle } from "./root";

export const ROOT_URL = "ws://root:5000/node";

export let network: Network;
export let sandbox: FakeSandbox;
export let device: Device;
export let state: DeviceState;
export let running: Promise<void>;

/** Have a network and a sandbox before each test of a file, and stop the device after it. */
export function useDevice(): void {
  beforeEach(() => {
    // Message ports and the tests' own waiting go by the real time.
    vi.useFakeTimers({
      toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"],
    });
    vi.spyOn(Math, "random").mockReturnValue(0.999999); // pauses are as long as they may be
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
    vi.restoreAllMocks();
  });
}

export function start(options: Partial<DeviceOptions> = {}): void {
  const surroundings = {
    connect: network.connect,
    openPeer: network.openPeer,
    openSandbox: sandbox.open,
    onChange: (now: DeviceState) => {
      state = now;
    },
  };
  device = new Device(
    {
      url: ROOT_URL,
      token: CREDENTIALS,
      name: "phone",
      workers: 1,
      relayed: false,
      linkLasts: true,
      kept: "",
      protocol: "",
      webrtc: true,
      identity: "",
      ...options,
    },
    surroundings,
  );
  running = device.run();
}

/** Let seconds go by. */
export async function pass(seconds: number): Promise<void> {
  await settle();
  for (let left = seconds * 10; left > 0; left--) await vi.advanceTimersByTimeAsync(100);
  await settle();
}

/** Have a device that computes below the root. */
export async function join(
  options: Parameters<typeof start>[0] & {
    silence?: number;
    timeout?: number;
    runs?: string;
    globalMonitoring?: boolean;
  } = {},
): Promise<Peer> {
  start(options);
  await settle();
  const root = network.last;
  root.assign({
    silence: options.silence ?? 10,
    timeout: options.timeout ?? null,
    protocol: options.runs ?? "",
    globalMonitoring: options.globalMonitoring ?? false,
  });
  await settle();
  root.say("welcome", ROOT);
  await settle();
  return root;
}

/** Have one that runs an item of a first lease; two more leases wait behind it. */
export async function joinAndLend(): Promise<Peer> {
  const root = await join();
  root.lend(1, [1, null]);
  root.lend(2, [5]);
  root.lend(3, [6, 7]);
  await pass(0.05);
  root.take();
  return root;
}

export const tags = (peer: Peer): string[] => peer.take().map(([tag]) => tag);
/** The results that came, by lease and place. */
export function results(peer: Peer): [lease: number, place: number, value: unknown][] {
  return peer
    .take()
    .filter(([tag]) => tag === "results")
    .flatMap(([, lease, offset, , values]) =>
      (values as unknown[]).map((value, i): [number, number, unknown] => [
        lease as number,
        (offset as number) + i,
        value,
      ]),
    );
}
