/** A lender's figures: where the items are now, and what has happened so far. */
export interface LenderStatistics {
  readonly read: number;
  readonly queued: number;
  readonly inFlight: number;
  readonly finished: number;
  readonly delivered: number;
  readonly borrowers: number;
  readonly reassigned: number;
  readonly ignoredResults: number;
  readonly strikes: number;
  readonly doubled: number;
}
