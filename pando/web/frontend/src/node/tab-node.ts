/**
 * The node of a tab: its own workers and its children are borrowers of what the parent lends.
 *
 * The tab's workers are one borrower together. Which of them computes what is `LeafScheduler`'s,
 * which knows of their time limits and of how they are lost.
 */

import type { Capacity, Lend, Outgoing, Recall, RunInfo } from "../messages";
import { Borrower } from "../scheduler";
import { creditForOwnWorkers } from "../tree/child";
import { MAX_VALUE_BYTES } from "../tree/large-messages";
import type { FromBorrower } from "../tree/lending";
import { Node } from "../tree/node";
import { ParentJob } from "../tree/parent-job";
import type { Answer } from "../tree/uplink";
import { LeafScheduler } from "./leaf-scheduler";

/** Sends a message to the parent; it does not throw. */
export type Post = (message: Answer | Capacity) => void;

export class TabNode {
  /** Lends to the tab's workers, and to its children: whoever serves one adds and removes it. */
  readonly node: Node;
  /** Hands to the tab's workers what is lent to them; what it says is carried out by the session. */
  readonly scheduler: LeafScheduler;
  private readonly own: Borrower;
  private job: ParentJob | null = null;
  private returnedBefore = 0;

  /**
   * @param assigned - what the root says of the run.
   * @param device - what this node is called in failures.
   * @param workers - how many workers this tab has.
   * @param act - called when the scheduler may have something to do.
   * @param say - told what the person at this device should know.
   */
  constructor(
    { timeout, batchLimit, silence, speculate }: RunInfo,
    device: string,
    workers: number,
    private readonly act: () => void,
    say: (text: string) => void = () => {},
  ) {
    this.scheduler = new LeafScheduler(() => performance.now() / 1000, timeout, device);
    this.node = new Node({
      itemTimeout: timeout,
      batchLimit,
      silence,
      maxValue: MAX_VALUE_BYTES,
      speculates: speculate,
      say,
    });
    this.own = new Borrower("this tab", creditForOwnWorkers(workers));
    this.node.add(this.own, (message) => this.lendToWorkers(message));
  }

  /** How many items have been given back to parents. */
  get returned(): number {
    return this.returnedBefore + (this.job?.returned ?? 0);
  }

  /** How many workers the children have, and those below them. */
  get workersBelow(): number {
    return Math.max(0, this.node.workers - this.own.workers);
  }

  /** Whether somebody here or below has nothing to do: then the parent is to hear at once. */
  get isHungry(): boolean {
    const { lending } = this.node;
    const onlyChildren = this.own.hasNoWorkers && lending.borrowers.length > 1;
    return lending.hasIdleBorrower || (!onlyChildren && this.scheduler.idle);
  }

  // ---- the parent ----

  /** Compute for this parent from now on; for none where there is nobody to tell. */
  answerTo(post: Post | null): void {
    if (this.job !== null) {
      this.job.close();
      this.returnedBefore += this.job.returned;
      this.scheduler.forget();
    }
    const { device } = this.scheduler;
    this.job = post === null ? null : new ParentJob(this.node, device, post);
  }

  /**
   * The parent lends items.
   *
   * @throws MalformedError they are none.
   */
  lend(message: Lend): void {
    this.job?.lend(message);
  }

  /** The parent wants back what has not been started of a lease. */
  recall(message: Recall): void {
    this.job?.recall(message);
  }

  /** Tell the parent how many workers compute here and below, where that has changed. */
  workersChanged(): void {
    this.job?.workersChanged();
  }

  /** Give back what has not been started, take nothing more; settles when nothing runs here or below. */
  async leave(): Promise<void> {
    const settled = this.job?.leave();
    this.scheduler.leave();
    this.act();
    await settled;
  }

  // ---- the tab's workers ----

  /** This tab has so many workers from now on; none where its person has paused it. */
  announce(workers: number): void {
    this.node.handle(this.own, { tag: "want", workers, maxValue: MAX_VALUE_BYTES });
    this.workersChanged();
  }

  /** Name this node otherwise in failures from now on. */
  rename(device: string): void {
    this.scheduler.device = device;
    if (this.job !== null) this.job.device = device;
  }

  /** Take in what the tab's workers say of items. */
  hear(message: FromBorrower): void {
    this.node.handle(this.own, message);
  }

  private lendToWorkers(message: Outgoing): void {
    if (message.tag === "lend") this.scheduler.lend(message.lease, message.items);
    if (message.tag === "recall") this.scheduler.recall(message.lease, message.isSuperseded);
    this.act();
  }

  /** Do nothing more as time goes by. */
  close(): void {
    this.node.close();
  }
}
