/** A tab that volunteers: it connects, takes its place in the tree, and comes back. */

import { ChannelClosedError, JoinRejectedError, LoadFailedError, MalformedError } from "../errors";
import { type Bytes, encode, type RunInfo, SENT_AWAY } from "../messages";
import type { Channel } from "../tree/channel";
import type { KeepaliveChannel } from "../tree/keepalive";
import { Computing } from "./computing";
import { type DevicePhase, type DeviceState, RELAYED, StateKeeper } from "./device-state";
import { NodeIdentity } from "./identity";
import { Move } from "./move";
import { Openness } from "./openness";
import { withoutFolders } from "./paths";
import { Patience } from "./patience";
import { Pausing } from "./pausing";
import { WEBRTC } from "./protocol";
import { leavePlace, type Place, RootDoor, readAssigned, sentence, type Visit } from "./root-door";
import type { SecondLink } from "./second-link";
import { Session, type SessionEvents } from "./session";
import { Ways, type WaysHost, type WaysOptions } from "./ways";

/** How long a run whose root cannot be reached is waited for, before its workers are ended. */
const LOST_RUN_MILLISECONDS = 30_000;
/** How long the next run is waited for after the end of one, where the link does not last. */
const NEXT_RUN_MILLISECONDS = 30_000;

export interface DeviceOptions extends WaysOptions {
  /** Of the root, such as `ws://192.168.1.7:5000/node`, or of its room at a public server. */
  url: string;
  /** Whether a public server relays: messages go in parts, and encrypted. */
  relayed: boolean;
  /** What follows the `#` of the link, without words for the page. */
  token: string;
  name: string;
  workers: number;
  /** Whether the link lasts beyond a run: then the next one is waited for without end. */
  linkLasts: boolean;
  /** What proves that this is a device which was sent away; empty where it was not. */
  kept: string;
  /** What proves that it is the device which this page was before; empty where it was none. */
  identity: string;
}

export interface DeviceHost extends WaysHost {
  /** A new port to a new sandbox, for a run. */
  openSandbox(run: string): Promise<MessagePort>;
  onChange(figures: DeviceState): void;
}

export class Device {
  private session: Session | null = null;
  private link: KeepaliveChannel | null = null;
  private readonly identity: NodeIdentity;
  private stopping = false;
  private readonly patience = new Patience();
  private abandon: () => void = () => {};
  /** Rejects when this device has been stopped: whatever else it waits for is of no use then. */
  private readonly stopped = new Promise<never>((_, reject) => {
    this.abandon = () => reject(new ChannelClosedError("stopped"));
  });
  /** Why this device cannot go on, if that has turned out while it took part. */
  private refusal: LoadFailedError | null = null;
  private lastInTree = performance.now();
  private readonly keeper = new StateKeeper();
  /** When a run has ended, where no other has begun since. */
  private finished: number | null = null;
  private readonly ways: Ways;
  /** For the parent that it has, or had last. */
  private computing: Computing | null = null;
  private second: SecondLink | null = null;
  private move: Move | null = null;
  private readonly door: RootDoor;

  private readonly pausing: Pausing;
  private readonly openness = new Openness();

  constructor(
    private options: DeviceOptions,
    private readonly host: DeviceHost,
  ) {
    this.keeper.kept = options.kept;
    this.keeper.identity = options.identity;
    this.identity = new NodeIdentity(options.token, {
      encrypts: options.relayed,
      kept: options.kept || options.identity,
    });
    const reached = { ...host, connect: (url: string) => this.connect(url) };
    this.ways = new Ways(options, reached, this.identity, () => this.hello());
    const asking = {
      connect: reached.connect,
      isStopping: () => this.stopping,
      hello: (visit: Visit) => this.hello(visit),
    };
    this.door = new RootDoor(options, asking, this.identity, this.ways);
    this.pausing = new Pausing({
      has: (session) => this.session === session,
      computing: () => this.computing,
      openSandbox: (run) => this.host.openSandbox(run),
      hangUp: () => this.link?.close(),
      show: (phase) => this.show(phase),
    });
    this.stopped.catch(() => {}); // it may be stopped while nobody waits
  }

  state(): DeviceState {
    return this.keeper.read(this.session);
  }

  /** Take part until stopped, or until it turns out that this device cannot. */
  async run(): Promise<void> {
    while (!this.stopping) {
      try {
        this.showTrying("connecting");
        this.keeper.endRun(await Promise.race([this.takePart(), this.stopped]));
        this.dropSession();
        this.finished = performance.now();
        this.show("finished");
        if (this.pausing.isPaused) return;
      } catch (error) {
        if (!this.mayGoOn(this.refusal ?? error)) return;
      } finally {
        this.link?.close();
        this.link = null;
      }
      if (!this.stopping) await this.rest();
    }
    this.dropSession();
    this.show("stopped");
  }

