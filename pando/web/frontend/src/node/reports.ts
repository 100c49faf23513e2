/** The reports of a tab: its cumulative counters, numbered, as `pando/reporting/device.py` makes them. */

import type { Report } from "../messages";

/** Counters stop here, where numbers are exact. */
const MAX_COUNTER = Number.MAX_SAFE_INTEGER;
/** An interval that took longer than this many is taken for a jump of the clock. */
const MAX_INTERVALS = 20;
/** Reported items are counted in thousandths, since a function may report fractions. */
const REPORTED_SCALE = 1000;
/** The only key on a tab's link: it reports on nobody else. */
const KEY = 0;
const MAX_NAME = 64;
/** Microseconds; no round-trip time that is reported is longer. */
const MAX_ROUND_TRIP = 60_000_000;
const MAX_EPOCH = 2 ** 48;

/** Put here by the build. */
declare const PANDO_VERSION: string;

export const STATES = { computing: 0, starved: 1, blocked: 2, loading: 3, paused: 4 } as const;
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

/** A device, as `pando/reports/records.py` has it. */
export interface Device {
  node: Uint8Array;
  epoch: number;
  parent: Uint8Array;
  name: string;
  kind: string;
  version: string;
  link: string;
  workers: number;
  units: string;
}

export interface Introduction {
  key: number;
  device: Device;
  sequence: number;
  counters: number[];
}

export interface Interval {
  key: number;
  sequence: number;
  counters: number[];
  state: number;
  held: number;
  /** Of the link to the parent, in microseconds; 0 where it is not known. */
  roundTrip: number;
}

/** What a tab tells its parent: of itself alone, since it has no children. */
export interface Update {
  tag: "update";
  introductions: Introduction[];
  intervals: Interval[];
}

/** Numbers reports, and keeps counters from decreasing. */
export class Reporter {
  private readonly epoch = Math.floor(Math.random() * MAX_EPOCH);
  private elapsed = 0;
  private sequence = 0;
  private counters: number[] = new Array<number>(16).fill(0);
  private told: { parent: string; units: string } | null = null;

  /**
   * @param description - what is said of the tab.
   * @param now - its clock, in seconds. It may jump.
   * @param interval - seconds between two reports, as they are planned.
   */
  constructor(
    private description: Description,
    private now: number,
    private readonly interval: number,
  ) {}

  /** The parent is another one from now on, or the link is a new one: say again who this is. */
  introduce(): void {
    this.told = null;
  }

  /** The tab is called otherwise, or has another number of workers, from now on. */
  describe(description: Description): void {
    this.description = description;
    this.told = null;
  }

  /** The next report, over a link of this kind; the round trip is in milliseconds, or 0 where it is not known. */
  report(
    measured: Measured,
    parent: Uint8Array,
    now: number,
    link = "websocket",
    roundTrip = 0,
  ): Update {
    let passed = now - this.now;
    this.now = now;
    if (!(passed > 0 && passed <= MAX_INTERVALS * this.interval)) passed = this.interval;
    this.elapsed += passed;
    const before = this.counters;
    const figures = count(measured, this.elapsed);
    this.counters = figures.map((value, place) => toCounter(value, before[place]!));
    const introductions = this.introductions(measured, parent, link, before);
    this.sequence += 1;
    const growth = this.counters.map((value, place) => value - before[place]!);
    const interval = {
      key: KEY,
      sequence: this.sequence,
      counters: withoutZerosAtTheEnd(growth),
      state: STATES[measured.state],
      held: measured.held,
      roundTrip: Math.min(Math.round(1000 * roundTrip), MAX_ROUND_TRIP),
    };
    return { tag: "update", introductions, intervals: [interval] };
  }

  private introductions(
    measured: Measured,
    parent: Uint8Array,
    link: string,
    before: number[],
  ): Introduction[] {
    const told = { parent: String(parent), units: measured.reported?.units ?? "" };
    if (this.told?.parent === told.parent && this.told.units === told.units) return [];
    this.told = told;
    const { node, name, workers } = this.description;
    const device = {
      node,
      epoch: this.epoch,
      parent,
      name: [...name].slice(0, MAX_NAME).join(""),
      kind: "tab",
      version: PANDO_VERSION,
      link,
      workers,
      units: told.units,
    };
    const counters = withoutZerosAtTheEnd(before);
    return [{ key: KEY, device, sequence: this.sequence, counters }];
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

function withoutZerosAtTheEnd(counters: readonly number[]): number[] {
  const size = counters.findLastIndex((value) => value !== 0) + 1;
  return counters.slice(0, size);
}
