/** Adds up for how long workers were ready, and for how long some were missing, or paused. */

export class WorkerMeter {
  readySeconds = 0;
  missingSeconds = 0;
  pausedSeconds = 0;

  constructor(
    public size: number,
    private since: number,
  ) {}

  /** So many have been ready since the time before. */
  pass(ready: number, isPaused: boolean, now: number): void {
    const seconds = Math.max(0, now - this.since);
    this.since = now;
    this.readySeconds += ready * seconds;
    const missing = Math.max(0, this.size - ready) * seconds;
    if (isPaused) this.pausedSeconds += missing;
    else this.missingSeconds += missing;
  }
}
