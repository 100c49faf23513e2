/** How a device below the root reaches the parent that it is sent to: the ways are raced, the first one is used. */

import { type Channel, ChannelClosedError } from "../tree/channel";
import { KeepaliveChannel } from "../tree/keepalive";
import type { Peer } from "./peer";
import { sleep, withTimeout } from "./timers";

/** How long a parent may take to answer. */
const WELCOME_MILLISECONDS = 5000;
/** How long a WebSocket may take before WebRTC is tried beside it. */
const WEBSOCKET_MILLISECONDS = 500;
/** Addresses of one parent that are tried. */
const MAX_TRIED = 8;

export interface FoundParent {
  link: KeepaliveChannel;
  parent: Uint8Array;
}

export interface Ways {
  connect(url: string): Promise<Channel>;
  /** Where the parent may be reached by WebSocket. */
  addresses: string[];
  /** What has made an offer, and the parent's answer; empty where it has none. */
  offered: Peer | null;
  answer: string;
  /** Shakes hands over a channel to it, and gives the one to use then. */
  prove(channel: Channel): Promise<Channel>;
}

/** Connect to a parent below the root; why that is impossible, if it is. */
export function findParent(ways: Ways): Promise<FoundParent | string> {
  return new ParentSearch(ways).run();
}

class ParentSearch {
  private found: FoundParent | null = null;
  private why = "it has no address";
  private readonly open = new Set<Channel>();

  constructor(private readonly ways: Ways) {}

  async run(): Promise<FoundParent | string> {
    const { addresses, offered, answer } = this.ways;
    const websockets = this.tryAddresses(addresses.slice(0, MAX_TRIED));
    const attempts = [websockets];
    if (offered !== null && answer !== "") {
      attempts.push(this.tryDataChannel(offered, answer, websockets));
    }
    // A way that still waits is not waited for once another one stands.
    const stands = attempts.map(async (attempt) => {
      await attempt;
      if (this.found === null) throw new Error(this.why);
    });
    await Promise.any(stands).catch(() => {});
    for (const channel of this.open) channel.close();
    return this.found ?? this.why;
  }

  private async tryAddresses(addresses: string[]): Promise<void> {
    for (const address of addresses) {
      if (this.found === null) await this.try(() => this.ways.connect(`ws://${address}/node`));
    }
  }

  private async tryDataChannel(
    offered: Peer,
    answer: string,
    websockets: Promise<void>,
  ): Promise<void> {
    await Promise.race([websockets, sleep(WEBSOCKET_MILLISECONDS)]);
    if (this.found === null) await this.try(() => offered.open(answer));
  }

  private async try(connect: () => Promise<Channel>): Promise<void> {
    let channel: Channel | null = null;
    try {
      channel = await connect();
      if (this.found !== null) throw new ChannelClosedError("another way stands");
      this.open.add(channel);
      const proved = await withTimeout(this.ways.prove(channel), WELCOME_MILLISECONDS);
      const link = new KeepaliveChannel(proved ?? channel);
      const answer = proved && (await withTimeout(link.receive(), WELCOME_MILLISECONDS));
      if (answer?.tag === "welcome" && this.found === null) {
        this.found = { link, parent: answer.parent };
        this.open.delete(channel);
        return;
      }
      this.why = "no welcome";
    } catch (error) {
      this.why = error instanceof Error ? error.message : String(error);
    }
    if (channel === null) return;
    this.open.delete(channel);
    channel.close();
  }
}
