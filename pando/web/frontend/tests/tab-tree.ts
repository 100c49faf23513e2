/** Whole trees of tabs in memory: a root that lends, devices with sandboxes, and connections between them. */

import { encode as pack, decode as unpack } from "@msgpack/msgpack";
import { vi } from "vitest";

import { decodeFromChild, decodeHello, encodeToChild, type FromChild } from "../src/child-messages";
import { VERSION } from "../src/messages";
import { split } from "../src/msgpack-slices";
import { Device } from "../src/node/device";
import type { DeviceState } from "../src/node/device-state";
import { Borrower, Source, Window } from "../src/scheduler";
import type { Channel } from "../src/tree/channel";
import { creditForChild } from "../src/tree/child";
import { Job } from "../src/tree/job";
import { Node } from "../src/tree/node";
import { keyOf, type NodeKey, nodeOf, Overlay } from "../src/tree/overlay";
import { Packed } from "../src/tree/packed";
import type { FromPage, ToPage } from "../src/tree/peer-port";
import { issueCertificate } from "../src/trust/certificate";
import { Responder } from "../src/trust/responder";
import { decode, encode } from "../src/values";
import { memoryChannelPair } from "./channels";
import { ANSWER, OFFER } from "./fake-page";
import { CREDENTIALS, EXPIRY, FakeSandbox, PACKAGE, PSK, ROOT, ROOT_KEYS, settle } from "./root";

const FINGERPRINT = /fingerprint:sha-256 (\S+)/;

/** One page's end of a connection, whose other end is another page's. */
class End {
  other: End | null = null;
  private sent = 0;

  constructor(
    private readonly port: MessagePort,
    private readonly onAnswer: (end: End, sdp: string) => void,
  ) {
    port.onmessage = ({ data }: MessageEvent<ToPage>) => this.take(data);
    this.say({ type: "bridged" });
  }

  say(message: FromPage): void {
    this.port.postMessage(message);
  }

  private take(message: ToPage): void {
    switch (message.type) {
      case "answer":
        this.onAnswer(this, message.sdp);
        break;
      case "send":
        this.sent += message.frame.byteLength;
        this.other?.say({ type: "frame", frame: message.frame });
        this.say({ type: "flushed", bytes: this.sent });
        break;
      default:
        this.part();
    }
  }

  /** The connection ends. */
  part(): void {
    const { other } = this;
    this.other = null;
    if (other === null) return;
    other.other = null;
    other.say({ type: "closed" });
  }
}

/** What the pages of all devices do for their nodes: offers find their answers by their fingerprints. */
class Pages {
  private readonly ends = new Map<string, End>();
  private count = 0;

  open(offer: string): [port: MessagePort, end: End] {
    const { port1, port2 } = new MessageChannel();
    const end = new End(port2, (offering, sdp) => this.join(offering, sdp));
    this.count += 1;
    const digits = `${this.count.toString(16).padStart(4, "0")}`.toUpperCase();
    const own = `${digits.slice(0, 2)}:${digits.slice(2)}:${"AB:".repeat(29)}CD`;
    const type = offer === "" ? "offer" : "answer";
    const sdp = (offer === "" ? OFFER : ANSWER).replace(FINGERPRINT, `fingerprint:sha-256 ${own}`);
    this.ends.set(own, end);
    end.say({ type, sdp });
    return [port1, end];
  }

  private join(offering: End, answer: string): void {
    const answering = this.ends.get(FINGERPRINT.exec(answer)?.[1] ?? "");
    if (answering === undefined) throw new Error("an answer of nobody");
    [offering.other, answering.other] = [answering, offering];
    for (const end of [offering, answering]) end.say({ type: "open" });
  }
}

/** A device of the tree, as a test has it. */
export class TreeDevice {
  readonly sandbox = new FakeSandbox();
  readonly device: Device;
  readonly running: Promise<void>;
  state!: DeviceState;
  /** How many results the runs have had that it knows to have ended. */
  readonly finishedWith: (number | null)[] = [];
  private readonly ends: End[] = [];
  private readonly channels: Channel[] = [];
  private isDead = false;

  constructor(
    readonly tree: TabTree,
    readonly name: string,
    willing: boolean,
  ) {
    const options = { url: "ws://root:5000/node", token: CREDENTIALS, name, workers: 1 };
    const way = { relayed: false, protocol: "webrtc", webrtc: true };
    this.device = new Device(
      { ...options, ...way, linkLasts: true, kept: "", identity: "" },
      {
        connect: () => this.connect(),
        openPeer: (_, offer = "") => this.openPeer(offer),
        openSandbox: this.sandbox.open,
        onChange: (state) => {
          this.state = state;
          if (state.phase === "finished") this.finishedWith.push(state.runTotal);
        },
      },
    );
    this.device.setWilling(willing);
    this.running = this.device.run();
  }

