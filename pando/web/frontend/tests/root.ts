/** A root, a network and a sandbox for the tests of a tab's node: all in memory. */

import { encode as pack, decode as unpack } from "@msgpack/msgpack";

import type { FromSandbox, ToSandbox, ToWorker } from "../src/compute/protocol";
import { VERSION } from "../src/messages";
import { split } from "../src/msgpack-slices";
import { type Channel, ChannelClosedError } from "../src/tree/channel";
import type { IceServer } from "../src/tree/peer-port";
import { issueCertificate } from "../src/trust/certificate";
import { HandshakeFailedError } from "../src/trust/errors";
import { formatCredentials } from "../src/trust/join-link";
import { deriveLinkPsk, deriveTicketPsk, NodeKey, RootKeys } from "../src/trust/keys";
import { Responder } from "../src/trust/responder";
import type { Transport } from "../src/trust/transport";
import { decode, encode } from "../src/values";
import { memoryChannelPair } from "./channels";
import { FakeConnection, OFFER } from "./fake-page";

export const NODE = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
export const ROOT = new Uint8Array(8);
export const PACKAGE = pack(["javascript", "double", "", "double.js", false]);
/** Long enough for every promise and message port that is due. */
const SETTLE_MILLISECONDS = 5;

type Sent = [tag: string, ...fields: unknown[]];

/** Let everything happen that needs no time. Message ports are real, whatever the clock. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 4; i++)
    await new Promise((resolve) => realSetTimeout(resolve, SETTLE_MILLISECONDS / 4));
}
const realSetTimeout = setTimeout;

export const PARENT = new Uint8Array([9, 9, 9, 9, 9, 9, 9, 9]);
export const TICKET = "ticket";
const SECRET = { value: new Uint8Array(16).fill(7), isChosen: false };
export const ROOT_KEYS = new RootKeys(new Uint8Array(32).fill(1), new Uint8Array(32).fill(2));
/** What follows the `#` of the root's link. */
export const CREDENTIALS = formatCredentials({
  fingerprint: ROOT_KEYS.fingerprint,
  secret: SECRET,
});
await import("../src/trust"); // so that no test waits for it
export const PSK = await deriveLinkPsk(SECRET, ROOT_KEYS.fingerprint);
const PARENT_KEY = new NodeKey(new Uint8Array(32).fill(3));
export const EXPIRY = Math.floor(Date.now() / 1000) + 3600;

/** Who is at the other end of a channel. */
export interface Proves {
  is: "root" | "parent";
  keys: RootKeys;
  /** Null where everybody may join. */
  psk: Uint8Array | null;
  /** Encrypt although the tab would not. */
  encrypts: boolean;
  /** Refuse everybody, for this reason. */
  refusal: string;
  /** How many steps of the handshake it makes before it falls silent: it shows itself, reads, replies. */
  steps?: number;
}

function makeResponder(
  { is, keys, psk }: Proves,
  binding: Uint8Array = new Uint8Array(0),
): Responder {
  if (is === "root") return new Responder({ is: "root", keys, psk, withoutSecret: true, binding });
  return new Responder({
    is: "node",
    key: PARENT_KEY,
    certificate: issueCertificate(keys, PARENT, PARENT_KEY.public, EXPIRY),
    rootSigningKey: ROOT_KEYS.publicSigning,
    binding,
    findPsk: () => deriveTicketPsk(new TextEncoder().encode(TICKET)),
  });
}

/** The other end of a channel, which shakes hands, and then says and hears raw messages. */
export class Peer {
  readonly heard: Sent[] = [];
  closed = false;
  /** What the other end has proved to be. */
  certified: Uint8Array | null = null;
  private transport: Transport | null = null;

  constructor(
    readonly channel: Channel,
    private readonly proves: Proves,
  ) {
    void this.listen();
  }

  private async listen(): Promise<void> {
    try {
      await this.shakeHands();
      for (; this.proves.steps !== undefined; ) await this.channel.receive();
      for (;;) this.hear(this.transport!.decrypt(new Uint8Array(await this.channel.receive())));
    } catch (error) {
      if (error instanceof HandshakeFailedError) this.channel.send(error.answer);
      this.closed = true;
    }
  }

  private async shakeHands(): Promise<void> {
    const { is, keys, encrypts, refusal, steps = Infinity } = this.proves;
    const responder = makeResponder(this.proves, this.channel.binding);
    if (steps < 1) return;
    this.channel.send(responder.hello);
    if (steps < 2) return;
    const request = responder.receive(await this.channel.receive());
    if (refusal) return this.channel.send(responder.refuse(refusal));
    this.certified = request.certificate?.identifier ?? null;
    if (steps < 3) return;
    const leaveOpen = request.asksOpen && !encrypts;
    const { reply, transport } = responder.accept(
      is === "root"
        ? { certificate: issueCertificate(keys, NODE, request.key, EXPIRY), leaveOpen }
        : { leaveOpen },
    );
    this.channel.send(reply);
    this.transport = transport;
    this.hear(request.payload);
  }

  private send(bytes: Uint8Array): void {
    this.channel.send(this.transport!.encrypt(new Uint8Array(bytes)));
  }

  private hear(message: Uint8Array): void {
    const fields = split(message);
    const [tag] = fields.slice(0, 1).map((field) => unpack(field));
    if (tag === "bundle") split(fields[1]!).forEach((each) => this.hear(each));
    else this.heard.push(fields.map((each) => unpack(each)) as Sent);
  }

