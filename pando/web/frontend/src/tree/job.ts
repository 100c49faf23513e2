/** A job: one input that passes through a node, and its owner, who is told of results. */

import { Backlog, type Lender, type Span, type Window } from "../scheduler";
import type { Source } from "./source";

export class Job extends Backlog {
  /** Called when results are ready, or the job has ended. */
  notify: () => void = () => {};
  /** Called for each stretch that has left the job undone, with its start and count. */
  cancelled: (start: number, count: number) => void = () => {};
  /** Stretches of indices that are to leave the job undone, as soon as they wait. */
  readonly cancelling: Span[] = [];

  constructor(
    readonly source: Source,
    lender: Lender,
    window: Window,
  ) {
    super(lender, window, () => source.remaining());
  }
}
