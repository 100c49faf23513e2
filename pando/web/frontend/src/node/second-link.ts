/**
 * A second link to the root, by WebRTC, for a tab whose first one is a WebSocket. The twin of
 * `pando/volunteering/second_link.py`: a join of the same node. The first link stays until the root has let the
 * second one in, and says no goodbye, so that the root keeps the place.
 */

import { ChannelClosedError, TooManyAskError } from "../errors";
import type { RunInfo } from "../messages";
import type { Channel } from "../tree/channel";
import { KeepaliveChannel } from "../tree/keepalive";
import type { Computing } from "./computing";
import type { Offered, Peer } from "./peer";
import { withTimeout } from "./timers";

/** Pauses before each try, in seconds; the last one is repeated. */
export const PAUSES = [0, 30, 120, 600] as const;
/** How much longer a pause may be, as a part of it: many whose tries have failed at once do not come back at once. */
const SPREAD = 0.5;
/** The same of the pause that a root names to which too many come. */
const BUSY_SPREAD = 1.0;
/** The longest that a root may name. */
const LONGEST_BUSY_PAUSE_SECONDS = 60;
/** How long the root may take for each of its answers, in milliseconds. */
const ANSWER_MILLISECONDS = 10_000;

/** A link on which the root has let this node in. */
export interface Standing {
  link: KeepaliveChannel;
  parent: Uint8Array;
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
  private tries = 0;
  private wake: () => void = () => {};
  private peer: Peer | null = null;
  private standing: Standing | null = null;
  /** Whether the first link has been given up for the second one. */
  private isJoining = false;
  private settle: () => void = () => {};
  private readonly settled = new Promise<void>((resolve) => {
    this.settle = resolve;
  });

  /**
   * @param first - computes over the first link.
   * @param offered - for the first try; without it, that makes an offer itself like the others.
   */
  constructor(
    private readonly first: Computing,
    private readonly run: string,
    private offered: Offered | null,
    private readonly host: SecondLinkHost,
  ) {
    this.peer = offered?.peer ?? null;
  }

  /** Try, again after a pause, until it stands or is stopped. */
  async start(): Promise<void> {
    await this.tryUntilItStands();
    this.settle();
  }

  private async tryUntilItStands(): Promise<void> {
    for (let pause: number = PAUSES[0]; !this.stopped; ) {
      await this.rest(pause);
      if (this.stopped) return;
      this.tries += 1;
      try {
        await this.try();
        return;
      } catch (error) {
        this.peer?.close();
        if (this.isJoining) this.first.link.close(); // it is of no use any more: join anew
        if (this.stopped || this.isJoining) return;
        pause = this.pauseAfter(error);
        this.host.note(error instanceof Error ? error.message : String(error));
      }
    }
  }

  private pauseAfter(error: unknown): number {
    if (error instanceof TooManyAskError) {
      this.tries = Math.max(0, this.tries - 1); // it has not been tried
      const pause = Math.min(error.pause, LONGEST_BUSY_PAUSE_SECONDS);
      return pause * (1 + BUSY_SPREAD * Math.random());
    }
    return PAUSES[Math.min(this.tries, PAUSES.length - 1)]! * (1 + SPREAD * Math.random());
  }

  /** Try now, and begin anew with short pauses: the network is another one. */
  hurry(): void {
    this.tries = 0;
    this.wake();
  }

  /** The first link has ended: the second one, where it stands, or does after a moment. */
  async take(): Promise<Standing | null> {
    if (this.isJoining) await this.settled; // the root ends the first link before it lets the second one in
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
    this.settle();
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
    const { peer, offer } = await this.offer();
    const { description, again = 0 } = await this.inTime(this.first.signal(offer));
    if (description === "" && again > 0) throw new TooManyAskError(again);
    if (description === "") throw new ChannelClosedError("the root does not take part");
    const channel = await peer.open(description);
    const link = new KeepaliveChannel(await this.inTime(this.host.joinRoot(channel)));
    const assigned = await this.inTime(link.receive());
    if (assigned.tag !== "assigned" || assigned.run !== this.run) {
      throw new ChannelClosedError("unexpected reply from the root");
    }
    if (!this.stopped) await this.changeTo(link, assigned);
  }

  private async offer(): Promise<Offered> {
    const { offered } = this;
    if (offered !== null) {
      this.offered = null;
      return offered;
    }
    const peer = this.host.openPeer();
    this.peer = peer;
    return { peer, offer: await peer.offer() };
  }

  private async changeTo(link: KeepaliveChannel, assigned: RunInfo): Promise<void> {
    this.isJoining = true;
    await this.first.finish();
    if (this.stopped) return;
    link.send({ tag: "ready", offer: "" });
    const welcome = await this.inTime(link.receive());
    if (welcome.tag !== "welcome") throw new ChannelClosedError("unexpected reply from the root");
    if (this.stopped) return;
    this.standing = { link, parent: welcome.parent, assigned };
    this.host.note("");
    this.first.link.close();
  }

  private async inTime<T>(promise: Promise<T>): Promise<T> {
    const settled = await withTimeout(promise, ANSWER_MILLISECONDS);
    if (settled === null) throw new ChannelClosedError("it does not answer");
    return settled;
  }
}
