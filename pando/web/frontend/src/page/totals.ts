/** The figures of this page: those of all its stays in a run, and how fast it is now. */

import { ReportSum } from "../compute/report-sum";
import type { Report } from "../messages";
import type { DeviceState } from "../node/device-state";

export interface Figures {
  results: number;
  failures: number;
  busy: number;
  reported: Report | null;
  /** Results in the run that was computed for last. */
  runResults: number;
}

/** What is kept of earlier stays, as plain data. */
export interface Kept extends Figures {
  run: string;
}

type Counted = Pick<
  DeviceState,
  "results" | "failures" | "busy" | "reported" | "run" | "runResults"
>;

const NOTHING: Kept = { results: 0, failures: 0, busy: 0, reported: null, run: "", runResults: 0 };

/** Adds up the stays of this page, each of which begins at 0. */
export class Totals {
  private stay: Counted = NOTHING;

  constructor(private before: Kept = NOTHING) {}

  /** The figures of the present stay. */
  update(stay: Counted): void {
    this.stay = stay;
  }

  /** The present stay is over, and its figures are kept. */
  endStay(): void {
    this.before = this.keep();
    this.stay = NOTHING;
  }

  read(): Figures {
    return this.keep();
  }

  keep(): Kept {
    const { before, stay } = this;
    const run = stay.run || before.run;
    return {
      results: before.results + stay.results,
      failures: before.failures + stay.failures,
      busy: before.busy + stay.busy,
      reported: addReports(before.reported, stay.reported),
      run,
      runResults: stay.runResults + (run === before.run ? before.runResults : 0),
    };
  }
}

function addReports(...reports: (Report | null)[]): Report | null {
  const sum = new ReportSum();
  for (const report of reports) if (report !== null) sum.add(report);
  return sum.read();
}

/** The rate is that of the last results: of this many seconds, or of this many changes. */
const RATE_SECONDS = 5;
const RATE_CHANGES = 5;

/** How many results a second there are now, however rare they are. */
export class RateMeter {
  /** When the count changed. */
  private changes: { time: number; count: number }[] = [];

  /** Nothing is computed any more, or something is again: what was before says nothing. */
  reset(): void {
    this.changes = [];
  }

  /** The count at a time, in seconds. */
  update(time: number, count: number): void {
    const last = this.changes.at(-1);
    if (last !== undefined && last.count === count) return;
    this.changes.push({ time, count });
    const { changes } = this;
    while (changes.length > RATE_CHANGES + 1 && time - changes[1]!.time > RATE_SECONDS) {
      changes.shift();
    }
  }

  /** Results a second: the next one is expected after the mean interval, and is missed then. */
  rate(time: number): number {
    const first = this.changes[0];
    const last = this.changes.at(-1);
    const steps = this.changes.length - 1;
    if (first === undefined || last === undefined || steps < 1) return 0;
    const span = Math.max(last.time - first.time, ((time - first.time) * steps) / (steps + 1));
    return (last.count - first.count) / Math.max(span, 0.25);
  }
}
