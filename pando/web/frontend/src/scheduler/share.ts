/** The share: how several streams of items divide the time of the same workers. */

/** Weight of the newest results in the mean time of an item. */
const SMOOTHING = 0.2;

/**
 * What one stream has had of the workers' time, in seconds.
 *
 * The stream with the smallest claim is lent from next, so that streams which have items get equal
 * time, whatever the length of their items. A stream that had none for a while does not make up for
 * that: it goes on where the others are now (start-time fair queueing, after Goyal, Vin and Cheng,
 * 1996).
 */
export class Share {
  seconds = 0;
  private itemSeconds = 0;

  /** Workers have computed so many of its items in so many seconds. */
  charge(items: number, seconds: number): void {
    this.seconds += seconds;
    const weight = this.itemSeconds > 0 ? SMOOTHING : 1;
    this.itemSeconds += weight * (seconds / items - this.itemSeconds);
  }

  /** What it has had, and what the items that are lent now will probably take. */
  claimed(lent: number): number {
    return this.seconds + lent * this.itemSeconds;
  }

  /** It has items, after a time without: it goes on where the others are now. */
  resume(virtualTime: number): void {
    this.seconds = Math.max(this.seconds, virtualTime);
  }
}
