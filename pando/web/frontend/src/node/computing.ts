/** A tab computes for one parent, from its welcome to the end of the link. */

import { ChannelClosedError, MalformedError } from "../errors";
import type { Incoming, Outgoing } from "../messages";
import type { KeepaliveChannel } from "../tree/keepalive";
import type { Session } from "./session";
import { sleep } from "./timers";

/** How long leaving in order may take: what is finished is delivered first. */
export const LEAVE_MILLISECONDS = 1000;

export interface Settings {
  workers: number;
  silence: number;
  reportingInterval: number;
}

export class Computing {
  private signalled: ((answer: string) => void) | null = null;

  /** @param parent - the identifier of the node at the other end of the link. */
  constructor(
    private readonly session: Session,
    readonly link: KeepaliveChannel,
    private readonly parent: Uint8Array,
    private readonly settings: Settings,
  ) {}

  /** Be its child until the run is over; returns the run's results. A lost parent is thrown. */
  async run(): Promise<number> {
    const { session, link, settings } = this;
    link.beat(settings.silence);
    link.traffic = session.traffic;
    session.answerTo((message, urgent) => this.send(message, urgent), this.parent);
    this.announce(session.isPaused ? 0 : settings.workers);
    this.report();
    const reporting = setInterval(() => this.report(), settings.reportingInterval * 1000);
    try {
      for (;;) {
        const message = await link.receive();
        if (message.tag === "ended") {
          this.report();
          return message.results;
        }
        this.handle(message);
      }
    } finally {
      clearInterval(reporting);
      session.answerTo(null);
    }
  }

  /** Give back what has not been started, deliver what is running if it is soon done, and say goodbye. */
  async leave(): Promise<void> {
    await Promise.race([this.session.drain(), sleep(LEAVE_MILLISECONDS)]);
    try {
      this.report();
      this.link.send({ tag: "leaving" });
      await Promise.race([this.link.drain(), sleep(LEAVE_MILLISECONDS)]);
    } catch {
      // the parent is gone, and knows
    }
  }

  /** The parent's answer to an offer to connect by WebRTC; empty where it has none. */
  signal(offer: string): Promise<string> {
    this.link.send({ tag: "signal", description: offer });
    return new Promise((resolve) => {
      this.signalled = resolve;
    });
  }

  /** So many workers compute here from now on; the parent is told. */
  announce(workers: number): void {
    this.session.tabNode.announce(workers);
  }

  /** Tell the parent what has been done since the time before. */
  report(): void {
    this.send(this.session.report(this.parent, this.link.kind, this.link.roundTrip.milliseconds));
  }

  private send(message: Outgoing, urgent = true): void {
    try {
      if (urgent) this.link.send(message);
      else this.link.post(message);
    } catch (error) {
      if (!(error instanceof ChannelClosedError)) throw error;
      this.link.close(); // whoever reads notices, too
    }
  }

  /** Do what a parent's message asks for. */
  private handle(message: Incoming): void {
    switch (message.tag) {
      case "lend":
        this.session.tabNode.lend(message);
        return;
      case "recall":
        this.session.tabNode.recall(message);
        return;
      case "join":
        // A browser takes no children in.
        this.send({ tag: "offer", origin: message.origin, parent: this.session.node });
        return;
      case "disconnect":
        return; // there are no children to disconnect
      case "signal":
        this.signalled?.(message.description);
        this.signalled = null;
        return;
      default:
        throw new MalformedError(`an unexpected message, ${message.tag}`);
    }
  }
}
