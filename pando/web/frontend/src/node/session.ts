/** What a tab has for one run: its workers and what they compute, which outlives a lost parent. */

import type { FromWorker, Language } from "../compute/protocol";
import { ReportSum } from "../compute/report-sum";
import { ChannelClosedError, LoadFailedError } from "../errors";
import type { Outgoing, Report, RunInfo } from "../messages";
import { split } from "../msgpack-slices";
import type { Update } from "../reporting/records";
import { oneLine } from "../text";
import { type KeepaliveChannel, Traffic } from "../tree/keepalive";
import { lendToChild } from "./child-borrower";
import { Children, type ChildrenHost } from "./children";
import { languageOf } from "./function-parts";
import type { Action, LeafScheduler } from "./leaf-scheduler";
import { ReportLink } from "./report-link";
import { type Measured, Reporter, type State } from "./reports";
import { splitResults } from "./split-results";
import { TabNode } from "./tab-node";
import { sleep } from "./timers";
import type { TurnRenewal } from "./turn-renewal";
import { WorkerMeter } from "./worker-meter";
import { WorkerPool } from "./worker-pool";

/** How often it is looked whether an item takes too long, in milliseconds. */
const WATCH_MILLISECONDS = 100;

/** Takes an answer for the parent; one that is not urgent may wait for others to go along with. */
export type Answer = (message: Outgoing, urgent: boolean) => void;

export interface SessionEvents {
  /** An item has failed: what is shown of it. */
  onItemFailed(text: string): void;
  onSandboxLost(): void;
  /** The function cannot be run here, or not any more. */
  onLoadFailed(error: LoadFailedError): void;
}

export class Session {
  readonly run: string;
  readonly node: Uint8Array;
  readonly name: string;
  readonly language: Language;
  failures = 0;
  /** What is transferred on the links to its parents. */
  readonly traffic = new Traffic();
  /** The parent, while there is one. */
  private parent: Uint8Array = new Uint8Array();
  private readonly reporter: Reporter;
  /** Of the reports straight to the root, which go on without a parent. */
  private readonly globalReporter: Reporter;
  private reportLink: ReportLink | null = null;
  /** Of the passwords for TURN servers, where there are any. */
  renewal: TurnRenewal | null = null;
  private readonly meter: WorkerMeter;
  private readonly assigned: RunInfo;
  /** Whether the person at this device has paused it: then there are no workers. */
  isPaused = false;
  /** What lends the parent's items to the workers, and to children. */
  readonly tabNode: TabNode;
  private pool: WorkerPool;
  /** Where others may connect to it; null until then. */
  children: Children | null = null;
  /** Told when the children have other numbers of workers. */
  onWorkersBelow: () => void = () => {};
  private readonly ready = new Set<number>();
  private readonly tally = new ReportSum();
  private watching: ReturnType<typeof setInterval> | null = null;
  private settleLoaded: { resolve(): void; reject(error: Error): void } | null = null;
  /** When a worker last had something to do. */
  private lastBusy = performance.now();
  private wasBusy = false;
  private isActing = false;
  private drained: (() => void) | null = null;
  /** Settles when the function is loaded in a worker; rejects with `LoadFailedError`. */
  loaded!: Promise<void>;

  constructor(
    assigned: RunInfo,
    device: string,
    size: number,
    control: MessagePort,
    private readonly events: SessionEvents,
  ) {
    this.assigned = assigned;
    this.run = assigned.run;
    this.node = assigned.node;
    this.name = oneLine(assigned.name);
    const now = performance.now() / 1000;
    const described = { node: this.node, name: device, workers: size };
    this.reporter = new Reporter(described, now, assigned.reportingInterval);
    this.globalReporter = new Reporter(described, now, assigned.reportingInterval);
    this.meter = new WorkerMeter(size, now);
    this.language = languageOf(assigned.function);
    this.tabNode = new TabNode(assigned, device, size, () => this.act());
    if (assigned.timeout !== null) {
      this.watching = setInterval(() => {
        this.scheduler.checkTime();
        this.act();
      }, WATCH_MILLISECONDS);
    }
    this.pool = this.openPool(control, size);
  }

