/** A tab computes for one parent, from its welcome to the end of the link. */

import { ChannelClosedError, MalformedError } from "../errors";
import type { Incoming, Outgoing, Signal } from "../messages";
import type { KeepaliveChannel } from "../tree/keepalive";
import { MAX_VALUE_BYTES } from "../tree/large-messages";
import { keyOf, nodeOf } from "../tree/overlay";
import type { Session } from "./session";
import { sleep } from "./timers";

/** How long leaving in order may take: what is finished is delivered first. */
export const LEAVE_MILLISECONDS = 1000;

export interface Settings {
  workers: number;
  silence: number;
  reportingInterval: number;
  /** Whether other devices may connect to this one now. */
  takesChildren(): boolean;
  /** What the parent was told of that in the handshake. */
  toldTakesChildren: boolean;
}

export class Computing {
  private signalled: ((answer: Signal) => void) | null = null;
  private unanswered = 0;
  /** The parent takes no children any more: another place is to be found. */
  onParentLeaves: () => void = () => {};
  private ownWorkers = 0;
  private told: { workers: number | null; takesChildren: boolean };

  /** @param parent - the identifier of the node at the other end of the link. */
  constructor(
    private readonly session: Session,
    readonly link: KeepaliveChannel,
    private readonly parent: Uint8Array,
    private readonly settings: Settings,
  ) {
    this.told = { workers: null, takesChildren: settings.toldTakesChildren };
  }

  /** Be its child until the run is over; returns the run's results. A lost parent is thrown. */
  async run(): Promise<number> {
    const { session, link, settings } = this;
    link.beat(settings.silence);
    link.traffic = session.traffic;
    session.answerTo((message, urgent) => this.send(message, urgent), this.parent);
    this.announce(session.isPaused ? 0 : settings.workers);
    this.report();
    session.onWorkersBelow = () => this.announce();
    const reporting = setInterval(() => {
      this.announce();
      this.report();
    }, settings.reportingInterval * 1000);
    try {
      for (;;) {
        const message = await link.receive();
        if (message.tag === "ended") {
          this.report();
          await session.children?.end(message.results);
          return message.results;
        }
        this.handle(message);
      }
    } finally {
      clearInterval(reporting);
      session.onWorkersBelow = () => {};
      session.answerTo(null);
    }
  }

  /** Give back what has not been started, deliver what is running if it is soon done, and keep the place. */
  async finish(): Promise<void> {
    await Promise.race([this.session.drain(), sleep(LEAVE_MILLISECONDS)]);
    this.report();
    await this.flush();
  }

  /** The same, and say goodbye: the parent gives the place to others. */
  async leave(): Promise<void> {
    await Promise.race([this.session.drain(), sleep(LEAVE_MILLISECONDS)]);
    this.report();
    this.send({ tag: "leaving" });
    await this.flush();
  }

  private async flush(): Promise<void> {
    // A parent that is gone needs nothing.
    await Promise.race([this.link.drain().catch(() => {}), sleep(LEAVE_MILLISECONDS)]);
  }

  /** The parent's answer to an offer to connect by WebRTC; empty where it has none. */
  signal(offer: string): Promise<Signal> {
    this.link.send({ tag: "signal", description: offer });
    this.unanswered += 1;
    return new Promise((resolve) => {
      this.signalled = resolve;
    });
  }

  /**
   * Tell the parent how many workers compute here and below, and whether others may connect here, where that has
   * changed.
   *
   * @param own - how many workers compute here; as many as before, where that is not given.
   */
  announce(own = this.ownWorkers): void {
    const isOther = own !== this.ownWorkers;
    this.ownWorkers = own;
    const workers = own + this.session.workersBelow;
    const takesChildren = this.settings.takesChildren();
    const { told } = this;
    this.told = { workers, takesChildren };
    const isNews = told.workers !== workers || told.takesChildren !== takesChildren;
    const answersOffers = told.takesChildren === takesChildren ? null : takesChildren;
    if (isNews) this.send({ tag: "want", workers, maxValue: MAX_VALUE_BYTES, answersOffers });
    // Who has no workers gives back what waits, once the parent knows.
    if (isNews || isOther) this.session.tabNode.announce(own);
    if (told.takesChildren && !takesChildren) this.session.children?.handOver();
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
        void this.findPlace(message.origin, message.offer);
        return;
      case "disconnect":
        this.session.children?.disconnect(message.node);
        return;
      case "leaving":
        this.onParentLeaves();
        return;
      case "signal":
        this.takeAnswer(message);
        return;
      default:
        throw new MalformedError(`an unexpected message, ${message.tag}`);
    }
  }

  /** Take the answer to the oldest offer; one that nobody waits for any more is left. */
  private takeAnswer(answer: Signal): void {
    this.unanswered -= 1;
    if (this.unanswered !== 0) return;
    this.signalled?.(answer);
    this.signalled = null;
  }

  /** Find a place for a joining node, here or below; none where others may not connect here. */
  private async findPlace(origin: Uint8Array, offer: string): Promise<void> {
    const { children, node } = this.session;
    let place = { parent: node, ticket: "", answer: "" };
    if (children !== null && this.settings.takesChildren()) {
      const found = await children.placement.findPlace(keyOf(origin), offer);
      place = { ...found, parent: nodeOf(found.parent) };
    }
    const { parent, ticket, answer } = place;
    this.send({ tag: "offer", origin, parent, ticket, answer });
  }
}
