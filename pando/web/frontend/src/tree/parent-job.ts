/** What a node computes for one parent, as `pando/tree/parent.py` has it: items come in, results go out. */

import type { Capacity, Lend, Recall } from "../messages";
import { Window } from "../scheduler";
import { Job } from "./job";
import type { Node } from "./node";
import { type Answer, Uplink } from "./uplink";

/** More items than there will ever be. */
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

/** The items of one parent, from the welcome to the loss of the link. */
export class ParentJob {
  /** How many results the parent has been sent. */
  delivered = 0;
  /** How many items have been given back to it. */
  returned = 0;
  private readonly uplink: Uplink;
  private readonly job: Job;
  private isLeaving = false;
  /** How many workers the parent knows of; none has been said yet. */
  private wanted: number | null = null;
  private settling: (() => void)[] = [];

  /**
   * @param node - which computes; the job is open from now on.
   * @param device - what the node is called in failures.
   * @param post - sends a message to the parent; it must not throw.
   */
  constructor(
    private readonly node: Node,
    device: string,
    private readonly post: (message: Answer | Capacity) => void,
  ) {
    this.uplink = new Uplink(device);
    const lender = node.lending.newLender({ ordered: false, maxAttempts: 1 });
    lender.isFinal = (index) => this.uplink.isCopy(index);
    this.job = new Job(this.uplink, lender, new Window(UNBOUNDED));
    this.job.cancelled = (start, count) => this.giveBack(start, count);
    this.job.notify = () => this.passResultsUp();
    node.openJob(this.job);
  }

  /** What the node is called in failures from now on. */
  set device(name: string) {
    this.uplink.device = name;
  }

  /** How many items of the parent are here, or below. */
  get held(): number {
    return this.uplink.held;
  }

  /**
   * The parent lends items.
   *
   * @throws MalformedError they are none.
   */
  lend(message: Lend): void {
    // Given back now it would come again at once; it goes back with the link, which is to end.
    if (this.isLeaving) return;
    this.uplink.add(message);
    if (this.node.workers === 0) this.returnAll();
    else this.node.inputReady(this.job);
  }

  /** The parent wants back what has not been started of a lease. */
  recall({ lease, isSuperseded }: Pick<Recall, "lease" | "isSuperseded">): void {
    const [answer, unstarted] = this.uplink.recall({ lease });
    if (answer !== null) {
      this.returned += answer.count;
      this.post(answer);
    }
    if (unstarted !== null) this.node.cancelPending(this.job, ...unstarted, isSuperseded);
  }

  /** Tell the parent how many workers compute here and below, where that has changed. */
  workersChanged(): void {
    const { workers } = this.node;
    if (workers !== this.wanted) {
      this.wanted = workers;
      this.post({ tag: "want", workers, maxValue: this.node.lending.maxValue });
    }
    if (workers === 0) this.returnAll();
  }

  /** Give back what has not been started, since nobody is here to compute it. */
  private returnAll(): void {
    for (const lease of this.uplink.leases) this.recall({ lease, isSuperseded: false });
  }

  /** Give back what has not been started, and take nothing more; settles when nothing is running. */
  leave(): Promise<void> {
    this.isLeaving = true;
    this.node.cancelPending(this.job, 0, UNBOUNDED);
    this.returnAll();
    return this.settled();
  }

  /** Settles when nothing is lent to anybody. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      this.settling.push(resolve);
      this.checkSettled();
    });
  }

  /** The parent is lost, and what it has lent is not this node's any more. */
  close(): void {
    this.node.closeJob(this.job);
    for (const settle of this.settling) settle();
    this.settling = [];
  }

  private giveBack(start: number, count: number): void {
    for (const answer of this.uplink.giveBack(start, count)) {
      this.returned += answer.count;
      this.post(answer);
    }
    this.checkSettled();
  }

  private passResultsUp(): void {
    const { lender } = this.job;
    for (let batch = lender.take(); batch !== undefined; batch = lender.take()) {
      this.delivered += batch.values.length;
      for (const answer of this.uplink.answer(batch, this.node.lending.itemSeconds)) {
        this.post(answer);
      }
    }
    this.checkSettled();
  }

  private checkSettled(): void {
    if (this.settling.length === 0 || this.job.lender.lent > 0) return;
    for (const settle of this.settling) settle();
    this.settling = [];
  }
}
