/** A tab that volunteers: it connects, takes its place in the tree, and comes back. */

import { type Assigned, type Incoming, type Outgoing, type Report, VERSION } from "../messages";
import { MalformedError } from "../raw";
import { type Channel, ChannelClosedError } from "../tree/channel";
import { Link } from "../tree/link";
import { findParent } from "./parent";
import { sleep, soon } from "./waiting";
import { RefusedError, Work, type WorkEvents } from "./work";

const FIRST_PAUSE_SECONDS = 1;
/** Pauses between two tries to connect grow to this. */
const LONGEST_PAUSE_SECONDS = 15;
/** How long leaving in order may take: what is finished is delivered first. */
const LEAVE_MILLISECONDS = 1000;
/** How long a run whose root cannot be reached is waited for, before its workers are ended. */
const LOST_RUN_MILLISECONDS = 30_000;
/** How long the root may take to answer: it may have to ask its children for a place. */
const ANSWER_MILLISECONDS = 120_000;

export type State = "connecting" | "preparing" | "joining" | "computing" | "waiting" | "stopped" | "refused";

export interface Figures {
  state: State;
  /** Words for the person at the device; empty where there is nothing to say. */
  note: string;
  /** Seconds until it connects again, where it waits for that. */
  retry: number;
  function: string;
  workers: number;
  results: number;
  failures: number;
  /** Seconds of the workers' time spent computing, and with anything to do at all. */
  computing: number;
  busy: number;
  /** What the function reports of its work in this run, if it does. */
  reported: Report | null;
  /** The text of the last item that failed. */
  failure: string;
}

export interface DeviceOptions {
  /** Of the root, such as `ws://192.168.1.7:5000/node`. */
  url: string;
  token: string;
  name: string;
  workers: number;
}

export interface Surroundings {
  connect(url: string): Promise<Channel>;
  /** A new port to a new sandbox, for a run. */
  openSandbox(run: string): Promise<MessagePort>;
  changed(figures: Figures): void;
}

/** The root does not let this device in. */
class DeniedError extends Error {}

export class Device {
  private work: Work | null = null;
  private link: Link | null = null;
  private stopping = false;
  private pause = FIRST_PAUSE_SECONDS;
  private before = { results: 0, failures: 0, seconds: 0, busy: 0 };
  private wake: (() => void) | null = null;
  private abandon: () => void = () => {};
  /** Rejects when this device has been stopped: whatever else it waits for is of no use then. */
  private readonly stopped = new Promise<never>((_, reject) => {
    this.abandon = () => reject(new ChannelClosedError("stopped"));
  });
  /** Why this device cannot go on, if that has turned out while it took part. */
  private refusal: RefusedError | null = null;
  private lastInTree = performance.now();
  private shown = { state: "connecting" as State, note: "", retry: 0, failure: "" };

  constructor(
    private readonly options: DeviceOptions,
    private readonly around: Surroundings,
  ) {
    this.stopped.catch(() => {}); // it may be stopped while nobody waits
  }

  figures(): Figures {
    const { work, before } = this;
    return {
      ...this.shown,
      function: work?.name ?? "",
      workers: work?.workers ?? 0,
      results: before.results + (work?.results ?? 0),
      failures: before.failures + (work?.failures ?? 0),
      computing: before.seconds + (work?.seconds ?? 0),
      reported: work?.reported ?? null,
      busy: before.busy + (work?.busySeconds ?? 0),
    };
  }

  /** Take part until stopped, or until it turns out that this device cannot. */
  async run(): Promise<void> {
    while (!this.stopping) {
      try {
        this.show("connecting");
        await Promise.race([this.takePart(), this.stopped]);
        this.dropWork();
        this.show("waiting", "The run is over. Waiting for the next one.");
      } catch (caught) {
        const error = this.refusal ?? caught;
        if (error instanceof RefusedError || error instanceof DeniedError) {
          this.dropWork();
          this.stopping = true;
          this.show("refused", error.message);
          return;
        }
        if (performance.now() - this.lastInTree > LOST_RUN_MILLISECONDS) this.dropWork();
        if (!(error instanceof ChannelClosedError || error instanceof MalformedError)) throw error;
        this.show("waiting", this.stopping ? "" : `${sentence(error.message)}`);
      } finally {
        this.link?.close();
        this.link = null;
      }
      if (!this.stopping) await this.rest();
    }
    this.dropWork();
    this.show("stopped");
  }

