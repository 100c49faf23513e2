/** Where a job's items come from. */

import type { Items } from "../scheduler";

/** Why nothing was read: there may be something later, or there are no more items. */
export type Nothing = "would block" | "end of input";

export interface Source {
  /** Between 1 and `limit` items. */
  read(limit: number): Items | Nothing;
  /** How many items have not been read, or null where nobody knows. */
  remaining(): number | null;
  /** Stop reading. */
  close(): void;
}
