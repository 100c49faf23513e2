/**
 * Turns: few connections of a tab are made at a time, and the others wait in line. The twin of
 * `pando/net/webrtc/turns.py`: many at once would make all of them slow.
 */

import { TooManyAskError } from "../errors";

/** Offers that are answered at a time, each until its data channel is open. */
export const MAX_UNCONNECTED = 16;
/** How long an offer waits for its turn, which is less than whoever made it waits for the answer. */
export const WAIT_SECONDS = 8;
/** How long a turn is taken to last before there has been one, in seconds. */
const FIRST_GUESS_SECONDS = 0.2;
/** The weight of the last turn in the mean of all. */
const WEIGHT = 0.2;
const LEAST_PAUSE_SECONDS = 1;

/** Ends a turn; more than once does nothing. */
export type EndTurn = () => void;

/** Who waits for a turn has it when all have had one that came before. */
export class Turns {
  private free = MAX_UNCONNECTED;
  private mean = FIRST_GUESS_SECONDS;
  private readonly waiting = new Set<() => void>();

  /** @param now - the time, in seconds. */
  constructor(private readonly now: () => number) {}

  /** Seconds until whoever comes now has a turn, if turns last as long as they did lately. */
  get expectedWait(): number {
    return this.free > 0 ? 0 : ((this.waiting.size + 1) / MAX_UNCONNECTED) * this.mean;
  }

  /** Wait for a turn, which is to be ended. @throws TooManyAskError there is none in time. */
  async wait(): Promise<EndTurn> {
    const expected = this.expectedWait;
    const pause = Math.max(LEAST_PAUSE_SECONDS, expected);
    if (this.free > 0) this.free -= 1;
    else if (expected > WAIT_SECONDS || !(await this.stand())) throw new TooManyAskError(pause);
    return this.begin();
  }

  /** Stand in line; whether there was a turn in time, which is passed on by whoever has had it. */
  private stand(): Promise<boolean> {
    return new Promise((resolve) => {
      const called = (): void => {
        clearTimeout(patience);
        resolve(true);
      };
      const patience = setTimeout(() => {
        this.waiting.delete(called);
        resolve(false);
      }, WAIT_SECONDS * 1000);
      this.waiting.add(called);
    });
  }

  private begin(): EndTurn {
    const began = this.now();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.mean += WEIGHT * (this.now() - began - this.mean);
      const [next] = this.waiting;
      if (next === undefined) {
        this.free += 1;
        return;
      }
      this.waiting.delete(next);
      next();
    };
  }
}