  /** Leave in order: what is running is delivered if it takes no longer than a moment. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.wake?.();
    const { work, link } = this;
    if (work !== null && link !== null && this.shown.state === "computing") {
      await Promise.race([work.drain(), sleep(LEAVE_MILLISECONDS)]);
      try {
        link.send({ tag: "leaving" });
      } catch {
        // the parent is gone, and knows
      }
    }
    this.dropWork();
    link?.close();
    this.abandon();
  }

  private show(state: State, note = "", retry = 0): void {
    this.shown = { ...this.shown, state, note, retry };
    this.around.changed(this.figures());
  }

  /** Pause before connecting again, counting down. */
  private async rest(): Promise<void> {
    const { note } = this.shown;
    for (let left = Math.ceil(this.pause); left > 0 && !this.stopping; left--) {
      this.show("waiting", note, left);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, 1000);
      });
    }
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_SECONDS);
  }

  /** One stay in the tree. Returns when the run is over; a lost parent is thrown. */
  private async takePart(): Promise<void> {
    const root = await this.open(this.options.url);
    const { work } = this;
    root.send(this.hello(work, { token: this.options.token }));
    const assigned = await this.hear(root);
    if (assigned.tag === "denied") throw new DeniedError(sentence(assigned.reason));
    if (assigned.tag !== "assigned") throw new MalformedError("the root does not answer as one");
    if (assigned.version !== VERSION) {
      throw new DeniedError("The root speaks another version of the protocol: load this page again.");
    }
    if (work !== null && work.run !== assigned.run) {
      this.dropWork();
      throw new ChannelClosedError("another run has begun");
    }
    const ready = work ?? (await this.prepare(await this.receiveFunction(assigned, root), root));
    root.send({ tag: "ready" });
    this.show("joining");
    await this.join(ready, root, assigned);
  }

  /** What the root says next, as long as that is of interest. */
  private async hear(root: Link): Promise<Incoming> {
    const answer = await soon(root.receive(), ANSWER_MILLISECONDS);
    if (answer === null) throw new ChannelClosedError("the root does not answer");
    if (this.stopping) throw new ChannelClosedError("stopped");
    return answer;
  }

  private async open(url: string): Promise<Link> {
    this.link = new Link(await this.connect(url));
    return this.link;
  }

  private async connect(url: string): Promise<Channel> {
    const channel = await this.around.connect(url);
    if (this.stopping) channel.close();
    return channel;
  }

  private hello(work: Work | null, ticketOrToken: { token?: string; ticket?: string }): Outgoing {
    return {
      tag: "hello",
      version: VERSION,
      name: this.options.name,
      workers: this.options.workers,
      node: work?.node ?? new Uint8Array(0),
      run: work?.run ?? "",
      token: "",
      ticket: "",
      ...ticketOrToken,
    };
  }

  /** What the root has assigned, with the function that follows in parts. */
  private async receiveFunction(assigned: Assigned, root: Link): Promise<Assigned> {
    if (assigned.parts === 0) return assigned;
    const parts: Uint8Array[] = [];
    while (parts.length < assigned.parts) {
      const part = await this.hear(root);
      if (part.tag !== "function part") throw new MalformedError("the function is not sent whole");
      parts.push(part.data);
    }
    const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let start = 0;
    for (const part of parts) {
      whole.set(part, start);
      start += part.length;
    }
    return { ...assigned, function: whole };
  }

  private async prepare(assigned: Assigned, root: Link): Promise<Work> {
    this.show("preparing");
    const { name, workers } = this.options;
    const events: WorkEvents = {
      failed: (text) => {
        this.shown.failure = text;
      },
      sandboxLost: () => {
        this.dropWork();
        this.link?.close("the browser has ended what ran the function");
      },
      refused: (error) => {
        this.refusal = error;
        if (this.shown.state !== "preparing") this.link?.close();
      },
    };
    try {
      const sandbox = await this.around.openSandbox(assigned.run);
      if (this.stopping) throw new ChannelClosedError("stopped");
      const work = new Work(assigned, name, workers, sandbox, events);
      this.work = work;
      await work.loaded;
      return work;
    } catch (error) {
      if (error instanceof RefusedError) {
        root.send({ tag: "refused", reason: error.reason, traceback: error.traceback });
      }
      throw error;
    }
  }

  /** Take the place that the root gives, there or below. */
  private async join(work: Work, root: Link, assigned: Assigned): Promise<void> {
    for (;;) {
      const answer = await this.hear(root);
      if (answer.tag === "welcome") return this.compute(work, root, answer.parent, assigned);
      if (answer.tag === "ended") return;
      if (answer.tag === "delegated") {
        const hello = this.hello(work, { ticket: answer.ticket });
        const found = await findParent((url) => this.connect(url), answer.addresses, hello);
        if (typeof found !== "string") {
          this.link = found.link;
          root.send({ tag: "joined" });
          root.close();
          return this.compute(work, found.link, found.parent, assigned);
        }
        root.send({ tag: "unreachable", reason: found });
      }
    }
  }

  /** Be the child of whoever is at the other end, until the run is over. */
  private async compute(work: Work, link: Link, parent: Uint8Array, assigned: Assigned): Promise<void> {
    this.show("computing");
    this.pause = FIRST_PAUSE_SECONDS;
    link.beat(assigned.silence);
    const send = (message: Outgoing, urgent = true): void => {
      try {
        if (urgent) link.send(message);
        else link.post(message);
      } catch {
        link.close(); // whoever reads notices, too
      }
    };
    work.answerTo(send);
    send({ tag: "want", workers: this.options.workers });
    const reporting = setInterval(
      () => send({ tag: "status", nodes: [work.status(parent)] }),
      assigned.reportingInterval * 1000,
    );
    try {
      for (;;) {
        if (this.handle(work, await link.receive(), send)) return;
      }
    } finally {
      clearInterval(reporting);
      work.answerTo(null);
      this.lastInTree = performance.now();
    }
  }

  /** A parent's message; whether the run is over. */
  private handle(work: Work, message: Incoming, send: (message: Outgoing) => void): boolean {
    switch (message.tag) {
      case "lend":
        work.lend(message.lease, message.items);
        return false;
      case "recall":
        work.recall(message.lease);
        return false;
      case "join":
        // A browser takes no children in.
        send({ tag: "offer", origin: message.origin, parent: work.node });
        return false;
      case "ended":
        return true;
      default:
        throw new MalformedError(`an unexpected message, ${message.tag}`);
    }
  }

  private dropWork(): void {
    const { work, before } = this;
    if (work === null) return;
    before.results += work.results;
    before.failures += work.failures;
    before.seconds += work.seconds;
    before.busy += work.busySeconds;
    this.work = null;
    work.end();
  }
}

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
