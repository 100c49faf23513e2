/** Credit: how many items a borrower should hold, from the rate it has shown. */

/** Seconds of work in one batch: long enough to hide a message, short enough to lose. */
export const TARGET_SECONDS = 0.03;
/** With many borrowers batches are longer, so that the lender keeps up with their messages. */
const TARGET_SECONDS_PER_BORROWER = 0.0008;
/** A batch is at most so many times larger than the largest before. */
const GROWTH = 16;
/** Work that is not worth splitting further, not even for the last batches of an input. */
const SHORT_SECONDS = 0.002;
/** Items in one batch, however short they are. */
export const MAX_BATCH_ITEMS = 8192;
/** Bytes of encoded items that one batch aims for at the most. */
export const MAX_BATCH_BYTES = 256 * 1024;
/** Workers that a borrower may ever ask for. */
const MAX_WORKERS = 100_000;
/** Workers that a borrower may ask for before it has shown any result. */
const MAX_UNVERIFIED_WORKERS = 256;
/** No batch counts as longer than this. */
export const MAX_SECONDS = 1e6;
const MEMORY_BATCHES = 2;
/**
 * How much of the past counts in the mean time of an item: so many of the largest batches, and so
 * many seconds. What is longer than this, or has more items, outweighs all before it.
 */
const MEMORY_SECONDS = 0.06;
/** Work that takes longer than this is worth calling back for a borrower that has none. */
export const LONG_SECONDS = 0.005;
/** No item counts as shorter than this. */
const LEAST_ITEM_SECONDS = 1e-9;

export interface CreditOptions {
  /** Batches that it holds when it holds all it may; two, where more would be of single items. */
  messages?: number;
  /** Work that one batch should be, in seconds. */
  targetSeconds?: number;
  /** Items are lent in pairs for each worker where two of them are no more work than this. */
  pairSeconds?: number;
}

export interface BatchBounds {
  /** How many workers share what remains. */
  borrowers?: number;
  /** Items not lent yet, where the input's end is known. */
  remaining?: number | null;
  /** The mean size of an encoded item. */
  itemBytes?: number;
  /** The user's own bound. */
  limit?: number;
}

/**
 * What one borrower may hold, by its measured rate.
 *
 * A borrower is a worker, or a child with many workers below it, whose work is sent in several
 * messages at once so that the flow is even. Times are in seconds, as they are told: nothing here
 * reads a clock.
 */
export class Credit {
  itemSeconds: number | null = null;
  /** How many workers it computes with: what it asks for, as far as it has shown results. */
  workers = 1;
  private readonly mostMessages: number;
  private readonly targetSeconds: number;
  private readonly pairSeconds: number;
  private askedWorkers = 1;
  private largest = 0;
  private computed = 0;
  private seconds = 0;
  private messages = 2;

  constructor(private readonly options: CreditOptions = {}) {
    this.mostMessages = options.messages ?? 2;
    this.targetSeconds = options.targetSeconds ?? TARGET_SECONDS;
    this.pairSeconds = options.pairSeconds ?? 0;
    this.countMessages();
  }

  /** Note how many batches it holds; called whenever what that follows from has changed. */
  private countMessages(): void {
    const held = 2 * this.workers * this.fitting(this.targetSeconds);
    this.messages = Math.max(2, Math.min(this.mostMessages, Math.trunc(held / 2)));
  }

  /** The items in `target` seconds of work: at least one, two if they may be a pair. */
  private fitting(target: number): number {
    if (this.itemSeconds === null) return 1;
    const seconds = Math.max(target, Math.min(this.pairSeconds, 2 * this.itemSeconds));
    return Math.max(1, seconds / Math.max(this.itemSeconds, LEAST_ITEM_SECONDS));
  }

  /** The same borrower's credit for other items, of which nobody knows how long they take. */
  forOthers(): Credit {
    const credit = new Credit(this.options);
    credit.workers = this.workers;
    credit.askedWorkers = this.askedWorkers;
    credit.computed = this.computed;
    credit.countMessages();
    return credit;
  }

