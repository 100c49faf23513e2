/** Pauses between two tries to connect: ever longer, and ended by whoever is in a hurry. */

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
    for (let left = Math.ceil(this.seconds); left > 0 && !this.isOver && !this.hurried; left--) {
      onTick(left);
      await new Promise<void>((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, 1000);
      });
    }
    if (!this.hurried) this.seconds = Math.min(this.seconds * 2, LONGEST_SECONDS);
  }
}
