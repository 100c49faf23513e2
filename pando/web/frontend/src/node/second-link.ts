/**
 * A second link to the root, by WebRTC, for a tab whose first one is a WebSocket. The twin of
 * `pando/volunteering/second_link.py`: the first link stays until the root has proved itself on the second one.
 */

import { ChannelClosedError } from "../errors";
import type { RunInfo } from "../messages";
import type { Channel } from "../tree/channel";
import { KeepaliveChannel } from "../tree/keepalive";
import type { Computing } from "./computing";
import type { Peer } from "./peer";
import { withTimeout } from "./timers";

/** Pauses before each try, in seconds; the last one is repeated. */
export const PAUSES = [0, 30, 120, 600] as const;
/** How long the root may take for each of its answers, in milliseconds. */
const ANSWER_MILLISECONDS = 10_000;

/** A link on which the root has said what it runs. */
export interface Standing {
  root: KeepaliveChannel;
  assigned: RunInfo;
}

export interface SecondLinkHost {
  openPeer(): Peer;
  /** Shake hands with the root. */
  joinRoot(channel: Channel): Promise<Channel>;
  /** Takes why it has failed, in words for people; empty once it has not. */
  note(why: string): void;
}

export class SecondLink {
  private stopped = false;
  private wake: () => void = () => {};
  private peer: Peer | null = null;
  private standing: Standing | null = null;

  /** @param first - computes over the first link. */
  constructor(
    private readonly first: Computing,
    private readonly run: string,
    private readonly host: SecondLinkHost,
  ) {}

  /** Try, again after a pause, until it stands or is stopped. */
  async start(): Promise<void> {
    for (let tries = 0; !this.stopped; tries++) {
      await this.rest(PAUSES[Math.min(tries, PAUSES.length - 1)]!);
      if (this.stopped) return;
      try {
        await this.try();
        return;
      } catch (error) {
        this.peer?.close();
        if (this.stopped) return;
        this.host.note(error instanceof Error ? error.message : String(error));
      }
    }
  }

  /** Try now: the network is another one. */
  hurry(): void {
    this.wake();
  }

  /** The first link has ended: the second one, where it stands. */
  take(): Standing | null {
    const { standing } = this;
    if (standing !== null) this.peer = null; // it is somebody else's now
    this.stop();
    return standing;
  }

  /** Try no more. */
  stop(): void {
    this.stopped = true;
    this.standing = null;
    this.peer?.close();
    this.wake();
  }

  private rest(seconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  private async try(): Promise<void> {
    const peer = this.host.openPeer();
    this.peer = peer;
    const offer = await peer.offer();
    const answer = await this.inTime(this.first.signal(offer));
    if (answer === "") throw new ChannelClosedError("the root does not take part");
    const channel = await peer.open(answer);
    const root = new KeepaliveChannel(await this.inTime(this.host.joinRoot(channel)));
    const assigned = await this.inTime(root.receive());
    if (assigned.tag !== "assigned" || assigned.run !== this.run) {
      throw new ChannelClosedError("unexpected reply from the root");
    }
    if (this.stopped) return;
    this.standing = { root, assigned };
    this.host.note("");
    await this.first.leave();
    this.first.link.close();
  }

  private async inTime<T>(promise: Promise<T>): Promise<T> {
    const settled = await withTimeout(promise, ANSWER_MILLISECONDS);
    if (settled === null) throw new ChannelClosedError("it does not answer");
    return settled;
  }
}
