/** The program of the tab's node: a worker of its own, since a hidden page's timers stop. */

import type { IceServer } from "../tree/peer-port";
import { connect } from "../tree/websocket";
import { Device, type DeviceOptions } from "./device";
import type { DeviceState } from "./device-state";

/** From the page. */
export type ToNode =
  /** It is going to be started, perhaps: what takes a while is done now. */
  | { type: "prepare" }
  | { type: "start"; options: DeviceOptions }
  | { type: "pause" }
  | { type: "resume"; name: string; workers: number }
  | { type: "retry" }
  | { type: "online"; online: boolean }
  /** Whether other devices may connect through this one from now on. */
  | { type: "willing"; willing: boolean }
  | { type: "sandbox"; control: MessagePort };

/** To the page. */
export type FromNode =
  | { type: "state"; state: DeviceState }
  | { type: "sandboxRequested"; run: string }
  /** A WebRTC connection is wanted, which only the page can have; one that answers an offer, where it is given. */
  | { type: "peerRequested"; port: MessagePort; servers: IceServer[]; offer: string }
  | { type: "stopped"; problem: string };

/** How often the page is told how far it is. */
const STATE_MILLISECONDS = 1000;

let device: Device | null = null;
let takeSandbox: ((control: MessagePort) => void) | null = null;

const post = (message: FromNode, transfer: Transferable[] = []): void =>
  postMessage(message, { transfer });

function openSandbox(run: string): Promise<MessagePort> {
  return new Promise((resolve) => {
    takeSandbox = resolve;
    post({ type: "sandboxRequested", run });
  });
}

function openPeer(servers: IceServer[], offer = ""): MessagePort {
  const { port1, port2 } = new MessageChannel();
  post({ type: "peerRequested", port: port2, servers, offer }, [port2]);
  return port1;
}

self.onmessage = ({ data }: MessageEvent<ToNode>) => {
  switch (data.type) {
    case "prepare":
      void prepareKeys();
      break;
    case "start":
      void run(data.options);
      break;
    case "pause":
      void device?.pause();
      break;
    case "resume":
      void device?.resume(data.name, data.workers);
      break;
    case "retry":
      device?.retry();
      break;
    case "online":
      device?.setOnline(data.online);
      break;
    case "willing":
      device?.setWilling(data.willing);
      break;
    case "sandbox":
      takeSandbox?.(data.control);
      takeSandbox = null;
  }
};

/** The first key and the first signature take far longer than the next ones, since tables are made for them. */
async function prepareKeys(): Promise<void> {
  const { NodeKey, prepareSignatures } = await import("../trust");
  NodeKey.generate();
  prepareSignatures();
}

async function run(options: DeviceOptions): Promise<void> {
  const onChange = (state: DeviceState): void => post({ type: "state", state });
  const own = new Device(options, { connect, openPeer, openSandbox, onChange });
  device = own;
  const drawing = setInterval(() => onChange(own.state()), STATE_MILLISECONDS);
  let problem = "";
  try {
    await own.run();
  } catch (error) {
    problem = `This page has stopped because of an error in Pando: ${String(error)}`;
  } finally {
    clearInterval(drawing);
    onChange(own.state());
    post({ type: "stopped", problem });
  }
}
