/** A tab that volunteers: it connects, takes its place in the tree, and comes back. */

import { ChannelClosedError, JoinRejectedError, LoadFailedError, MalformedError } from "../errors";
import { type Bytes, encode, type Incoming, type RunInfo, SENT_AWAY } from "../messages";
import { oneLine } from "../text";
import type { Channel } from "../tree/channel";
import { KeepaliveChannel } from "../tree/keepalive";
import { inParts } from "../tree/parts";
import { JoinRefusedError, TrustError } from "../trust/errors";
import { Computing, LEAVE_MILLISECONDS } from "./computing";
import { type DevicePhase, type DeviceState, RELAYED, StateKeeper } from "./device-state";
import { joinFunction } from "./function-parts";
import { NodeIdentity } from "./identity";
import { withoutFolders } from "./paths";
import { WEBRTC } from "./protocol";
import type { SecondLink } from "./second-link";
import { Session, type SessionEvents } from "./session";
import { withTimeout } from "./timers";
import { Ways, type WaysHost, type WaysOptions } from "./ways";

const FIRST_PAUSE_SECONDS = 1;
/** Pauses between two tries to connect grow to this. */
const LONGEST_PAUSE_SECONDS = 15;
/** How long a run whose root cannot be reached is waited for, before its workers are ended. */
const LOST_RUN_MILLISECONDS = 30_000;
/** How long the next run is waited for after the end of one, where the link does not last. */
const NEXT_RUN_MILLISECONDS = 30_000;
/** How long the root may take to answer: it may have to ask its children for a place. */
const ANSWER_MILLISECONDS = 120_000;

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
  /** Seconds before it connects again. */
  private patience = FIRST_PAUSE_SECONDS;
  private wake: (() => void) | null = null;
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
  private hurried = false;
  private readonly ways: Ways;
  /** For the parent that it has, or had last. */
  private computing: Computing | null = null;
  private second: SecondLink | null = null;

  /** Whether the person at this device has paused it. */
  private isPaused = false;

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
        if (this.isPaused) return;
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
    if (this.isPaused && isLost) {
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

  /** Connect now, without waiting any longer. */
  retry(): void {
    this.patience = FIRST_PAUSE_SECONDS;
    this.hurried = true;
    this.wake?.();
  }

  /** Leave in order: what is running is delivered if it takes no longer than a moment. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.wake?.();
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
    this.isPaused = true;
    this.computing?.announce(0);
    await session.pause(LEAVE_MILLISECONDS);
    if (this.session !== session) return; // its parent is lost
    this.computing?.report();
    this.show("paused");
  }

  /** Go on computing, with so many workers, and as this name. */
  async resume(name: string, workers: number): Promise<void> {
    const { session } = this;
    if (session === null || !this.isPaused) return;
    this.isPaused = false;
    this.options = { ...this.options, name, workers };
    this.show("preparing");
    try {
      const sandbox = await this.host.openSandbox(session.run);
      if (this.session !== session) return;
      await session.resume(sandbox, name, workers);
    } catch (error) {
      if (!(error instanceof ChannelClosedError || error instanceof LoadFailedError)) throw error;
      this.link?.close();
      return;
    }
    this.computing?.announce(workers);
    this.show("computing");
  }

  private show(phase: DevicePhase, note = "", retry = 0): void {
    Object.assign(this.keeper, { phase, note, retry });
    this.host.onChange(this.state());
  }

  /** The same, where that is of interest: after the end of a run it is not. */
  private showTrying(phase: DevicePhase, note = "", retry = 0): void {
    if (this.finished === null) this.show(phase, note, retry);
  }

  /** Pause before connecting again, counting down. */
  private async rest(): Promise<void> {
    const { note } = this.keeper;
    this.hurried = false;
    for (let left = Math.ceil(this.patience); left > 0 && !this.stopping && !this.hurried; left--) {
      this.showTrying("waiting", note, left);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, 1000);
      });
    }
    if (!this.hurried) this.patience = Math.min(this.patience * 2, LONGEST_PAUSE_SECONDS);
  }

  /** One stay in the tree. Returns the results of the run when it is over; a lost parent is thrown. */
  private async takePart(): Promise<number> {
    const root = await this.open(this.options.url);
    const { session } = this;
    const assigned = await this.receive(root);
    const isSentAway = assigned.tag === "denied" && assigned.reason === SENT_AWAY;
    this.keeper.identity = this.identity.keep();
    this.keeper.kept = isSentAway ? this.keeper.identity : "";
    if (assigned.tag === "denied") throw new JoinRejectedError(sentence(oneLine(assigned.reason)));
    if (assigned.tag !== "assigned") throw new MalformedError("unexpected reply from the root");
    if (session !== null && session.run !== assigned.run) {
      this.dropSession();
      throw new ChannelClosedError("another run has begun");
    }
    this.finished = null;
    this.keeper.beginRun(assigned.run);
    const ready = session ?? (await this.prepare(await this.whole(assigned, root), root));
    this.show("joining");
    this.keeper.linkProblem = this.ways.problem(assigned);
    try {
      return await this.join(ready, root, assigned);
    } finally {
      this.lastInTree = performance.now();
    }
  }

  /** What the root says next, as long as that is of interest. */
  private async receive(root: KeepaliveChannel): Promise<Incoming> {
    const answer = await withTimeout(root.receive(), ANSWER_MILLISECONDS);
    if (answer === null) throw new ChannelClosedError("the root does not answer");
    if (this.stopping) throw new ChannelClosedError("stopped");
    return answer;
  }

  /** Connect to the root, and let it prove that it is the one whose link this is. */
  private async open(url: string): Promise<KeepaliveChannel> {
    if (this.identity.problem) throw new JoinRejectedError(this.identity.problem);
    const socket = await this.connect(url);
    const channel = this.options.relayed ? inParts(socket) : socket;
    this.link = new KeepaliveChannel(channel); // so that whoever stops this device closes it
    try {
      this.link = new KeepaliveChannel(await this.identity.joinRoot(channel, this.hello()));
    } catch (error) {
      throw this.whatFollows(error);
    }
    return this.link;
  }

  /** What becomes of an error of the handshake: whether it is of use to try again. */
  private whatFollows(error: unknown): unknown {
    if (!(error instanceof TrustError)) return error;
    // Who is not the root of the link proves nothing by a refusal; the root may come back.
    const isFinal =
      !this.identity.knowsRoot || (error instanceof JoinRefusedError && error.isProven);
    return isFinal
      ? new JoinRejectedError(sentence(error.message))
      : new ChannelClosedError(error.message);
  }

  private async connect(url: string): Promise<Channel> {
    const channel = await this.host.connect(url);
    if (this.stopping) channel.close();
    return channel;
  }

  /** What this tab says of itself in a handshake. */
  private hello(reports = false): Bytes {
    const { name, workers } = this.options;
    return encode({ tag: "hello", name, workers, run: this.session?.run ?? "", reports });
  }

  /** Connect to the root once more, for reports alone. */
  private async openReportLink(): Promise<KeepaliveChannel> {
    const socket = await this.connect(this.options.url);
    const channel = this.options.relayed ? inParts(socket) : socket;
    try {
      return new KeepaliveChannel(await this.identity.joinRoot(channel, this.hello(true)));
    } catch (error) {
      channel.close();
      throw error;
    }
  }

  private async whole(assigned: RunInfo, root: KeepaliveChannel): Promise<RunInfo> {
    return { ...assigned, function: await joinFunction(assigned, () => this.receive(root)) };
  }

  private async prepare(assigned: RunInfo, root: KeepaliveChannel): Promise<Session> {
    this.show("preparing");
    const { name, workers } = this.options;
    const events: SessionEvents = {
      onItemFailed: (text) => {
        this.keeper.failure = withoutFolders(text);
      },
      onSandboxLost: () => {
        this.dropSession();
        this.link?.close("the browser has ended what ran the function");
      },
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
      await session.loaded;
      return session;
    } catch (error) {
      if (error instanceof LoadFailedError) {
        root.send({ tag: "refused", reason: error.reason, traceback: error.traceback });
      }
      throw error;
    }
  }

  /** Take the place that the root gives, there or below. */
  private async join(session: Session, root: KeepaliveChannel, assigned: RunInfo): Promise<number> {
    const { ways } = this;
    // Who reaches the root itself will reach the others by WebSocket, too, unless it fails.
    let offers = ways.prefersWebRtc(assigned);
    let problem: string | null = null;
    for (;;) {
      const offered = offers ? await ways.offer(assigned) : null;
      let isUsed = false; // then it ends with its link
      try {
        const offer = offered?.offer ?? "";
        if (problem === null) root.send({ tag: "ready", offer });
        else root.send({ tag: "unreachable", reason: problem, offer });
        const answer = await this.receive(root);
        if (answer.tag === "welcome") {
          offered?.peer.close();
          return await this.computeForRoot(session, root, answer.parent, assigned);
        }
        if (answer.tag === "ended") return answer.results;
        if (answer.tag !== "delegated") throw new MalformedError("unexpected reply from the root");
        const found = await ways.findParent(answer, offered, assigned);
        if (typeof found !== "string") {
          this.link = found.link;
          root.send({ tag: "joined" });
          root.close();
          isUsed = found.link.kind === WEBRTC;
          if (!isUsed) offered?.peer.close();
          return await this.begin(session, found.link, found.parent, assigned).run();
        }
        problem = found;
        offers = ways.mayUseWebRtc(assigned);
      } finally {
        if (!isUsed) offered?.peer.close();
      }
    }
  }

  /** Be the root's child, and connect to it by WebRTC meanwhile where that is better. */
  private async computeForRoot(
    session: Session,
    root: KeepaliveChannel,
    parent: Uint8Array,
    assigned: RunInfo,
  ): Promise<number> {
    const first = this.begin(session, root, parent, assigned);
    const second = this.ways.secondLink(first, assigned, (why) => this.noteLink(why));
    this.second = second;
    if (this.options.relayed && root.kind !== WEBRTC) this.keeper.link = RELAYED;
    void second?.start();
    try {
      return await first.run();
    } catch (error) {
      const goesOn = !this.stopping && this.session === session && this.refusal === null;
      const standing = goesOn ? (second?.take() ?? null) : null;
      if (standing === null) throw error;
      this.link = standing.root;
      return await this.join(session, standing.root, standing.assigned);
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
    session.keepReportLink(assigned, () => this.openReportLink());
    const { silence, reportingInterval } = assigned;
    const settings = { workers: this.options.workers, silence, reportingInterval };
    this.computing = new Computing(session, link, parent, settings);
    this.keeper.link = link.kind;
    this.show(this.isPaused ? "paused" : "computing");
    this.patience = FIRST_PAUSE_SECONDS;
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

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