  /** Have workers in a sandbox. */
  private openPool(control: MessagePort, size: number): WorkerPool {
    this.loaded = new Promise((resolve, reject) => {
      this.settleLoaded = { resolve, reject };
    });
    this.loaded.catch(() => {}); // whoever waits for it hears of it
    const pool = new WorkerPool(control, this.language, this.assigned.function, {
      onReady: (worker) => this.workerReady(worker),
      onMessage: (worker, message) => this.onMessage(worker, message),
      onLost: (worker, reason) => {
        this.noteWorkers(() => this.ready.delete(worker));
        this.scheduler.removeWorker(worker, reason);
        this.act();
      },
      onLoadFailed: (reason, traceback) => {
        this.scheduler.forget(); // no item is to blame: all go back with the link
        this.pool.endAll("the function cannot be loaded");
        const error = new LoadFailedError(reason, traceback);
        this.settleLoaded?.reject(error);
        this.events.onLoadFailed(error);
      },
      onSandboxLost: () => this.events.onSandboxLost(),
    });
    pool.resize(size);
    return pool;
  }

  private get scheduler(): LeafScheduler {
    return this.tabNode.scheduler;
  }

  get results(): number {
    return this.scheduler.results;
  }

  /** For how long no worker has had anything to do. */
  get idleMilliseconds(): number {
    this.noteBusy();
    return performance.now() - this.lastBusy;
  }

  private noteBusy(): void {
    const { busy } = this.scheduler;
    if (busy || this.wasBusy) this.lastBusy = performance.now();
    this.wasBusy = busy;
  }

  get seconds(): number {
    return this.scheduler.seconds;
  }

  get busySeconds(): number {
    return this.scheduler.busySeconds;
  }

  /** What the function has reported of its work here. */
  get reported(): Report | null {
    return this.tally.read();
  }

  get workers(): number {
    return this.ready.size;
  }

  /** Answers go to this parent from now on; null where there is none. */
  answerTo(answer: Answer | null, parent: Uint8Array = new Uint8Array()): void {
    this.parent = parent;
    this.tabNode.answerTo(
      answer &&
        ((message) => {
          // How many workers there are is told together with what else the parent is to know.
          if (message.tag !== "want") answer(message, this.tabNode.isHungry);
        }),
    );
    this.reporter.introduce();
  }

  /** Let other devices connect to this one, where the run's nodes have children. */
  openToOthers(host: Omit<ChildrenHost, "lend" | "onChange">): void {
    const { degree, bootstrapTimeout, silence, delegates } = this.assigned;
    if (!delegates) return;
    const { node, traffic } = this;
    const { ledger } = this.reporter;
    const onChange = (): void => {
      this.tabNode.workersChanged();
      this.onWorkersBelow();
    };
    this.children = new Children(
      {
        ...host,
        lend: (channel, borrower) => lendToChild(this.tabNode, channel, borrower, onChange),
        onChange,
      },
      { node, degree, bootstrapTimeout, silence, traffic, ledger },
    );
  }

  /** How many workers the children have, and those below them. */
  get workersBelow(): number {
    return this.tabNode.workersBelow;
  }

  private noteWorkers(change: () => void): void {
    this.passTime(performance.now() / 1000);
    change();
  }

  private passTime(now: number): void {
    this.meter.pass(this.ready.size, this.isPaused, now);
  }

  /** Give back what has not been started, and settle when what is running is delivered. */
  async drain(): Promise<void> {
    await Promise.all([this.tabNode.leave(), this.settle()]);
  }

  /** The same for a while; what takes longer than this is given back, and the workers are ended. */
  async pause(milliseconds: number): Promise<void> {
    this.noteWorkers(() => {
      this.isPaused = true;
    });
    this.scheduler.pause();
    await Promise.race([this.settle(), sleep(milliseconds)]);
    if (!this.isPaused) return; // it was ended meanwhile
    this.scheduler.interrupt();
    this.act();
    this.pool.endAll("paused");
    this.act();
  }

  /** Have workers again, in a new sandbox; settles when the function is loaded in one of them. */
  resume(control: MessagePort, device: string, size: number): Promise<void> {
    this.noteWorkers(() => {
      this.isPaused = false;
      this.meter.size = size;
    });
    this.tabNode.rename(device);
    const described = { node: this.node, name: device, workers: size };
    this.reporter.describe(described);
    this.globalReporter.describe(described);
    this.pool = this.openPool(control, size);
    this.scheduler.resume();
    return this.loaded;
  }

  /** Settle when no worker has anything to do. */
  private settle(): Promise<void> {
    return new Promise((resolve) => {
      this.drained = resolve;
      this.act();
    });
  }

