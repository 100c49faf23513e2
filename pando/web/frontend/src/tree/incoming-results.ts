/**
 * Incoming results: what a node does with a message of results. No I/O.
 *
 * They are data from another worker or device, which go to the lender as they are: whoever can
 * decode them, at the root, looks at each value.
 */

import { MalformedError } from "../errors";
import type { Failure, Failures, Results } from "../messages";
import { type Allocator, type Borrower, MAX_SECONDS } from "../scheduler";
import type { Job } from "./job";
import { Packed } from "./packed";

/** Weight of the newest results in a node's mean time of an item. */
const SMOOTHING = 0.2;
/** What a text takes besides its characters, and each of them at the most, in bytes. */
const TEXT_BYTES = 32;
const CHARACTER_BYTES = 2;

/** The memory that a failure takes while its results wait for their turn, in bytes. */
export function failureBytes({ type, reason, traceback, device, ...rest }: Failure): number {
  const texts = [type, reason, traceback, device];
  const characters = texts.reduce((sum, text) => sum + text.length, 0);
  const besides = TEXT_BYTES * (texts.length + 1);
  return CHARACTER_BYTES * characters + besides + (rest.arguments?.length ?? 0);
}

/** Takes results in for the lenders of a node's jobs. */
export class IncomingResults {
  /** The mean time of an item, over all borrowers, in seconds. */
  itemSeconds = 0;
  /** How many results have come. */
  results = 0;
  /** The time that computing them has taken. */
  seconds = 0;

  /**
   * @param allocator - is told how long items take.
   * @param failureSize - what a failure counts for, in bytes.
   */
  constructor(
    private readonly allocator: Allocator<Job>,
    private readonly failureSize = failureBytes,
  ) {}

  /**
   * Take in what a borrower has sent.
   *
   * @throws MalformedError the message makes no sense.
   */
  add(job: Job, borrower: Borrower, message: Results): void {
    const { lease, offset, failures, seconds } = message;
    const values = Packed.of(message.values);
    if (values.length === 0 || !fit(failures, values.length)) {
      throw new MalformedError("results that do not fit together");
    }
    let size = message.values.length;
    for (const failure of failures.values()) size += this.failureSize(failure);
    if (job.lender.addResults(borrower, lease, offset, values, failures, size)) {
      this.count(job, borrower, values.length, seconds);
      job.window.measured(values.length, size);
    }
  }

  /** Take note of what computing some items has taken. */
  private count(job: Job, borrower: Borrower, count: number, taken: number): void {
    borrower.results += count;
    if (borrower.conduct.blemishes) borrower.conduct.delivered();
    this.allocator.completed(job, borrower, count, taken);
    const seconds = Math.min(taken, MAX_SECONDS);
    borrower.seconds += seconds;
    this.results += count;
    this.seconds += seconds;
    this.itemSeconds += SMOOTHING * (seconds / count - this.itemSeconds);
  }
}

function fit(failures: Failures, count: number): boolean {
  for (const place of failures.keys()) if (!(place >= 0 && place < count)) return false;
  return true;
}
