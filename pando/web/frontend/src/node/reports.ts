/** The reports of a tab: its cumulative counters, numbered, as `pando/reporting/device.py` makes them. */

import type { Report } from "../messages";
import { Ledger } from "../reporting/ledger";
import { OutgoingReports } from "../reporting/passing";
import {
  type Counters,
  type Device,
  MAX_COUNTER,
  MAX_NAME,
  MAX_ROUND_TRIP,
  SIZE,
  STATES,
  type Update,
} from "../reporting/records";

/** An interval that took longer than this many is taken for a jump of the clock. */
const MAX_INTERVALS = 20;
/** Reported items are counted in thousandths, since a function may report fractions. */
const REPORTED_SCALE = 1000;
const MAX_EPOCH = 2 ** 48;

/** Put here by the build. */
declare const PANDO_VERSION: string;

export type State = keyof typeof STATES;

/** What a tab has measured since its epoch began. Times are in seconds. */
export interface Measured {
  items: number;
  functionSeconds: number;
  starvedSeconds: number;
  loadingSeconds: number;
  pausedSeconds: number;
  bytesIn: number;
  bytesOut: number;
  transferSeconds: number;
  failed: number;
  returned: number;
  reported: Report | null;
  state: State;
  held: number;
}

/** What is said of a tab once. */
export interface Description {
  node: Uint8Array;
  name: string;
  workers: number;
}

/** Numbers reports, keeps counters from decreasing, and tells a parent what has changed at the tab and below. */
export class Reporter {
  private readonly epoch = Math.floor(Math.random() * MAX_EPOCH);
  private elapsed = 0;
  private sequence = 0;
  private counters: Counters = new Array<number>(SIZE).fill(0);
  private outgoing = new OutgoingReports();

  /**
   * @param description - what is said of the tab.
   * @param now - its clock, in seconds. It may jump.
   * @param interval - seconds between two reports, as they are planned.
   * @param ledger - has the reports of those below.
   */
  constructor(
    private description: Description,
    private now: number,
    private readonly interval: number,
    readonly ledger = new Ledger(),
  ) {}

  /** The parent is another one from now on, or the link is a new one: say again who this is. */
  introduce(): void {
    this.outgoing = new OutgoingReports();
  }

  /** The tab is called otherwise, or has another number of workers, from now on. */
  describe(description: Description): void {
    this.description = description;
  }

  /** The next report, over a link of this kind; the round trip is in milliseconds, or 0 where it is not known. */
  report(
    measured: Measured,
    parent: Uint8Array,
    now: number,
    link = "websocket",
    roundTrip = 0,
    children = 0,
  ): Update {
    let passed = now - this.now;
    this.now = now;
    if (!(passed > 0 && passed <= MAX_INTERVALS * this.interval)) passed = this.interval;
    this.elapsed += passed;
    const before = this.counters;
    const figures = count(measured, this.elapsed);
    this.counters = figures.map((value, place) => toCounter(value, before[place]!));
    this.sequence += 1;
    const report = {
      device: this.device(measured, parent, link),
      sequence: this.sequence,
      counters: this.counters,
      before,
      state: STATES[measured.state],
      held: measured.held,
      children,
      roundTrip: Math.min(Math.round(1000 * roundTrip), MAX_ROUND_TRIP),
    };
    this.ledger.hear(report, this);
    const update = this.outgoing.encode(this.ledger);
    this.ledger.expire();
    return update;
  }

  private device(measured: Measured, parent: Uint8Array, link: string): Device {
    const { node, name, workers } = this.description;
    return {
      node,
      epoch: this.epoch,
      parent,
      name: [...name].slice(0, MAX_NAME).join(""),
      kind: "tab",
      version: PANDO_VERSION,
      link,
      workers,
      units: measured.reported?.units ?? "",
    };
  }
}

/** What was measured, in the order of the counters. Processor time is the time in the function. */
function count(measured: Measured, elapsed: number): number[] {
  const { functionSeconds, reported } = measured;
  return [
    1000 * elapsed,
    measured.items,
    1000 * functionSeconds,
    1000 * measured.starvedSeconds,
    1000 * functionSeconds,
    measured.bytesIn,
    measured.bytesOut,
    1000 * measured.transferSeconds,
    0, // a browser does not tell that workers wait for the network
    1000 * measured.loadingSeconds,
    1000 * measured.pausedSeconds,
    measured.failed,
    measured.returned,
    REPORTED_SCALE * (reported?.items ?? 0),
    1000 * (reported?.cpuSeconds ?? 0),
    1000 * (reported?.transferSeconds ?? 0),
  ];
}

function toCounter(value: number, before: number): number {
  return value > before ? Math.max(before, Math.round(Math.min(value, MAX_COUNTER))) : before;
}
