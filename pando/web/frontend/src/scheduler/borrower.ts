/** A borrower: a worker or a child, as the scheduler sees it. */

import { Source } from "./attempts";
import { Conduct } from "./conduct";
import { Credit } from "./credit";

/** The largest batch for a worker of this machine. */
export const MAX_FRAME_BYTES = 2 ** 32 - 1024;

/** Where this node's own workers compute. */
export const THIS_MACHINE = new Source("this machine", "this machine", true);

export interface BorrowerOptions {
  /** The largest batch that can be sent to it, encoded. */
  maxBytes?: number;
  /** Where it computes; this machine, where that is not said. */
  source?: Source;
}

/** Who may be lent items. */
export class Borrower {
  maxBytes: number;
  readonly source: Source;
  /** When it came, in seconds. */
  since = 0;
  /** When it was heard of last, or began to work after a time without items. */
  heard = 0;
  /** How many results have come from it. */
  results = 0;
  /** The time that it has computed for them. */
  seconds = 0;
  /** How much of its time has been charged to jobs. */
  charged = 0;
  /** Whether it has said what it can take, or need not. */
  hasAnnounced: boolean;
  /** What its device has done with what it was lent. */
  conduct = new Conduct();
  /** Whether it is lent nothing at present, because of its conduct. */
  isPaused = false;
  /** Whether it has said so; then it is lent nothing, either. */
  hasNoWorkers = false;
  /** When it has last sent a result, or was lent something while it had nothing. */
  answered = 0;

  /**
   * @param name - what people call it.
   * @param credit - how much it may hold.
   */
  constructor(
    readonly name: string,
    readonly credit = new Credit(),
    { maxBytes = MAX_FRAME_BYTES, source = THIS_MACHINE }: BorrowerOptions = {},
  ) {
    this.maxBytes = maxBytes;
    this.source = source;
    this.hasAnnounced = source.isLocal;
  }

  /** How many workers it computes with now. */
  get workers(): number {
    return this.hasNoWorkers ? 0 : this.credit.workers;
  }
}
