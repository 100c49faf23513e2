/** A child: another node that this one lends to, and what it may hold. */

import { Credit } from "../scheduler";

/** Batches that a child holds when it holds all it may. */
const CHILD_MESSAGES = 4;
/** Work in a child's batches, for each of its workers: a network is slower than a message port. */
const CHILD_TARGET_SECONDS = 0.2;
/** Two items that are no more work than this are sent together to a child's worker. */
const CHILD_PAIR_SECONDS = 2;

/** What a child may hold that has this many workers, its own and those below it. */
export function creditForChild(workers: number): Credit {
  const credit = new Credit({
    messages: CHILD_MESSAGES,
    targetSeconds: CHILD_TARGET_SECONDS,
    pairSeconds: CHILD_PAIR_SECONDS,
  });
  credit.ask(workers);
  return credit;
}

/** What the workers of this tab may hold: as much as a parent lends to them where nobody else is here. */
export function creditForOwnWorkers(workers: number): Credit {
  const credit = new Credit({ messages: CHILD_MESSAGES, targetSeconds: CHILD_TARGET_SECONDS });
  credit.ask(workers);
  return credit;
}
