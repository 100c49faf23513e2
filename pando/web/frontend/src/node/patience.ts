/**
 * Pauses between two tries to connect: ever longer, and ended by whoever is in a hurry. Half of each is random, as in
 * `pando/volunteering/backoff.py`, so that the tabs of a lost parent do not all connect at once.
 */

const FIRST_SECONDS = 1;
/** The pauses grow to this. */
const LONGEST_SECONDS = 15;

export class Patience {
  private seconds = FIRST_SECONDS;
  private hurried = false;
  private isOver = false;
  private wake: () => void = () => {};

  /** Begin with short pauses again: it has connected. */
  reset(): void {
    this.seconds = FIRST_SECONDS;
  }

  /** Try now, without waiting any longer. */
  hurry(): void {
    this.reset();
    this.hurried = true;
    this.wake();
  }

  /** Wait no more, now or ever. */
  end(): void {
    this.isOver = true;
    this.wake();
  }

  /**
   * Wait before the next try.
   *
   * @param onTick - told how many seconds are left.
   */
  async rest(onTick: (left: number) => void): Promise<void> {
    this.hurried = false;
    let left = this.seconds * (0.5 + 0.5 * Math.random());
    while (left > 0 && !this.isOver && !this.hurried) {
      onTick(Math.ceil(left));
      const step = left % 1 || 1; // then whole seconds are left
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, step * 1000);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      left = Math.round(left - step);
    }
    if (!this.hurried) this.seconds = Math.min(this.seconds * 2, LONGEST_SECONDS);
  }
}
