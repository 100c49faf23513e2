/** The children of a tab: each is served from its handshake to its end. The twin of `pando/tree/children.py`. */

import {
  decodeFromChild,
  decodeHello,
  encodeToChild,
  type FromBorrower,
  type FromChild,
  type ToBorrower,
  type ToChild,
} from "../child-messages";
import { ChannelClosedError, LeftError, MalformedError } from "../errors";
import type { Hello } from "../messages";
import type { Ledger } from "../reporting/ledger";
import { IncomingReports } from "../reporting/passing";
import { oneLine } from "../text";
import type { Channel } from "../tree/channel";
import { KeepaliveChannel, type Traffic } from "../tree/keepalive";
import { Memory } from "../tree/large-messages";
import { keyOf, type NodeKey, nodeOf, Overlay } from "../tree/overlay";
import { type PlacedChild, Placement } from "../tree/placement";
import { Answerer } from "./answerer";
import type { Arrival } from "./identity";
import type { Peer } from "./peer";
import { sleep, withTimeout } from "./timers";

/** How long a node that has connected may take to prove who it is. */
const FIRST_MILLISECONDS = 10_000;
/** How long telling the children that the run is over may take. */
const END_MILLISECONDS = 1000;
/** Messages of a child: so many at once, and then so many a second. */
export const BURST = 10_000;
export const MESSAGES_PER_SECOND = 1000;
const MAX_NAME = 64;
/** How long a joining node may wait until it is its turn to connect here; less than its parent waits for an offer. */
const LINE_SECONDS = 20.0;

/** A child's link as the lender sees it: without the messages that are not for it. */
export interface BorrowerChannel {
  /** @throws ChannelClosedError it has ended. */
  send(message: ToBorrower): void;
  receive(): Promise<FromBorrower>;
  close(reason?: string): void;
  /** Whether it has been closed because nothing was heard of the other end. */
  fellSilent(): boolean;
}

/** Who is lent to. */
export interface BorrowerInfo {
  node: Uint8Array;
  name: string;
  workers: number;
}

export interface ChildrenHost {
  /** Shake hands with a node that has connected. */
  meetChild(channel: Channel, findTicket: (node: Uint8Array) => string | null): Promise<Arrival>;
  /** A connection that answers this offer. @throws MalformedError it is none. */
  openPeer(offer: string): Peer;
  /** Lend to a child until its channel ends; what it holds then is lent to others. */
  lend(channel: BorrowerChannel, borrower: BorrowerInfo): Promise<void>;
  /** A child has come, has gone, or has said how many workers it has. */
  onChange(): void;
}

export interface ChildrenOptions {
  node: Uint8Array;
  degree: number;
  bootstrapTimeout: number;
  silence: number;
  traffic: Traffic;
  ledger: Ledger;
}

type ChildLink = KeepaliveChannel<FromChild, ToChild>;

export class Child implements PlacedChild {
  readonly node: NodeKey;
  readonly name: string;
  takesChildren: boolean;
  readonly needsOffer: boolean;
  hasLeft = false;
  wasSentAway = false;
  private allowance = BURST;
  private counted = performance.now();

  constructor(
    identifier: Uint8Array,
    hello: Hello & { port: number },
    readonly link: ChildLink,
  ) {
    this.node = keyOf(identifier);
    this.name = [...oneLine(hello.name)].slice(0, MAX_NAME).join("") || "a volunteer";
    this.takesChildren = hello.port > 0 || Boolean(hello.answersOffers);
    this.needsOffer = hello.port === 0;
  }

  askForPlace(origin: NodeKey, offer: string): void {
    this.link.send({ tag: "join", origin: nodeOf(origin), offer });
  }

  /** Send a message, where that is still possible. */
  tell(message: ToChild): void {
    try {
      this.link.send(message);
    } catch {
      // whoever receives notices
    }
  }

  /** @throws MalformedError it sends more messages than a node does. */
  count(): void {
    const now = performance.now();
    const earned = ((now - this.counted) / 1000) * MESSAGES_PER_SECOND;
    this.allowance = Math.min(BURST, this.allowance + earned) - 1;
    this.counted = now;
    if (this.allowance < 0) throw new MalformedError("very many messages");
  }
}

export class Children {
  readonly placement: Placement;
  private readonly overlay: Overlay;
  private readonly answerer: Answerer;
  private readonly all = new Map<NodeKey, Child>();
  private isOver = false;
  /** Of all children's links: one largest value at a time. */
  private readonly memory = new Memory();

  constructor(
    private readonly host: ChildrenHost,
    private readonly options: ChildrenOptions,
  ) {
    const { node, degree, bootstrapTimeout: timeout } = options;
    this.overlay = new Overlay(keyOf(node), { degree, timeout });
    this.answerer = new Answerer({
      openPeer: (offer) => host.openPeer(offer),
      serve: (channel) => this.serve(channel),
    });
    const answer = async (offer: string): Promise<string> =>
      (await this.answerer.answer(offer, LINE_SECONDS)).description;
    this.placement = new Placement(this.overlay, answer, () => performance.now() / 1000);
  }