  /** Whether to connect again after an error, which is shown. */
  private mayGoOn(error: unknown): boolean {
    const rejected = error instanceof JoinRejectedError;
    const isLost = error instanceof ChannelClosedError || error instanceof MalformedError;
    if (this.pausing.isPaused && isLost) {
      this.stopping = true; // who goes on joins again
      this.dropSession();
      this.show("stopped");
      return false;
    }
    if (this.finished !== null && (rejected || this.hasWaitedLong(this.finished))) {
      this.stopping = true;
      this.show("finished");
      return false;
    }
    if (rejected || error instanceof LoadFailedError) {
      this.dropSession();
      this.stopping = true;
      this.show("refused", sentence(withoutFolders(error.message)));
      return false;
    }
    if (performance.now() - this.lastInTree > LOST_RUN_MILLISECONDS) this.dropSession();
    if (!isLost) throw error;
    this.showTrying("waiting", this.stopping ? "" : sentence(error.message));
    return true;
  }

  private hasWaitedLong(since: number): boolean {
    return !this.options.linkLasts && performance.now() - since > NEXT_RUN_MILLISECONDS;
  }

  /** Whether this device has a network; it connects as soon as it has one again. */
  setOnline(online: boolean): void {
    this.keeper.offline = !online;
    if (online) {
      this.retry();
      this.second?.hurry();
    }
    this.host.onChange(this.state());
  }

  /** Whether other devices may connect through this one from now on. */
  setWilling(willing: boolean): void {
    this.openness.isWilling = willing;
    this.computing?.announce();
  }

  /** Whether others may connect to this device now. */
  private mayTakeChildren(assigned: RunInfo): boolean {
    const { computing, options, session, pausing } = this;
    const answers = options.webrtc && this.ways.mayUseWebRtc(assigned);
    const can = answers && !pausing.isPaused && session?.children != null;
    return this.openness.decide(can, computing?.link.roundTrip.milliseconds ?? 0);
  }

  /** Connect now, without waiting any longer. */
  retry(): void {
    this.patience.hurry();
  }

  /** Leave in order: what is running is delivered if it takes no longer than a moment. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.second?.stop();
    this.patience.end();
    const { session, link, computing } = this;
    const { phase } = this.keeper;
    if (session !== null && link !== null && (phase === "computing" || phase === "paused"))
      await computing?.leave();
    this.dropSession();
    link?.close();
    this.abandon();
  }

  /** Compute nothing until `resume`, at the same place in the tree; without a place, stop. */
  async pause(): Promise<void> {
    const { session } = this;
    if (session === null || this.keeper.phase !== "computing") {
      await this.stop();
      return;
    }
    await this.pausing.pause(session);
  }

  /** Go on computing, with so many workers, and as this name. */
  async resume(name: string, workers: number): Promise<void> {
    const { session } = this;
    if (session === null || !this.pausing.isPaused) return;
    this.options = { ...this.options, name, workers };
    await this.pausing.resume(session, name, workers);
  }

  /** Pause before connecting again, counting down. */
  private rest(): Promise<void> {
    const { note } = this.keeper;
    return this.patience.rest((left) => this.showTrying("waiting", note, left));
  }

  private show(phase: DevicePhase, note = "", retry = 0): void {
    Object.assign(this.keeper, { phase, note, retry });
    this.host.onChange(this.state());
  }

  /** The same, where that is of interest: after the end of a run it is not. */
  private showTrying(phase: DevicePhase, note = "", retry = 0): void {
    if (this.finished === null) this.show(phase, note, retry);
  }

  /** One stay in the tree. Returns the results of the run when it is over; a lost parent is thrown. */
  private async takePart(): Promise<number> {
    const { door } = this;
    const root = await door.open((link) => {
      this.link = link; // so that whoever stops this device closes it
    });
    const { session } = this;
    const answer = await door.receive(root);
    const isSentAway = answer.tag === "denied" && answer.reason === SENT_AWAY;
    this.keeper.identity = this.identity.keep();
    this.keeper.kept = isSentAway ? this.keeper.identity : "";
    const assigned = readAssigned(answer);
    if (session !== null && session.run !== assigned.run) {
      this.dropSession();
      throw new ChannelClosedError("another run has begun");
    }
    this.finished = null;
    this.keeper.beginRun(assigned.run);
    const ready = session ?? (await this.prepare(await door.whole(assigned, root), root));
    this.show("joining");
    this.keeper.linkProblem = this.ways.problem(assigned);
    try {
      return await this.join(ready, root, assigned);
    } finally {
      this.lastInTree = performance.now();
    }
  }

  private async connect(url: string): Promise<Channel> {
    const channel = await this.host.connect(url);
    if (this.stopping) channel.close();
    return channel;
  }

  /** What this tab says of itself in a handshake. */
  private hello(visit: Visit = "join"): Bytes {
    const { name } = this.options;
    const { session } = this;
    const workers = { join: this.workers, report: this.options.workers, look: 0 }[visit];
    return encode({
      tag: "hello",
      name,
      workers,
      run: session?.run ?? "",
      reports: visit === "report",
      answersOffers: visit === "join" && this.openness.tell(),
    });
  }

  /** How many workers compute here and below. */
  private get workers(): number {
    return this.options.workers + (this.session?.workersBelow ?? 0);
  }