  /** The borrower says how many workers it has, itself and below it. */
  ask(workers: number): void {
    this.askedWorkers = workers;
    this.countWorkers();
  }

  private countWorkers(): void {
    const proven = Math.min(MAX_UNVERIFIED_WORKERS + this.computed, MAX_WORKERS);
    this.workers = Math.max(1, Math.min(this.askedWorkers, proven));
    this.countMessages();
  }

  /** How many items it may hold, if its batches are of this size. */
  capacity(batch: number): number {
    return Math.max(this.messages * batch, 2 * this.workers);
  }

  /**
   * How many items the next batch should have.
   *
   * A batch is long enough that the borrower computes while the next one is on its way, and short
   * enough that little is lost with the borrower. These bounds apply, in this order:
   *
   * 1. The time of an item is not known yet: one item for each worker, to learn it.
   * 2. Otherwise as many items as take `targetSeconds`, or longer where there are so many workers
   *    that the lender could not answer them at that rate; a pair of items that are longer, where
   *    `pairSeconds` allows it.
   * 3. At most `GROWTH` times the largest batch that was finished: the first items may have been
   *    short by chance.
   * 4. At most `MAX_BATCH_ITEMS`, the user's limit, and `MAX_BATCH_BYTES` of encoded items.
   * 5. The end of the input is near: half of a fair share of what remains, so that all workers
   *    finish together; but no less than `SHORT_SECONDS` of work, below which a message costs more
   *    than it gains.
   *
   * In any case one item.
   */
  batchSize(bounds: BatchBounds = {}): number {
    const { borrowers = 1, remaining = null, itemBytes = 0, limit = MAX_BATCH_ITEMS } = bounds;
    // Two batches in flight keep one worker busy; more messages share the same work.
    const share = (2 * this.workers) / this.messages;
    const target = Math.max(this.targetSeconds, borrowers * TARGET_SECONDS_PER_BORROWER);
    let size = Math.trunc(this.fitting(target) * share);
    if (this.itemSeconds !== null) {
      size = Math.min(size, Math.max(this.largest, Math.trunc(share)) * GROWTH);
    }
    size = Math.min(size, MAX_BATCH_ITEMS, limit);
    if (itemBytes > 0) {
      size = Math.min(size, Math.trunc(MAX_BATCH_BYTES / Math.max(itemBytes, 1)));
    }
    if (remaining !== null && this.itemSeconds !== null) {
      const fair = Math.ceil((remaining * this.workers) / (2 * borrowers));
      const short = SHORT_SECONDS / Math.max(this.itemSeconds, LEAST_ITEM_SECONDS);
      size = Math.min(size, Math.max(fair, Math.trunc(short)));
    }
    return Math.max(1, size);
  }

  /** Note that the borrower has computed `items` items in `seconds` of its time. */
  completed(items: number, seconds: number): void {
    // It may come from anywhere, and be no number.
    if (!(seconds >= 0 && seconds <= MAX_SECONDS)) seconds = seconds > 0 ? MAX_SECONDS : 0;
    this.largest = Math.max(this.largest, items);
    if (this.itemSeconds === null) {
      this.itemSeconds = seconds / items;
    } else {
      const pastItems = Math.min(this.computed, MEMORY_BATCHES * this.largest);
      const pastSeconds = Math.min(this.seconds, MEMORY_SECONDS);
      const weight = Math.max(items / (items + pastItems), seconds / (seconds + pastSeconds || 1));
      this.itemSeconds += weight * (seconds / items - this.itemSeconds);
    }
    this.seconds += seconds;
    this.computed += items;
    if (this.workers !== this.askedWorkers) this.countWorkers();
    else this.countMessages();
  }

  /**
   * The seconds that items will probably keep the borrower busy.
   *
   * @param items - what it holds.
   * @param waited - seconds since it was last heard of with results. A borrower that is silent for
   *   longer than its rate explains holds longer items than before.
   */
  expectedSeconds(items: number, waited: number): number {
    if (this.itemSeconds === null) return waited;
    return Math.max((items * this.itemSeconds) / this.workers, waited);
  }
}
