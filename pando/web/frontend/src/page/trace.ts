/** What the plot shows: how many results a second there were, and when nothing was computed. */

/** What it keeps, in seconds. */
const SPAN = 180;
const LEAST_SPAN = 30;

export class Trace {
  private readonly times: number[] = [];
  private readonly rates: (number | null)[] = [];

  /** The rate now, or null where nothing was to be computed: a gap. `now` is in seconds. */
  add(now: number, rate: number | null): void {
    this.times.push(now);
    this.rates.push(rate);
    while (now - this.times[0]! > SPAN) {
      this.times.shift();
      this.rates.shift();
    }
  }

  /** The seconds that are shown: at first less. */
  get span(): number {
    const [first, last] = [this.times[0] ?? 0, this.times.at(-1) ?? 0];
    return Math.min(SPAN, Math.max(LEAST_SPAN, Math.ceil((last - first) / 30) * 30));
  }

  /** Times, in seconds before the last, and rates. */
  read(): [times: number[], rates: (number | null)[]] {
    const last = this.times.at(-1) ?? 0;
    return [this.times.map((time) => time - last), this.rates];
  }
}
