/** How a device below the root reaches the parent that it is sent to: the ways are raced, the first one is used. */

import { type Channel, ChannelClosedError } from "../tree/channel";
import { KeepaliveChannel } from "../tree/keepalive";
import type { Peer } from "./peer";
import { sleep, withTimeout } from "./timers";

/** How long connecting to one address of a parent may take. */
const CONNECT_MILLISECONDS = 5000;
/** How long a parent may take to answer. */
const WELCOME_MILLISECONDS = 5000;
/** How long a WebSocket may take before WebRTC is tried beside it. */
const WEBSOCKET_MILLISECONDS = 500;
/** Addresses of one parent that are tried. */
const MAX_TRIED = 8;
const NO_ANSWER = "it does not answer";

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
  /** Time for all ways together; less than the root waits, or it would send this tab there again and again. */
  milliseconds: number;
}

/** Connect to a parent below the root; why that is impossible, if it is. */
export function findParent(ways: Ways): Promise<FoundParent | string> {
  return new ParentSearch(ways).run();
}

class ParentSearch {
  private found: FoundParent | null = null;
  private why = "it has no address";
  private isOver = false;
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
    const stand = Promise.any(stands).catch(() => true);
    if ((await withTimeout(stand, this.ways.milliseconds)) === null && this.found === null)
      this.why = NO_ANSWER;
    this.isOver = true;
    for (const channel of this.open) channel.close();
    return this.found ?? this.why;
  }

  private async tryAddresses(addresses: string[]): Promise<void> {
    for (const address of addresses) {
      if (!this.isOver) await this.try(() => this.connect(`ws://${address}/node`));
    }
  }

  private async tryDataChannel(
    offered: Peer,
    answer: string,
    websockets: Promise<void>,
  ): Promise<void> {
    await Promise.race([websockets, sleep(WEBSOCKET_MILLISECONDS)]);
    if (!this.isOver) await this.try(() => offered.open(answer));
  }

  /** Connect to an address; what stands too late is closed. */
  private async connect(url: string): Promise<Channel> {
    const connecting = this.ways.connect(url);
    const channel = await withTimeout(connecting, CONNECT_MILLISECONDS);
    if (channel !== null) return channel;
    void connecting.then((late) => late.close()).catch(() => {});
    throw new ChannelClosedError(NO_ANSWER);
  }

  private async try(connect: () => Promise<Channel>): Promise<void> {
    let channel: Channel | null = null;
    try {
      channel = await connect();
      if (this.isOver) throw new ChannelClosedError("another way stands");
      this.open.add(channel);
      const proved = await withTimeout(this.ways.prove(channel), WELCOME_MILLISECONDS);
      const link = new KeepaliveChannel(proved ?? channel);
      const answer = proved && (await withTimeout(link.receive(), WELCOME_MILLISECONDS));
      if (answer?.tag === "welcome" && !this.isOver) {
        this.found = { link, parent: answer.parent };
        this.isOver = true;
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