  say(...message: unknown[]): void {
    this.send(pack(message));
  }

  /** What was said to it and has not been looked at, without signs of life and figures. */
  take(): Sent[] {
    return this.heard.splice(0).filter(([tag]) => tag !== "heartbeat" && tag !== "update");
  }

  assign({
    version = VERSION,
    run = "run",
    packed = PACKAGE,
    timeout = null as number | null,
    silence = 10,
    protocol = "",
    iceServers = [] as string[],
    globalMonitoring = false,
    parts = 0,
    turnServers = [] as [url: string, username: string, credential: string][],
  } = {}): void {
    this.say(
      "assigned",
      version,
      NODE,
      run,
      "double",
      packed,
      [],
      timeout,
      null,
      10,
      60,
      silence,
      3,
      true,
      {},
      parts,
      true,
      protocol,
      iceServers,
      globalMonitoring,
      turnServers,
    );
  }

  /** The updates that have come, each with its introductions and intervals. */
  updates(): Sent[] {
    const taken = this.heard.filter(([tag]) => tag === "update");
    this.heard.splice(0, this.heard.length, ...this.heard.filter(([tag]) => tag !== "update"));
    return taken;
  }

  lend(lease: number, items: unknown[]): void {
    const encoded = encode(items);
    const head = pack(["lend", lease]);
    this.send(new Uint8Array([0x93, ...head.subarray(1), ...encoded]));
  }
}

/** Where the device connects to: who listens at which address is the test's to say. */
export class Network {
  readonly connected: string[] = [];
  readonly peers: Peer[] = [];
  refuse: (url: string) => boolean = () => false;
  /** What who is reached there proves; this is a root's, or a parent's. */
  proves: Partial<Proves> = {};
  /** The WebRTC connections that were asked for, and the servers that were named. */
  readonly connections: FakeConnection[] = [];
  readonly servers: IceServer[][] = [];
  /** What the next ones do: what is offered, whether they open, and who is at their other end. */
  webrtc = { offer: OFFER, silent: false, is: "root" as Proves["is"] };

  connect = (url: string): Promise<Channel> => {
    this.connected.push(url);
    if (this.refuse(url))
      return Promise.reject(
        new ChannelClosedError(`the node at ${new URL(url).host} cannot be reached`),
      );
    const [here, there] = memoryChannelPair();
    const is = url.includes("//root") ? "root" : "parent";
    const usual: Proves = { is, keys: ROOT_KEYS, psk: PSK, encrypts: false, refusal: "" };
    this.peers.push(new Peer(there, { ...usual, ...this.proves }));
    return Promise.resolve(here);
  };

  openPeer = (servers: IceServer[]): MessagePort => {
    const { port1, port2 } = new MessageChannel();
    this.servers.push(servers);
    const { is } = this.webrtc;
    const meet = (channel: Channel): void => {
      const usual: Proves = { is, keys: ROOT_KEYS, psk: PSK, encrypts: false, refusal: "" };
      this.peers.push(new Peer(channel, { ...usual, ...this.proves }));
    };
    this.connections.push(new FakeConnection(port2, this.webrtc, meet));
    return port1;
  };

  get last(): Peer {
    return this.peers.at(-1)!;
  }
}

/** A sandbox whose worker doubles numbers, fails at texts and thinks about `null` until it is told. */
export class FakeSandbox {
  readonly commands: ToSandbox[] = [];
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
    port1.onmessage = ({ data }: MessageEvent<ToSandbox>) => this.handle(data, port1);
    this.control = port1;
    return Promise.resolve(port2);
  };

  get workers(): number {
    return this.ports.size;
  }

  /** All workers fail. */
  fail(reason: string): void {
    for (const worker of this.ports.keys())
      this.control?.postMessage({ type: "failed", worker, reason });
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

  private handle(command: ToSandbox, control: MessagePort): void {
    this.commands.push(command);
    if (command.type === "ping" && !this.silent)
      control.postMessage({ type: "pong" } satisfies FromSandbox);
    if (command.type === "end") {
      this.ports.get(command.worker)?.close();
      this.ports.delete(command.worker);
    }
    if (command.type === "start") {
      this.ports.set(command.worker, command.port);
      this.thinking.set(command.port, []);
      command.port.onmessage = ({ data }: MessageEvent<ToWorker>) => this.work(data, command.port);
    }
  }

  private work(message: ToWorker, port: MessagePort): void {
    if (message.type === "load") {
      const { refusal } = this;
      const answer =
        refusal === null
          ? { type: "ready" }
          : { type: "loadFailed", reason: refusal, traceback: "Traceback" };
      if (this.slow) this.loading.push(() => port.postMessage(answer));
      else port.postMessage(answer);
      return;
    }
    const items = decode(message.items) as unknown[];
    const answer = (): void => {
      const values = encode(items.map((item) => (typeof item === "number" ? 2 * item : null)));
      const failures = new Map(
        items.flatMap((item, place) =>
          typeof item === "string"
            ? [[place, { type: "E", reason: item, traceback: `at ${item}` }]]
            : [],
        ) as [number, object][],
      );
      const { batch } = message;
      port.postMessage({
        type: "results",
        batch,
        count: items.length,
        values,
        failures,
        seconds: 0.01,
      });
    };
    const waiting = this.thinking.get(port)!;
    if (items.includes(null) || waiting.length > 0) waiting.push(answer);
    else answer();
  }

  close(): void {
    for (const port of this.ports.values()) port.close();
  }
}