  private connect(): Promise<Channel> {
    if (this.isDead) return new Promise(() => {});
    const channel = this.tree.root.connect();
    this.channels.push(channel);
    return Promise.resolve(channel);
  }

  private openPeer(offer: string): MessagePort {
    const [port, end] = this.tree.pages.open(offer);
    this.ends.push(end);
    return port;
  }

  /** How many results it has computed. */
  get results(): number {
    return this.device.state().results;
  }

  /** All its links end at once, as when its page is closed. */
  kill(): void {
    this.isDead = true;
    for (const end of this.ends) end.part();
    for (const channel of this.channels) channel.close();
    this.sandbox.close();
  }

  async stop(): Promise<void> {
    const stopping = this.device.stop();
    await pass(2);
    await stopping;
    await this.running;
    this.sandbox.close();
  }
}

/** A child, or a joining node, as the root has it. */
interface Joined {
  node: NodeKey;
  send(message: unknown[]): void;
  offers: Map<NodeKey, (offer: FromChild & { tag: "offer" }) => void>;
}

/** A root with items, which finds joining nodes places as a native one does. */
export class TreeRoot {
  readonly results: unknown[] = [];
  /** The parents of devices, by their names, as their reports say. */
  readonly reported = new Map<string, string>();
  readonly overlay: Overlay;
  readonly children = new Map<NodeKey, Joined>();
  private readonly names = new Map<NodeKey, string>();
  private readonly node = new Node({});
  private readonly job: Job;
  private known = 0;

  constructor(degree: number) {
    this.overlay = new Overlay(keyOf(ROOT), { degree, timeout: 60 });
    const queue: Packed[] = [];
    this.lendMore = (items) => {
      queue.push(Packed.of(encode(items)));
      this.node.inputReady(this.job);
    };
    const source = {
      read: (limit: number) => {
        const [first] = queue;
        if (first === undefined) return "would block" as const;
        const items = first.slice(0, limit);
        const rest = first.slice(items.length) as Packed;
        if (rest.length > 0) queue[0] = rest;
        else queue.shift();
        return items;
      },
      remaining: () => null,
      close: () => {},
    };
    const lender = this.node.lending.newLender();
    this.job = new Job(source, lender, new Window());
    this.job.notify = () => {
      for (let batch = lender.take(); batch !== undefined; batch = lender.take())
        for (const value of batch.values as Iterable<Uint8Array>) this.results.push(decode(value));
    };
    this.node.openJob(this.job);
  }

  /** Have more items computed. */
  readonly lendMore: (items: (number | null)[]) => void;

  connect(): Channel {
    const [here, there] = memoryChannelPair();
    void this.serve(there).catch(() => there.close());
    return here;
  }

  /** Tell a child something. */
  tell(name: string, ...message: unknown[]): void {
    for (const child of this.children.values())
      if (this.names.get(child.node) === name) child.send(message);
  }

  private async serve(channel: Channel): Promise<void> {
    const responder = new Responder({ is: "root", keys: ROOT_KEYS, psk: PSK });
    channel.send(responder.hello);
    const request = responder.receive(await channel.receive());
    this.known += 1;
    const fresh = new Uint8Array([0, 0, 0, 0, 0, 0, 7, this.known]);
    const node = request.certificate?.identifier ?? fresh;
    const certificate = issueCertificate(ROOT_KEYS, node, request.key, EXPIRY);
    const leaveOpen = request.asksOpen;
    const { reply, transport } = responder.accept({ certificate, leaveOpen });
    channel.send(reply);
    const send = (message: Uint8Array): void =>
      channel.send(transport.encrypt(new Uint8Array(message)));
    const receive = async (): Promise<Uint8Array> =>
      transport.decrypt(new Uint8Array(await channel.receive()));
    const hello = decodeHello(request.payload);
    this.names.set(keyOf(node), hello.name);
    send(pack(assigned(node)));
    if (!(await this.place(keyOf(node), send, receive))) return;
    send(pack(["welcome", ROOT]));
    await this.lend(keyOf(node), hello, send, receive);
  }