  /** End all workers at once. Nobody is blamed for what they were running. */
  end(): void {
    this.children?.close();
    this.tabNode.answerTo(null);
    this.tabNode.close();
    this.reportLink?.stop();
    this.renewal?.stop();
    this.isPaused = false;
    if (this.watching !== null) clearInterval(this.watching);
    this.settleLoaded?.reject(new ChannelClosedError("stopped"));
    this.pool.endAll("stopped");
  }

  /** What is told the parent of this tab, over a link of this kind, whose round trip is in milliseconds. */
  report(parent: Uint8Array, link: string, roundTrip: number): Update {
    const now = performance.now() / 1000;
    const children = this.children?.count ?? 0;
    return this.reporter.report(this.measure(now), parent, now, link, roundTrip, children);
  }

  /** Report straight to the root, too, from now on. */
  keepReportLink(assigned: RunInfo, open: () => Promise<KeepaliveChannel>): void {
    if (this.reportLink !== null || !assigned.globalMonitoring) return;
    const report = (isFirst: boolean): Update => {
      const now = performance.now() / 1000;
      if (isFirst) this.globalReporter.introduce();
      return this.globalReporter.report(this.measure(now), this.parent, now);
    };
    const { reportingInterval: interval, silence } = assigned;
    this.reportLink = new ReportLink({ open, report, interval, silence });
    void this.reportLink.run();
  }

  private measure(now: number): Measured {
    const { scheduler, meter, traffic } = this;
    this.passTime(now);
    return {
      items: this.results,
      functionSeconds: this.seconds,
      pausedSeconds: meter.pausedSeconds,
      starvedSeconds: Math.max(0, meter.readySeconds - this.busySeconds),
      loadingSeconds: meter.missingSeconds,
      bytesIn: traffic.bytesIn,
      bytesOut: traffic.bytesOut,
      transferSeconds: traffic.seconds,
      failed: this.failures,
      returned: this.tabNode.returned,
      reported: this.reported,
      state: this.state,
      held: scheduler.held,
    };
  }

  /** What its workers do, or wait for. */
  private get state(): State {
    if (this.isPaused) return "paused";
    if (this.scheduler.busy) return "computing";
    return this.ready.size === 0 ? "loading" : "starved";
  }

  private workerReady(worker: number): void {
    this.noteWorkers(() => this.ready.add(worker));
    this.settleLoaded?.resolve();
    this.scheduler.addWorker(worker);
    this.act();
  }

  private onMessage(
    worker: number,
    message: FromWorker & { type: "results" | "batchTruncated" | "reported" },
  ): void {
    if (message.type === "reported") {
      this.tally.add(message.report);
      return;
    }
    const fits =
      message.type === "results"
        ? this.take(worker, message)
        : this.scheduler.truncateBatch(worker, message.batch);
    if (!fits) this.pool.replace(worker, "unsolicited results");
    this.act();
  }

  private take(worker: number, message: FromWorker & { type: "results" }): boolean {
    try {
      if (split(message.values).length !== message.count) return false;
    } catch {
      return false;
    }
    return splitResults(message).every((part) =>
      this.scheduler.addResults(worker, message.batch, part),
    );
  }

  /** Count and show the items that fail, whether the function has failed or a time limit. */
  private note(message: Outgoing): void {
    if (message.tag === "struck") this.events.onItemFailed(message.reason);
    if (message.tag !== "results") return;
    this.failures += message.failures.size;
    const last = [...message.failures.values()].at(-1);
    if (last !== undefined)
      this.events.onItemFailed(last.traceback || `${last.type}: ${last.reason}`);
  }

  /** Do what the scheduler says, in order; what the node lends meanwhile comes after it. */
  private act(): void {
    if (this.isActing) return;
    this.isActing = true;
    this.noteBusy();
    for (let due = this.scheduler.take(); due.length > 0; due = this.scheduler.take()) {
      due.forEach((action) => this.carryOut(action));
    }
    this.isActing = false;
    if (this.drained !== null && !this.scheduler.busy) {
      this.drained();
      this.drained = null;
    }
  }

  private carryOut(action: Action): void {
    if (action.type === "send") {
      this.note(action.message);
      this.tabNode.hear(action.message);
    } else if (action.type === "compute") {
      const { number, count, items } = action.batch;
      const message = { type: "compute", batch: number, count, items } as const;
      this.pool.post(action.worker, message, [items.buffer]);
    } else {
      this.pool.replace(action.worker, "it took too long");
    }
  }
}