  private async prepare(assigned: RunInfo, root: KeepaliveChannel): Promise<Session> {
    this.show("preparing");
    const { name, workers } = this.options;
    const events: SessionEvents = {
      onItemFailed: (text) => {
        this.keeper.failure = withoutFolders(text);
      },
      onSandboxLost: () => this.sandboxLost(),
      onLoadFailed: (error) => {
        this.refusal = error;
        if (this.keeper.phase !== "preparing") this.link?.close();
      },
    };
    try {
      const sandbox = await this.host.openSandbox(assigned.run);
      if (this.stopping) throw new ChannelClosedError("stopped");
      const session = new Session(assigned, name, workers, sandbox, events);
      this.session = session;
      session.openToOthers({
        meetChild: (channel, findTicket) => this.identity.meetChild(channel, findTicket),
        openPeer: (offer) => this.ways.openAnsweringPeer(offer),
      });
      await session.loaded;
      if (this.session === session) session.renewal = this.door.keepRenewed(assigned);
      return session;
    } catch (error) {
      if (error instanceof LoadFailedError) {
        root.send({ tag: "refused", reason: error.reason, traceback: error.traceback });
      }
      throw error;
    }
  }

  /**
   * The browser has ended what ran the function, perhaps for the memory that an item takes. Who computes keeps its
   * place, and has a new sandbox: an item whose device came back would be tried there for ever.
   */
  private sandboxLost(): void {
    const { session } = this;
    if (session !== null && this.keeper.phase === "computing" && !this.stopping) {
      const { name, workers } = this.options;
      void this.pausing.resume(session, name, workers);
      return;
    }
    this.dropSession();
    this.link?.close("the browser has ended what ran the function");
  }

  /** Compute at the place that the root gives, there or below. */
  private async join(session: Session, root: KeepaliveChannel, assigned: RunInfo): Promise<number> {
    const found = await this.door.findPlace(root, assigned);
    return "results" in found ? found.results : await this.settle(session, found, assigned);
  }

  /** Compute at a place in the tree. */
  private async settle(session: Session, place: Place, assigned: RunInfo): Promise<number> {
    if (this.stopping) {
      leavePlace(place);
      throw new ChannelClosedError("stopped");
    }
    return place.isRoot
      ? await this.computeForRoot(session, place, assigned)
      : await this.computeBelow(session, place, assigned);
  }

  /** Be the child of a node below the root, and move where that takes no children any more. */
  private async computeBelow(session: Session, place: Place, assigned: RunInfo): Promise<number> {
    const computing = this.begin(session, place.link, place.parent, assigned);
    let move: Move | null = null;
    computing.onParentLeaves = () => {
      move ??= new Move(computing, this.door, session.run);
      this.move = move;
      void move.start();
    };
    try {
      return await computing.run();
    } catch (error) {
      const next = this.goesOn(session) ? (this.move?.take() ?? null) : null;
      if (next === null) throw error;
      return await this.settle(session, next, assigned);
    } finally {
      this.move?.stop();
      this.move = null;
      this.lastInTree = performance.now();
    }
  }

  private goesOn(session: Session): boolean {
    return !this.stopping && this.session === session && this.refusal === null;
  }

  /** Be the root's child, and connect to it by WebRTC meanwhile where that is better. */
  private async computeForRoot(session: Session, place: Place, assigned: RunInfo): Promise<number> {
    const { link: root, parent, offered } = place;
    const first = this.begin(session, root, parent, assigned);
    const second = this.ways.secondLink(first, assigned, offered, (why) => this.noteLink(why));
    this.second = second;
    if (this.options.relayed && root.kind !== WEBRTC) this.keeper.link = RELAYED;
    void second?.start();
    try {
      return await first.run();
    } catch (error) {
      const standing = this.goesOn(session) ? ((await second?.take()) ?? null) : null;
      if (standing === null) throw error;
      if (!this.goesOn(session)) {
        standing.link.close();
        throw error;
      }
      const { link, parent } = standing;
      const next = { link, parent, isRoot: true, offered: null };
      return await this.settle(session, next, standing.assigned);
    } finally {
      second?.stop();
      this.lastInTree = performance.now();
    }
  }

  /** Begin to compute for the node at the other end of a link. */
  private begin(
    session: Session,
    link: KeepaliveChannel,
    parent: Uint8Array,
    assigned: RunInfo,
  ): Computing {
    this.link = link;
    session.keepReportLink(assigned, () => this.door.openReportLink());
    const { silence, reportingInterval } = assigned;
    const settings = {
      workers: this.options.workers,
      silence,
      reportingInterval,
      takesChildren: () => this.mayTakeChildren(assigned),
      toldTakesChildren: this.openness.told,
    };
    this.computing = new Computing(session, link, parent, settings);
    this.keeper.link = link.kind;
    this.show(this.pausing.isPaused ? "paused" : "computing");
    this.patience.reset();
    return this.computing;
  }

  private noteLink(why: string): void {
    this.keeper.linkProblem = why;
    this.host.onChange(this.state());
  }

  private dropSession(): void {
    const { session } = this;
    if (session === null) return;
    this.keeper.add(session);
    this.session = null;
    session.end();
  }
}
