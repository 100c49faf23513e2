/**
 * Who holds which item, and results back in order: state machines without I/O or clock, the twins
 * of those in `pando/scheduler`. The same recorded events lead to the same decisions in both; so
 * whoever changes a decision here changes it there as well.
 */

export { Allocator, type Loan, type Read, type Step } from "./allocator";
export { AttemptsExhausted, MAX_ATTEMPTS, Source } from "./attempts";
export { Backlog } from "./backlog";
export { Borrower, MAX_FRAME_BYTES, THIS_MACHINE } from "./borrower";
export { Conduct, Conducts } from "./conduct";
export { Credit, MAX_BATCH_BYTES, MAX_SECONDS } from "./credit";
export type { Items, JoinableItems } from "./items";
export type { Lease, Span } from "./lease";
export { LeaseNumbers } from "./lease-numbers";
export { Lender, type Loss } from "./lender";
export type { LenderOptions } from "./lender-state";
export type { ResultBatch } from "./reorder";
export type { LenderStatistics } from "./statistics";
export { Window } from "./window";
