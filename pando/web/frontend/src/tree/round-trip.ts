/** The round-trip time of a link, from numbers that its other end sends back, as `net/round_trip.py`. */

/** The longest time that is measured; after it another number is sent. */
const MAX_MILLISECONDS = 60_000;
/** Times whose median counts. */
const SAMPLES = 5;
const MAX_NUMBER = 2 ** 48;

export class RoundTrip {
  private number = 0;
  private sent = 0;
  private times: number[] = [];

  /** The median of the last times; 0 before the first. */
  get milliseconds(): number {
    const sorted = [...this.times].sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? 0;
  }

  /** The number to send at this time, in milliseconds; 0 where an earlier one is on its way. */
  begin(now: number): number {
    if (this.number !== 0 && now - this.sent < MAX_MILLISECONDS) return 0;
    [this.number, this.sent] = [1 + Math.floor(Math.random() * MAX_NUMBER), now];
    return this.number;
  }

  /** Take a number that has come back; one that was not sent is ignored. */
  end(number: number, now: number): void {
    if (number === 0 || number !== this.number) return;
    this.number = 0;
    this.times = [...this.times, Math.min(now - this.sent, MAX_MILLISECONDS)].slice(-SAMPLES);
  }
}
