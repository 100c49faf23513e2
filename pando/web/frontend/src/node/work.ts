/** What a tab has for one run: its workers and what they compute, which outlives a lost parent. */

import { decode as unpack } from "@msgpack/msgpack";

import type { FromWorker, Language } from "../compute/protocol";
import { Tally } from "../compute/report";
import type { Assigned, NodeStatus, Outgoing, Report } from "../messages";
import { split } from "../raw";
import { ChannelClosedError } from "../tree/channel";
import { Crew } from "./crew";
import { Lending } from "./lending";
import { divide } from "./parts";

/** How often it is looked whether an item takes too long, in milliseconds. */
const WATCH_MILLISECONDS = 100;

/** The function cannot be run in this tab, and why. */
export class RefusedError extends Error {
  override name = "RefusedError";

  constructor(
    readonly reason: string,
    readonly traceback: string,
  ) {
    super(reason);
  }
}

/** Takes an answer for the parent; one that is not urgent may wait for others to go along with. */
export type Answer = (message: Outgoing, urgent: boolean) => void;

export interface WorkEvents {
  /** An item has failed: what is shown of it. */
  failed(text: string): void;
  sandboxLost(): void;
  /** The function cannot be run here, or not any more. */
  refused(error: RefusedError): void;
}

export class Work {
  readonly run: string;
  readonly node: Uint8Array;
  readonly name: string;
  readonly language: Language;
  failures = 0;
  private readonly lending: Lending;
  private readonly crew: Crew;
  private readonly ready = new Set<number>();
  private readonly tally = new Tally();
  private watching: ReturnType<typeof setInterval> | null = null;
  private settleLoaded: { resolve(): void; reject(error: Error): void } | null = null;
  private answer: Answer | null = null;
  private drained: (() => void) | null = null;
  /** Settles when the function is loaded in a worker; rejects with `RefusedError`. */
  readonly loaded: Promise<void>;

  constructor(
    assigned: Assigned,
    private readonly device: string,
    private readonly size: number,
    control: MessagePort,
    private readonly events: WorkEvents,
  ) {
    this.run = assigned.run;
    this.node = assigned.node;
    this.name = assigned.name;
    this.language = languageOf(assigned.function);
    this.lending = new Lending(() => performance.now() / 1000, assigned.timeout, device);
    this.loaded = new Promise((resolve, reject) => {
      this.settleLoaded = { resolve, reject };
    });
    this.loaded.catch(() => {}); // whoever waits for it hears of it
    this.crew = new Crew(control, this.language, assigned.function, {
      ready: (worker) => this.workerReady(worker),
      said: (worker, message) => this.hear(worker, message),
      lost: (worker, reason) => {
        this.ready.delete(worker);
        this.lending.removeWorker(worker, reason);
        this.act();
      },
      refused: (reason, traceback) => {
        this.lending.forget(); // no item is to blame: all go back with the link
        this.crew.endAll("the function cannot be loaded");
        const error = new RefusedError(reason, traceback);
        this.settleLoaded?.reject(error);
        events.refused(error);
      },
      sandboxLost: () => events.sandboxLost(),
    });
    if (assigned.timeout !== null) {
      this.watching = setInterval(() => {
        this.lending.checkTime();
        this.act();
      }, WATCH_MILLISECONDS);
    }
    this.crew.resize(size);
  }

  get results(): number {
    return this.lending.results;
  }

  get seconds(): number {
    return this.lending.seconds;
  }

  get busySeconds(): number {
    return this.lending.busySeconds;
  }

  /** What the function has reported of its work here. */
  get reported(): Report | null {
    return this.tally.read();
  }

  get workers(): number {
    return this.ready.size;
  }

  /** Answers go to this parent from now on; null where there is none. */
  answerTo(answer: Answer | null): void {
    if (this.answer !== null && answer === null) this.lending.forget();
    this.answer = answer;
  }

  lend(lease: number, items: Uint8Array): void {
    this.lending.lend(lease, items);
    this.act();
  }

  recall(lease: number): void {
    this.lending.recall(lease);
    this.act();
  }

  /** Give back what has not been started, and settle when what is running is delivered. */
  drain(): Promise<void> {
    this.lending.pause();
    this.act();
    return new Promise((resolve) => {
      this.drained = resolve;
      this.act();
    });
  }

  /** End all workers at once. Nobody is blamed for what they were running. */
  end(): void {
    this.answer = null;
    if (this.watching !== null) clearInterval(this.watching);
    this.settleLoaded?.reject(new ChannelClosedError("stopped"));
    this.crew.endAll("stopped");
  }

  status(parent: Uint8Array): NodeStatus {
    const { node, device, size, results, seconds, reported } = this;
    return { node, parent, name: device, workers: size, children: 0, results, seconds, reported };
  }

  private workerReady(worker: number): void {
    this.ready.add(worker);
    this.settleLoaded?.resolve();
    this.lending.addWorker(worker);
    this.act();
  }

  private hear(
    worker: number,
    message: FromWorker & { is: "results" | "ended early" | "reported" },
  ): void {
    if (message.is === "reported") {
      this.tally.add(message.report);
      return;
    }
    const fits = message.is === "results" ? this.take(worker, message) : this.lending.endEarly(worker, message.batch);
    if (!fits) this.crew.replace(worker, "the worker answers what it was not asked");
    this.act();
  }

  private take(worker: number, message: FromWorker & { is: "results" }): boolean {
    try {
      if (split(message.values).length !== message.count) return false;
    } catch {
      return false;
    }
    return divide(message).every((part) => this.lending.addResults(worker, message.batch, part));
  }

  /** Count and show the items that fail, whether the function has failed or a time limit. */
  private note(message: Outgoing): void {
    if (message.tag === "struck") this.events.failed(message.reason);
    if (message.tag !== "results") return;
    this.failures += message.failures.size;
    const last = [...message.failures.values()].at(-1);
    if (last !== undefined) this.events.failed(last.traceback || `${last.type}: ${last.reason}`);
  }

  /** Do what the lending says. */
  private act(): void {
    const urgent = this.lending.idle;
    for (const action of this.lending.take()) {
      if (action.do === "send") {
        this.note(action.message);
        this.answer?.(action.message, urgent);
      } else if (action.do === "compute") {
        const { number, count, items } = action.batch;
        this.crew.tell(action.worker, { do: "compute", batch: number, count, items }, [items.buffer]);
      } else {
        this.crew.replace(action.worker, "it took too long");
      }
    }
    if (this.drained !== null && !this.lending.busy) {
      this.drained();
      this.drained = null;
    }
  }
}

function languageOf(packed: Uint8Array): Language {
  const tag = unpack(split(packed)[0] ?? new Uint8Array([0xc0]));
  if (tag === "python" || tag === "javascript") return tag;
  throw new RefusedError("browsers do not run functions of this kind", "");
}