  /** Find a place; whether it is here. */
  private async place(
    node: NodeKey,
    send: (message: Uint8Array) => void,
    receive: () => Promise<Uint8Array>,
  ): Promise<boolean> {
    const avoid = new Set<NodeKey>();
    for (;;) {
      const said = unpack(await receive()) as unknown[];
      if (said[0] === "joined") return false;
      const offer = String(said.at(-1));
      const found = await this.findPlace(node, offer, avoid);
      if (found === null) return true;
      send(pack(["delegated", found.parent, [], found.ticket, found.answer]));
      avoid.add([...this.children.keys()][0]!);
    }
  }

  private async findPlace(
    node: NodeKey,
    offer: string,
    avoid: Set<NodeKey>,
  ): Promise<(FromChild & { tag: "offer" }) | null> {
    for (;;) {
      const decision = this.overlay.request(node, performance.now() / 1000, offer !== "", avoid);
      if (decision.kind === "accept") return null;
      if (decision.kind === "delegate") {
        const child = this.children.get(decision.child)!;
        const answered = new Promise<FromChild & { tag: "offer" }>((resolve) => {
          child.offers.set(node, resolve);
        });
        child.send(["join", nodeOf(node), offer]);
        const found = await answered;
        if (found.ticket !== "") return found;
        avoid.add(decision.child);
      } else {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  private async lend(
    node: NodeKey,
    hello: ReturnType<typeof decodeHello>,
    send: (message: Uint8Array) => void,
    receive: () => Promise<Uint8Array>,
  ): Promise<void> {
    const child: Joined = { node, send: (message) => send(pack(message)), offers: new Map() };
    this.children.set(node, child);
    this.overlay.connected(node, performance.now() / 1000, hello.answersOffers, true);
    const source = new Source(node, node, false);
    const borrower = new Borrower(hello.name, creditForChild(hello.workers), { source });
    this.node.add(borrower, (message) => {
      if (message.tag === "lend" || message.tag === "recall") send(encodeToChild(message));
    });
    const take = (encoded: Uint8Array): void => {
      const [tag, inner] = split(encoded);
      if (unpack(tag!) === "bundle") {
        for (const each of split(inner!)) take(each);
        return;
      }
      const message = decodeFromChild(encoded);
      if (message.tag === "offer") child.offers.get(keyOf(message.origin))?.(message);
      else if (message.tag === "update") this.note(message);
      else if (message.tag === "leaving") throw new Error("it has left");
      else if (
        message.tag === "results" ||
        message.tag === "returned" ||
        message.tag === "struck" ||
        message.tag === "want"
      ) {
        if (message.tag === "want" && typeof message.answersOffers === "boolean")
          this.overlay.setTakesChildren(node, message.answersOffers);
        this.node.handle(borrower, message);
      }
    };
    try {
      for (;;) take(await receive());
    } finally {
      this.node.remove(borrower);
      if (this.children.get(node) === child) {
        this.children.delete(node);
        this.overlay.left(node, performance.now() / 1000);
      }
    }
  }

  private note({ introductions }: FromChild & { tag: "update" }): void {
    for (const { device } of introductions) {
      const parent = device.parent.length > 0 ? this.names.get(keyOf(device.parent)) : "";
      this.reported.set(device.name, parent ?? "root");
    }
  }

  close(): void {
    this.node.close();
  }
}

function assigned(node: Uint8Array): unknown[] {
  const limits = [1, 60, 10, 0.5]; // degree, time to connect, silence, reporting interval
  const rest = [true, {}, 0, true, "webrtc", [], false];
  return ["assigned", VERSION, node, "run", "double", PACKAGE, [], null, null, ...limits, ...rest];
}

/** A root and its devices. */
export class TabTree {
  readonly pages = new Pages();
  readonly root: TreeRoot;
  readonly devices: TreeDevice[] = [];

  constructor(degree = 1) {
    this.root = new TreeRoot(degree);
  }

  /** Have one more device join, and wait until it computes. */
  async join(name: string, { willing = true } = {}): Promise<TreeDevice> {
    const device = new TreeDevice(this, name, willing);
    this.devices.push(device);
    for (let i = 0; i < 100 && device.state?.phase !== "computing"; i++) await pass(0.1);
    await pass(1);
    return device;
  }

  async close(): Promise<void> {
    for (const device of this.devices) await device.stop();
    this.root.close();
  }
}

/** Let seconds go by. */
export async function pass(seconds: number): Promise<void> {
  for (let left = seconds * 10; left > 0; left--) {
    await settle();
    await vi.advanceTimersByTimeAsync(100);
  }
  await settle();
}
