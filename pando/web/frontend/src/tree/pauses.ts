/** Pauses: devices that a node lends nothing to for a while, for their conduct. No I/O. */

import { type Allocator, type Borrower, Conducts } from "../scheduler";
import { oneLine } from "../text";
import type { Action } from "./actions";
import type { Job } from "./job";

/** The pauses of a node's borrowers; `scheduler/conduct` says what leads to one. */
export class Pauses {
  private readonly conducts = new Conducts();
  private readonly paused = new Set<Borrower>();

  /**
   * @param allocator - lends them nothing meanwhile.
   * @param clock - gives the time, in seconds.
   */
  constructor(
    private readonly allocator: Allocator<Job>,
    private readonly clock: () => number,
  ) {}

  /** Whether nobody is paused. */
  get isEmpty(): boolean {
    return this.paused.size === 0;
  }

  /** Give a borrower that comes the conduct of its device; own workers are not known by it. */
  recognize(borrower: Borrower): void {
    const { isLocal, device } = borrower.source;
    if (!isLocal) borrower.conduct = this.conducts.of(device);
  }

  /** Lend nothing to a borrower whose conduct says so. */
  beginIfDue(borrower: Borrower, now: number): void {
    if (borrower.conduct.pausedUntil <= now) return;
    this.paused.add(borrower);
    this.allocator.pause(borrower);
  }

  /** Lend to those again whose pause is over. */
  endDue(now: number): void {
    for (const borrower of [...this.paused]) {
      if (borrower.conduct.pausedUntil > now) continue;
      this.paused.delete(borrower);
      this.allocator.resume(borrower);
    }
  }

  /** Forget the pause of a borrower that is gone. */
  forget(borrower: Borrower): void {
    this.paused.delete(borrower);
  }

  /** Pause a borrower that has given items back unasked, or has not answered in time. */
  refuse(borrower: Borrower, now: number, wasted = 0): void {
    borrower.conduct.refused(now, wasted);
    this.beginIfDue(borrower, now);
  }

  /** Set a borrower aside, if there is a reason for that; this machine's workers never. */
  setAsideIf(borrower: Borrower, reason: string, actions: Action[]): void {
    if (reason === "" || borrower.source.isLocal) return;
    const text = `${oneLine(borrower.name)} is set aside for a while: ${reason}`;
    actions.push({ type: "tell", text });
    if (this.allocator.borrowers.has(borrower)) this.beginIfDue(borrower, this.clock());
  }
}
