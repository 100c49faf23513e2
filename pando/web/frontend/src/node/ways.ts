/** The ways by which a tab connects to its parent: which of them it takes, and how. */

import type { Bytes, Incoming, RunInfo } from "../messages";
import type { Channel } from "../tree/channel";
import { readDescription, writeDescription } from "../tree/description";
import type { IceServer } from "../tree/peer-port";
import type { Computing } from "./computing";
import type { NodeIdentity } from "./identity";
import { type FoundParent, findParent } from "./parent";
import { type Offered, Peer, readServers } from "./peer";
import { AUTO, chooseProtocol, type Protocol, WEBRTC, WEBSOCKET, whyNoWebRtc } from "./protocol";
import { SecondLink } from "./second-link";

/** Part of the time that the root waits for an answer, for reaching the parent that it has named. */
const SEARCH_WAITS = 1 / 2;

export interface WaysOptions {
  relayed: boolean;
  /** What the link says of how to connect: `auto`, `websocket`, `webrtc`, or nothing. */
  protocol: string;
  /** Whether this browser has WebRTC. */
  webrtc: boolean;
}

export interface WaysHost {
  connect(url: string): Promise<Channel>;
  /** A port to the page's part of a new WebRTC connection, which makes an offer, or answers this one. */
  openPeer(servers: IceServer[], offer?: string): MessagePort;
}

export class Ways {
  /** STUN and TURN servers, for the next connections. */
  private servers: IceServer[] = [];

  /** @param hello - what this tab says of itself in a handshake. */
  constructor(
    private readonly options: WaysOptions,
    private readonly host: WaysHost,
    private readonly identity: NodeIdentity,
    private readonly hello: () => Bytes,
  ) {}

  /** Use the servers that the root has just named from now on: passwords there are good for a limited time. */
  useServers(assigned: RunInfo): void {
    this.servers = readServers(assigned);
  }

  private protocol(assigned: RunInfo): Protocol {
    const { protocol, webrtc } = this.options;
    return chooseProtocol(protocol, assigned.protocol, webrtc);
  }

  /** Whether WebRTC is better than the link that there is at first. */
  prefersWebRtc(assigned: RunInfo): boolean {
    const protocol = this.protocol(assigned);
    return protocol === WEBRTC || (protocol === AUTO && this.options.relayed);
  }

  mayUseWebRtc(assigned: RunInfo): boolean {
    return this.protocol(assigned) !== WEBSOCKET;
  }

  /** Why WebRTC is not tried although the link asks for it; empty where it is, or does not ask. */
  problem(assigned: RunInfo): string {
    return whyNoWebRtc(this.options.protocol, assigned.protocol, this.options.webrtc);
  }

  /** Make an offer; null where the browser makes none. */
  async offer(): Promise<Offered | null> {
    const peer = this.openPeer();
    try {
      return { peer, offer: await peer.offer() };
    } catch {
      peer.close();
      return null;
    }
  }

  /** Connect to the parent that the root has named; why that is impossible, if it is. */
  findParent(
    redirect: Incoming & { tag: "delegated" },
    offered: Offered | null,
    assigned: RunInfo,
  ): Promise<FoundParent | string> {
    const { parent, addresses, ticket, answer } = redirect;
    return findParent({
      connect: (url) => this.host.connect(url),
      addresses: this.protocol(assigned) === WEBRTC ? [] : addresses,
      offered: offered?.peer ?? null,
      answer,
      prove: (channel) => this.identity.joinParent(channel, parent, ticket, this.hello()),
      milliseconds: SEARCH_WAITS * assigned.bootstrapTimeout * 1000,
    });
  }

  /**
   * What tries to connect to the root by WebRTC while a first link computes; null where that is not wanted.
   *
   * @param offered - for its first try; ended where there is none.
   * @param note - takes why it has failed; empty once it has not.
   */
  secondLink(
    first: Computing,
    assigned: RunInfo,
    offered: Offered | null,
    note: (why: string) => void,
  ): SecondLink | null {
    const canProve = this.identity.knowsRoot;
    if (!canProve || first.link.kind === WEBRTC || !this.prefersWebRtc(assigned)) {
      offered?.peer.close();
      return null;
    }
    return new SecondLink(first, assigned.run, offered, {
      openPeer: () => this.openPeer(),
      joinRoot: (channel) => this.identity.joinRoot(channel, this.hello()),
      note,
    });
  }

  /** A connection that answers another device's offer. @throws MalformedError it is none. */
  openAnsweringPeer(offer: string): Peer {
    const clean = writeDescription(readDescription(offer, "offer"));
    return new Peer(this.host.openPeer(this.servers, clean));
  }

  private openPeer(): Peer {
    return new Peer(this.host.openPeer(this.servers));
  }
}
