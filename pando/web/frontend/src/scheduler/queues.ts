/** The queues of borrowers that can take work, and which of them a borrower belongs to. */

import type { Backlog } from "./backlog";
import type { Borrower } from "./borrower";

/** The queues of the allocator, which says what each is for. */
export class Queues<Stream extends Backlog> {
  /** The streams that are open, oldest first. */
  readonly backlogs = new Set<Stream>();
  /** All borrowers that are here now. */
  readonly borrowers = new Set<Borrower>();
  /** How many workers they have. */
  workers = 0;
  /** Those that hold nothing. */
  readonly idle = new Set<Borrower>();
  /** Those that have nothing in reserve. */
  readonly nearlyIdle = new Set<Borrower>();
  /** Those that may hold another batch. */
  readonly partlyBusy = new Set<Borrower>();
  /** All of them, in the order in which they are served. */
  readonly inOrder = [this.idle, this.nearlyIdle, this.partlyBusy] as const;

  /** @param batchLimit - the most items in a batch. */
  constructor(private readonly batchLimit: number) {}

  /** How many borrowers are in them. */
  get size(): number {
    return this.idle.size + this.nearlyIdle.size + this.partlyBusy.size;
  }

  remove(borrower: Borrower): void {
    for (const queue of this.inOrder) queue.delete(borrower);
  }

  /** Put a borrower last into the queue that it belongs to now, or into none. */
  requeue(borrower: Borrower): void {
    this.remove(borrower);
    if (borrower.isPaused || borrower.hasNoWorkers) return;
    if (this.backlogs.size === 0 || !this.borrowers.has(borrower)) return;
    const held = this.countLent(borrower);
    if (held === 0) {
      this.idle.add(borrower);
    } else if (this.hasRoomForAny(borrower, held)) {
      const hasReserve = held > borrower.credit.workers;
      (hasReserve ? this.partlyBusy : this.nearlyIdle).add(borrower);
    }
  }

  /** How many items a borrower holds, of all streams. */
  countLent(borrower: Borrower): number {
    let held = 0;
    for (const { lender } of this.backlogs) held += lender.countLent(borrower);
    return held;
  }

  /** How many items a borrower's next batch of a stream should have. */
  batchSize(backlog: Stream, borrower: Borrower): number {
    return backlog.creditOf(borrower).batchSize({
      borrowers: Math.max(1, this.workers),
      remaining: backlog.countRemaining(),
      itemBytes: backlog.window.meanSize,
      limit: this.batchLimit,
    });
  }

  /** Whether a borrower that holds this many items may hold another batch of some stream. */
  private hasRoomForAny(borrower: Borrower, held: number): boolean {
    const backlogs = [...this.backlogs];
    if (backlogs.length > 1) return backlogs.some((backlog) => this.hasRoom(backlog, borrower));
    const backlog = backlogs[0]!;
    const batch = this.batchSize(backlog, borrower);
    return held + batch <= backlog.creditOf(borrower).capacity(batch);
  }

  /** Whether a borrower may hold another batch of a stream, with what it holds of all. */
  hasRoom(backlog: Stream, borrower: Borrower): boolean {
    const batch = this.batchSize(backlog, borrower);
    let elsewhere = 0;
    for (const other of this.backlogs) {
      if (other !== backlog) elsewhere += this.load(other, borrower);
    }
    const capacity = backlog.creditOf(borrower).capacity(batch) * (1 - elsewhere);
    return backlog.lender.countLent(borrower) + batch <= capacity;
  }

  /** What part of all that a borrower may hold its items of a stream are. */
  private load(backlog: Stream, borrower: Borrower): number {
    const held = backlog.lender.countLent(borrower);
    if (held === 0) return 0;
    return held / backlog.creditOf(borrower).capacity(this.batchSize(backlog, borrower));
  }
}
