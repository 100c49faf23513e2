/**
 * Turns: few connections of a tab are made at a time, and the others wait in line. The twin of
 * `pando/net/webrtc/turns.py`: many at once would make all of them slow. They are more while they are fast, and fewer
 * on a slow or busy device.
 */

import { TooManyAskError } from "../errors";

/** Offers that are answered at a time at first, each until its data channel is open. */
export const FIRST_UNCONNECTED = 16;
/** As many at the most. */
export const MAX_UNCONNECTED = 32;
/** As many at the least, since connections over long ways are slow for another reason. */
export const LEAST_UNCONNECTED = 4;
/** A turn that has not lasted longer allows one more at a time. */
const FAST_SECONDS = 0.5;
/** A turn that has lasted longer makes them fewer. */
const SLOW_SECONDS = 1.5;
/** How many are left then, as a part. */
const FEWER = 0.9;
/** How long an offer waits for its turn, which is less than whoever made it waits for the answer. */
export const WAIT_SECONDS = 8.0;
/** How long a turn is taken to last before there has been one. */
const FIRST_GUESS_SECONDS = 0.2;
/** That of the last turn in the mean of all. */
const WEIGHT = 0.2;
const LEAST_PAUSE_SECONDS = 1.0;

/**
 * Ends a turn; more than once does nothing.
 *
 * @param isOpen - whether the data channel is open. What has not opened says nothing of this device.
 */
export type EndTurn = (isOpen: boolean) => void;

/** Who waits for a turn has it when all have had one that came before. */
export class Turns {
  /** How many may have one at a time. */
  allowed = FIRST_UNCONNECTED;
  private taken = 0;
  private mean = FIRST_GUESS_SECONDS;
  private readonly line = new Set<() => void>();

  /** @param now - the time, in seconds. */
  constructor(private readonly now: () => number) {}

  private get isFree(): boolean {
    return this.taken < Math.floor(this.allowed);
  }

  /** Seconds until whoever comes now has a turn, if turns last as long as they did lately. */
  get expectedWait(): number {
    return this.isFree ? 0 : ((this.line.size + 1) / this.allowed) * this.mean;
  }

  /**
   * Wait for a turn, which is to be ended.
   *
   * @param patience - for how many seconds at the most.
   * @throws TooManyAskError there is none in time.
   */
  async wait(patience = WAIT_SECONDS): Promise<EndTurn> {
    const expected = this.expectedWait;
    if (this.isFree) this.taken += 1;
    else if (expected > patience || !(await this.stand(patience))) {
      throw new TooManyAskError(Math.max(LEAST_PAUSE_SECONDS, expected));
    }
    return this.begin();
  }

  /** Stand in line; whether there was a turn in time. */
  private stand(patience: number): Promise<boolean> {
    return new Promise((resolve) => {
      const call = (): void => {
        clearTimeout(timer);
        resolve(true);
      };
      const timer = setTimeout(() => {
        this.line.delete(call);
        resolve(false);
      }, patience * 1000);
      this.line.add(call);
    });
  }

  private begin(): EndTurn {
    const began = this.now();
    let isOver = false;
    return (isOpen) => {
      if (isOver) return;
      isOver = true;
      this.noteEnd(this.now() - began, isOpen);
    };
  }

  private noteEnd(seconds: number, isOpen: boolean): void {
    this.taken -= 1;
    this.mean += WEIGHT * (seconds - this.mean);
    if (isOpen && seconds > SLOW_SECONDS) {
      this.allowed = Math.max(this.allowed * FEWER, LEAST_UNCONNECTED);
    } else if (isOpen && seconds <= FAST_SECONDS) {
      this.allowed = Math.min(this.allowed + 1, MAX_UNCONNECTED);
    }
    for (const call of this.line) {
      if (!this.isFree) return;
      this.line.delete(call);
      this.taken += 1;
      call();
    }
  }
}