  /** How many are connected. */
  get count(): number {
    return this.all.size;
  }

  /** Serve a connection from its first message to its last. */
  async serve(channel: Channel): Promise<void> {
    try {
      const arrival = await this.meet(channel);
      const hello = decodeHello(arrival.payload);
      if (hello.reports) throw new MalformedError("reports go to the root");
      await this.serveChild(arrival, hello);
    } finally {
      channel.close();
    }
  }

  private async meet(channel: Channel): Promise<Arrival> {
    const findTicket = (node: Uint8Array): string | null => this.placement.findTicket(keyOf(node));
    const arrival = await withTimeout(this.host.meetChild(channel, findTicket), FIRST_MILLISECONDS);
    if (arrival === null) throw new ChannelClosedError("it does not prove who it is");
    this.placement.useTicket(keyOf(arrival.node));
    return arrival;
  }

  private async serveChild(arrival: Arrival, hello: Hello & { port: number }): Promise<void> {
    const { options, host } = this;
    const link: ChildLink = new KeepaliveChannel(arrival.accept(), DIALECT, this.memory);
    link.traffic = options.traffic;
    link.beat(options.silence);
    const child = new Child(arrival.node, hello, link);
    // It may have come back before its end was noticed.
    this.all.get(child.node)?.link.close("it has come back");
    this.all.set(child.node, child);
    try {
      link.send({ tag: "welcome", parent: options.node });
      this.placement.connected(child);
      host.onChange();
      const reports = new IncomingReports(child, options.ledger, options.node);
      const channel: BorrowerChannel = {
        send: (message) => link.send(message),
        receive: () => this.receiveForLender(child, reports),
        close: (reason) => link.close(reason),
        fellSilent: () => link.fellSilent,
      };
      const { node } = arrival;
      await host.lend(channel, { node, name: child.name, workers: hello.workers });
    } finally {
      link.close();
      if (this.all.get(child.node) === child) this.all.delete(child.node);
      this.placement.left(child);
      options.ledger.close(child, !(child.hasLeft || child.wasSentAway || this.isOver));
      host.onChange();
    }
  }

  private async receive(child: Child): Promise<FromChild> {
    try {
      return await child.link.receive();
    } catch (error) {
      throw child.wasSentAway ? new LeftError("it was sent away") : error;
    }
  }

  /** The next message of a child that is for the lender; the others are handled here. */
  private async receiveForLender(child: Child, reports: IncomingReports): Promise<FromBorrower> {
    for (;;) {
      const message = await this.receive(child);
      child.count();
      switch (message.tag) {
        case "offer": {
          const { ticket, answer } = message;
          const [origin, parent] = [keyOf(message.origin), keyOf(message.parent)];
          this.placement.offered(child, { origin, parent, ticket, answer });
          break;
        }
        case "update":
          reports.take(message);
          break;
        case "signal":
          // A second link is between a child and the root. Nothing is lost without one here: who is below a tab has
          // come by WebRTC, and descriptions are sent with all their addresses, so that none follow. Where a link by
          // a TURN server ends with its password, which some servers look at only when it begins, the child joins
          // again with a new one.
          child.tell({ tag: "signal", description: "" });
          break;
        case "leaving":
          child.hasLeft = true;
          throw new LeftError("it has left");
        case "want":
          if (child.needsOffer && typeof message.answersOffers === "boolean") {
            child.takesChildren = message.answersOffers;
            this.placement.setTakesChildren(child, message.answersOffers);
          }
          return message;
        case "results":
        case "returned":
        case "struck":
          return message;
        default:
          throw new MalformedError(`an unexpected message, ${message.tag}`);
      }
    }
  }

  /** End the connection of a node, here or below: the root has sent it away. */
  disconnect(node: Uint8Array): void {
    const key = keyOf(node);
    this.placement.cancel(key);
    for (const child of this.all.values()) {
      if (child.node === key) {
        child.wasSentAway = true;
        child.link.close("it was sent away");
      } else {
        child.tell({ tag: "disconnect", node });
      }
    }
  }

  /** Have the children find other places: they leave when they have one. */
  handOver(): void {
    for (const child of this.all.values()) child.tell({ tag: "leaving" });
  }

  /** Tell all children that the run is over, and how many results it has had; then end their links. */
  async end(results: number): Promise<void> {
    this.isOver = true;
    const links = [...this.all.values()].map((child) => {
      child.tell({ tag: "ended", results });
      return child.link.drain();
    });
    await Promise.race([Promise.allSettled(links), sleep(END_MILLISECONDS)]);
    this.close();
  }

  /** End all links at once: the other ends notice, and find other parents. */
  close(): void {
    this.placement.end();
    for (const child of this.all.values()) child.link.close();
    this.answerer.end();
  }
}

const DIALECT = { decode: decodeFromChild, encode: encodeToChild };
