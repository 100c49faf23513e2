/** A backlog: one stream of items among those that share the same borrowers. */

import type { Borrower } from "./borrower";
import type { Credit } from "./credit";
import type { Lender } from "./lender";
import { Share } from "./share";
import type { Window } from "./window";

/** A stream's items that have not been computed, and what the stream has had. */
export class Backlog {
  /** What it has had of the workers' time. */
  readonly share = new Share();
  /** How much of it each borrower may hold; items of two streams differ in length. */
  readonly credits = new Map<Borrower, Credit>();
  /** Whether the input had nothing when it was last asked. */
  inputBlocked = false;

  /**
   * @param lender - lends the items.
   * @param window - how far reading may run ahead.
   * @param remaining - how many items have not been read, or null where nobody knows.
   */
  constructor(
    readonly lender: Lender,
    readonly window: Window,
    private readonly remaining: () => number | null,
  ) {}

  /** Whether there may be something to lend. */
  get hasItems(): boolean {
    return this.lender.waiting > 0 || !(this.inputBlocked || this.lender.inputEnded);
  }

  /** Seconds of workers' time that it has had, and those lent to it now. */
  get claimed(): number {
    return this.share.claimed(this.lender.lent);
  }

  /** Whether nothing more can come of it before its input gives an item. */
  get awaitsInput(): boolean {
    return this.inputBlocked && this.lender.unfinished === 0;
  }

  /** How many items have not been lent, where the input's end is known. */
  countRemaining(): number | null {
    const unread = this.lender.inputEnded ? 0 : this.remaining();
    return unread === null ? null : unread + this.lender.waiting;
  }

  /** What of it a borrower may hold, which must be here. */
  creditOf(borrower: Borrower): Credit {
    const credit = this.credits.get(borrower);
    if (credit === undefined) throw new Error("no such borrower is here");
    return credit;
  }
}
