/**
 * A tab as an inner node: its own workers and its children are borrowers of one lender.
 *
 * A tab without children passes its parent's leases straight to its workers. With the first child new leases go to
 * the lender; what the workers hold until then they finish as they have it. Leases of the lender have negative
 * numbers at the workers, so that the two kinds cannot be mistaken for each other.
 */

import type { FromBorrower } from "../child-messages";
import { ChannelClosedError, LeftError, MalformedError } from "../errors";
import type { Lend, Outgoing, Recall, RunInfo } from "../messages";
import { Borrower, type Loss, Source, THIS_MACHINE } from "../scheduler";
import { creditForChild, creditForOwnWorkers } from "../tree/child";
import { Node } from "../tree/node";
import { ParentJob } from "../tree/parent-job";
import type { BorrowerChannel, BorrowerInfo } from "./children";
import { MAX_VALUES_BYTES } from "./split-results";

export interface InnerHost {
  /** Have this tab's workers compute items. */
  lend(lease: number, items: Uint8Array): void;
  /** Have this tab's workers give back what they have not started. */
  recall(lease: number, isSuperseded: boolean): void;
  /** Tell the parent of items. */
  answer(message: Outgoing): void;
  /** The children have other numbers of workers. */
  onWorkers(): void;
}

export class InnerNode {
  private readonly node: Node;
  private readonly own: Borrower;
  private job: ParentJob | null = null;
  private hasParent = false;
  private isInner = false;

  constructor(
    private readonly host: InnerHost,
    assigned: Pick<RunInfo, "timeout" | "batchLimit" | "silence" | "speculate">,
    private readonly device: string,
    private ownWorkers: number,
  ) {
    this.node = new Node({
      batchLimit: assigned.batchLimit,
      itemTimeout: assigned.timeout,
      silence: assigned.silence,
      speculates: assigned.speculate,
    });
    this.own = new Borrower(device, creditForOwnWorkers(ownWorkers), { source: THIS_MACHINE });
  }

  /** How many workers the children have, and those below them. */
  get workersBelow(): number {
    return this.isInner ? Math.max(0, this.node.workers - this.own.workers) : 0;
  }

  /** Whether a borrower has nothing to do. */
  get hasIdle(): boolean {
    return this.node.lending.hasIdleBorrower;
  }

  // ---- the parent ----

  /** There is a parent from now on, or none any more: then what it has lent is nobody's. */
  setParent(hasParent: boolean): void {
    this.hasParent = hasParent;
    this.job?.close();
    this.job = hasParent && this.isInner ? this.openJob() : null;
  }

  private openJob(): ParentJob {
    return new ParentJob(this.node, this.device, (message) => {
      if (message.tag !== "want") this.host.answer(message); // the tab says itself what it can take
    });
  }

  lend(message: Lend): void {
    if (this.job === null) this.host.lend(message.lease, message.items);
    else this.job.lend(message);
  }

  recall({ lease, isSuperseded }: Recall): void {
    this.job?.recall({ lease, isSuperseded });
    this.host.recall(lease, isSuperseded); // where the workers have it from the parent itself
  }

  /** Give back what has not been started; settles when nothing is running here or below. */
  async leave(): Promise<void> {
    await this.job?.leave();
  }

  // ---- borrowers ----

  /** This tab has so many workers now; none while it is paused. */
  setOwnWorkers(workers: number): void {
    this.ownWorkers = workers;
    if (!this.isInner) return;
    this.node.handle(this.own, { tag: "want", workers, maxValue: 0 });
    this.job?.workersChanged();
  }

  /**
   * Take what the workers say of a lease.
   *
   * @returns whether it is one of the lender's; else it is the parent's.
   */
  take(message: FromBorrower): boolean {
    if (message.tag === "want" || message.lease >= 0) return false;
    this.node.handle(this.own, { ...message, lease: -message.lease });
    return true;
  }

  /** Lend to a child until its channel ends; what it holds then is lent to others. */
  async serve(channel: BorrowerChannel, { node, name, workers }: BorrowerInfo): Promise<void> {
    this.becomeInner();
    const source = new Source(String(node), String(node), false);
    const borrower = new Borrower(name, creditForChild(workers), {
      maxBytes: MAX_VALUES_BYTES,
      source,
    });
    this.node.add(borrower, (message) => {
      try {
        channel.send(message as Lend | Recall);
      } catch {
        channel.close(); // whoever receives notices
      }
    });
    let loss: Loss = {};
    try {
      this.noteWorkers();
      for (;;) {
        const message = await channel.receive();
        this.node.handle(borrower, message);
        if (message.tag === "want") this.noteWorkers();
      }
    } catch (error) {
      loss = readLoss(error, channel.fellSilent());
    } finally {
      channel.close();
      this.node.remove(borrower, loss);
      this.noteWorkers();
    }
  }

  private noteWorkers(): void {
    this.job?.workersChanged();
    this.host.onWorkers();
  }

  private becomeInner(): void {
    if (this.isInner) return;
    this.isInner = true;
    this.node.add(this.own, (message) => this.toOwn(message));
    if (this.ownWorkers === 0) this.setOwnWorkers(0);
    if (this.hasParent) this.job = this.openJob();
  }

  private toOwn(message: Outgoing): void {
    if (message.tag === "lend") this.host.lend(-message.lease, message.items);
    else if (message.tag === "recall") this.host.recall(-message.lease, message.isSuperseded);
  }

  close(): void {
    this.setParent(false);
    this.node.close();
  }
}

/** How a child was lost: nobody is to blame where it has left in order, or was sent away. */
function readLoss(error: unknown, fellSilent: boolean): Loss {
  if (error instanceof LeftError || error instanceof MalformedError) return {};
  if (!(error instanceof ChannelClosedError)) throw error;
  return { lost: error.message, mayReturn: fellSilent };
}
