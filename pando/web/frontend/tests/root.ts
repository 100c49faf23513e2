/** A root, a network and a sandbox for the tests of a tab's node: all in memory. */

import { decode as unpack, encode as pack } from "@msgpack/msgpack";

import type { FromSandbox, ToSandbox, ToWorker } from "../src/compute/protocol";
import { VERSION } from "../src/messages";
import { split } from "../src/raw";
import { type Channel, ChannelClosedError } from "../src/tree/channel";
import { decode, encode } from "../src/values";
import { memoryChannelPair } from "./channels";

export const NODE = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
export const ROOT = new Uint8Array(8);
export const PACKAGE = pack(["javascript", "double", "", "double.js", false]);
/** Long enough for every promise and message port that is due. */
const SETTLE_MILLISECONDS = 5;

type Sent = [tag: string, ...fields: unknown[]];

/** Let everything happen that needs no time. Message ports are real, whatever the clock. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => realSetTimeout(resolve, SETTLE_MILLISECONDS / 4));
}
const realSetTimeout = setTimeout;

/** The other end of a channel, which says and hears raw messages. */
export class Peer {
  readonly heard: Sent[] = [];
  closed = false;

  constructor(readonly channel: Channel) {
    void this.listen();
  }

  private async listen(): Promise<void> {
    try {
      for (;;) this.hear(await this.channel.receive());
    } catch {
      this.closed = true;
    }
  }

  private hear(message: Uint8Array): void {
    const fields = split(message);
    const [tag] = fields.slice(0, 1).map((field) => unpack(field));
    if (tag === "bundle") split(fields[1]!).forEach((each) => this.hear(each));
    else this.heard.push(fields.map((each) => unpack(each)) as Sent);
  }

  say(...message: unknown[]): void {
    this.channel.send(pack(message));
  }

  /** What was said to it and has not been looked at, without signs of life and figures. */
  take(): Sent[] {
    return this.heard.splice(0).filter(([tag]) => tag !== "heartbeat" && tag !== "status");
  }

  assign({ version = VERSION, run = "run", packed = PACKAGE, timeout = null as number | null, silence = 10 } = {}): void {
    this.say("assigned", version, NODE, run, "double", packed, [], timeout, null, 10, 60, silence, 3, true, {}, 0);
  }

  lend(lease: number, items: unknown[]): void {
    const encoded = encode(items);
    const head = pack(["lend", lease]);
    this.channel.send(new Uint8Array([0x93, ...head.subarray(1), ...encoded]));
  }
}

/** Where the device connects to: who listens at which address is the test's to say. */
export class Network {
  readonly connected: string[] = [];
  readonly peers: Peer[] = [];
  refuse: (url: string) => boolean = () => false;

  connect = (url: string): Promise<Channel> => {
    this.connected.push(url);
    if (this.refuse(url)) return Promise.reject(new ChannelClosedError(`the node at ${new URL(url).host} cannot be reached`));
    const [here, there] = memoryChannelPair();
    this.peers.push(new Peer(there));
    return Promise.resolve(here);
  };

  get last(): Peer {
    return this.peers.at(-1)!;
  }
}

/** A sandbox whose worker doubles numbers, fails at texts and thinks about `null` until it is told. */
export class FakeSandbox {
  readonly orders: ToSandbox[] = [];
  readonly ports = new Map<number, MessagePort>();
  refusal: string | null = null;
  silent = false;
  private control: MessagePort | null = null;
  /** Whether workers load until they are told that they have. */
  slow = false;
  private readonly loading: (() => void)[] = [];
  private readonly thinking = new Map<MessagePort, (() => void)[]>();

  open = (): Promise<MessagePort> => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }: MessageEvent<ToSandbox>) => this.obey(data, port1);
    this.control = port1;
    return Promise.resolve(port2);
  };

  get workers(): number {
    return this.ports.size;
  }

  /** All workers fail. */
  fail(reason: string): void {
    for (const worker of this.ports.keys()) this.control?.postMessage({ is: "failed", worker, reason });
  }

  /** Workers have loaded the function. */
  loadAll(): void {
    this.slow = false;
    this.loading.splice(0).forEach((load) => load());
  }

  /** Workers answer what they think about. */
  answerAll(): void {
    for (const answers of this.thinking.values()) answers.splice(0).forEach((answer) => answer());
  }

  private obey(order: ToSandbox, control: MessagePort): void {
    this.orders.push(order);
    if (order.do === "ping" && !this.silent) control.postMessage({ is: "pong" } satisfies FromSandbox);
    if (order.do === "end") {
      this.ports.get(order.worker)?.close();
      this.ports.delete(order.worker);
    }
    if (order.do === "start") {
      this.ports.set(order.worker, order.port);
      this.thinking.set(order.port, []);
      order.port.onmessage = ({ data }: MessageEvent<ToWorker>) => this.work(data, order.port);
    }
  }

  private work(message: ToWorker, port: MessagePort): void {
    if (message.do === "load") {
      const { refusal } = this;
      const answer = refusal === null ? { is: "ready" } : { is: "refused", reason: refusal, traceback: "Traceback" };
      if (this.slow) this.loading.push(() => port.postMessage(answer));
      else port.postMessage(answer);
      return;
    }
    const items = decode(message.items) as unknown[];
    const answer = (): void => {
      const values = encode(items.map((item) => (typeof item === "number" ? 2 * item : null)));
      const failures = new Map(
        items.flatMap((item, place) =>
          typeof item === "string" ? [[place, { type: "E", reason: item, traceback: `at ${item}` }]] : [],
        ) as [number, object][],
      );
      const { batch } = message;
      port.postMessage({ is: "results", batch, count: items.length, values, failures, seconds: 0.01 });
    };
    const waiting = this.thinking.get(port)!;
    if (items.includes(null) || waiting.length > 0) waiting.push(answer);
    else answer();
  }

  close(): void {
    for (const port of this.ports.values()) port.close();
  }
}
