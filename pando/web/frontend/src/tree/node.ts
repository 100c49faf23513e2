/** A node lends to its own workers and to its children: it carries out what `Lending` says. */

import type { Outgoing } from "../messages";
import type { Borrower, Loss } from "../scheduler";
import type { Action } from "./actions";
import type { Job } from "./job";
import { type FromBorrower, Lending, type LendingOptions } from "./lending";

/** How soon it is asked whether an idle borrower could take over somebody's work. */
const BALANCE_MILLISECONDS = 20;
/** How soon it is asked again, at the latest, when there was nothing to take over. */
const MAX_BALANCE_MILLISECONDS = 320;
/** How often pauses and deadlines are looked at, where there are any. */
const TICK_MILLISECONDS = 100;

/** Sends a message to a borrower; it must not throw. */
export type Send = (message: Outgoing) => void;

export interface NodeOptions extends LendingOptions {
  /** Told what the person at this device should know. */
  say?(text: string): void;
}

/** Lends items to borrowers and gathers their results. */
export class Node {
  /** The decisions, and the figures. Only this node tells it what happens. */
  readonly lending: Lending;
  private readonly sends = new Map<Borrower, Send>();
  private readonly say: (text: string) => void;
  /** What is still to be done, in order; what borrowers answer at once comes behind it. */
  private due: Action[] = [];
  private isActing = false;
  private isClosed = false;
  private balancing: ReturnType<typeof setTimeout> | null = null;
  private ticking: ReturnType<typeof setTimeout> | null = null;

  constructor(options: NodeOptions = {}) {
    this.lending = new Lending(() => performance.now() / 1000, options);
    this.say = options.say ?? (() => {});
  }

  /** How many workers compute here and below. */
  get workers(): number {
    return this.lending.workers;
  }

  // ---- jobs ----

  /** Lend a job's items from now on, besides those of other jobs. */
  openJob(job: Job): void {
    this.do(this.lending.openJob(job));
  }

  /** Lend no more of a job; what has not been started comes back and is dropped. */
  closeJob(job: Job): void {
    this.do(this.lending.closeJob(job));
  }

  /** Read from a job's source again, which may give something now. */
  inputReady(job: Job): void {
    this.do(this.lending.inputReady(job));
  }

  /** See `Lending.cancelPending`. */
  cancelPending(job: Job, low: number, high: number, isSuperseded = false): void {
    this.do(this.lending.cancelPending(job, low, high, isSuperseded));
  }

  // ---- borrowers ----

  /** Lend to a borrower from now on, until it is removed. */
  add(borrower: Borrower, send: Send): void {
    this.sends.set(borrower, send);
    this.do(this.lending.add(borrower));
  }

  /**
   * Give back what a borrower held: it is gone.
   *
   * @returns how many items it held.
   */
  remove(borrower: Borrower, loss: Loss = {}): number {
    if (!this.sends.delete(borrower)) return 0;
    const held = this.lending.jobs.reduce((sum, { lender }) => sum + lender.countLent(borrower), 0);
    this.do(this.lending.remove(borrower, loss));
    return held;
  }

  /**
   * Take in a message of a borrower.
   *
   * @throws MalformedError it makes no sense. The borrower should be sent away.
   */
  handle(borrower: Borrower, message: FromBorrower): void {
    if (this.sends.has(borrower)) this.do(this.lending.handle(borrower, message));
  }

  /** Do nothing more as time goes by. */
  close(): void {
    this.isClosed = true;
    if (this.balancing !== null) clearTimeout(this.balancing);
    if (this.ticking !== null) clearTimeout(this.ticking);
    this.balancing = this.ticking = null;
  }

  // ---- inside ----

  /** Carry out what `Lending` says, behind what is to be done already. */
  private do(actions: readonly Action[]): void {
    for (const action of actions) this.due.push(action);
    if (this.isActing) return;
    this.isActing = true;
    try {
      for (let done = 0; done < this.due.length; done++) this.carryOut(this.due[done]!);
    } finally {
      this.due = [];
      this.isActing = false;
    }
    this.watch();
  }

  private carryOut(action: Action): void {
    switch (action.type) {
      case "send":
        this.sends.get(action.borrower)?.(action.message);
        return;
      case "notify":
        action.job.notify();
        return;
      case "cancelled":
        action.job.cancelled(action.start, action.size);
        return;
      case "tell":
        this.say(action.text);
    }
  }

  /** Have looked after what time brings: recalls for idle borrowers, and deadlines. */
  private watch(): void {
    if (this.isClosed) return;
    if (this.lending.hasIdleBorrower && this.balancing === null) {
      this.balanceIn(BALANCE_MILLISECONDS);
    }
    if (this.lending.needsTicks) this.ticking ??= this.tickLater();
  }

  /** While a borrower is idle, call back what waits after long items elsewhere. */
  private balanceIn(milliseconds: number): void {
    this.balancing = setTimeout(() => {
      this.do(this.lending.balance());
      this.balancing = null;
      if (this.lending.hasIdleBorrower && !this.isClosed) {
        this.balanceIn(Math.min(2 * milliseconds, MAX_BALANCE_MILLISECONDS));
      }
    }, milliseconds);
  }

  private tickLater(): ReturnType<typeof setTimeout> {
    const due = performance.now() + TICK_MILLISECONDS;
    return setTimeout(() => {
      this.ticking = null;
      this.do(this.lending.tick(Math.max(0, performance.now() - due) / 1000));
    }, TICK_MILLISECONDS);
  }
}
