/** Actions: what `Lending` has a node do. */

import type { Outgoing } from "../messages";
import type { Borrower } from "../scheduler";
import type { Job } from "./job";

export type Action =
  /** Send a message to a borrower. */
  | { type: "send"; borrower: Borrower; message: Outgoing }
  /** Tell the owner of a job to look at it: results are ready, or it has ended. */
  | { type: "notify"; job: Job }
  /** Tell the owner of a job that items which it has cancelled will not be computed. */
  | { type: "cancelled"; job: Job; start: number; size: number }
  /** Tell the person who runs this something, in a sentence. */
  | { type: "tell"; text: string };
