/**
 * The newest report of each device at and below this tab, from whomever it was heard. The twin of
 * `pando/reporting/ledger.py`, without what only a root needs: statistics, and those that left long ago.
 */

import { type Counters, type DeviceReport, plus, type Rest } from "./records";

/** Devices that a tab reports on; further ones are refused, and counted. */
export const MAX_DEVICES = 2000;
/** Earlier epochs of a device that are known not to be new ones. */
const MAX_EPOCHS = 8;

/** What a link is called here; each has an object of its own. */
export type Owner = object;

export interface Entry {
  report: DeviceReport;
  owner: Owner;
  isLive: boolean;
  /** Whether it has been lost, and has not left. */
  lost: boolean;
  /** Whether its figures come as part of its link's sums. */
  summed: boolean;
  past: number[];
}

export class Ledger {
  readonly entries = new Map<string, Entry>();
  readonly rests = new Map<Owner, Rest>();
  refused = 0;

  /** Take a report over a link. */
  hear(report: DeviceReport, owner: Owner, summed = false): void {
    const key = String(report.device.node);
    const entry = this.entries.get(key);
    if (entry === undefined) {
      if (this.entries.size >= MAX_DEVICES) this.refused += 1;
      else this.entries.set(key, { report, owner, isLive: true, lost: false, summed, past: [] });
      return;
    }
    const isNew = take(entry, report);
    const isKnown = report.device.epoch === entry.report.device.epoch;
    if (!isNew && !(isKnown && report.sequence === entry.report.sequence)) return;
    if (isNew || entry.owner !== owner) entry.summed = summed;
    Object.assign(entry, { owner, isLive: true, lost: false });
  }

  /** A device is not at the other end of this link any more, unless it has been heard over another one since. */
  leave(node: Uint8Array, owner: Owner, lost: boolean): void {
    const entry = this.entries.get(String(node));
    if (entry === undefined || entry.owner !== owner || !entry.isLive) return;
    Object.assign(entry, { isLive: false, lost });
  }

  /** Take it that a device's figures come as part of its link's sums from now on. */
  sumUp(node: Uint8Array, owner: Owner): void {
    const entry = this.entries.get(String(node));
    if (entry?.owner === owner) entry.summed = true;
  }

  /** A link has ended: its devices are not there any more. */
  close(owner: Owner, lost: boolean): void {
    this.rests.delete(owner);
    for (const { owner: known, report } of this.entries.values()) {
      if (known === owner) this.leave(report.device.node, owner, lost);
    }
  }

  /** Those that are here, by identifier. */
  live(): Map<string, Entry> {
    return new Map([...this.entries].filter(([, { isLive }]) => isLive));
  }

  /** Forget those that have left, once that has been told. */
  expire(): void {
    for (const [key, { isLive }] of this.entries) if (!isLive) this.entries.delete(key);
  }
}

/** Take a report of a known device, where it is new. */
function take(entry: Entry, report: DeviceReport): boolean {
  const { report: known } = entry;
  const { epoch } = report.device;
  if (epoch === known.device.epoch) {
    if (report.sequence <= known.sequence) return false;
    const counters = atLeast(report.counters, known.counters);
    entry.report = { ...report, counters, before: known.counters };
    return true;
  }
  if (entry.past.includes(epoch)) return false;
  entry.past = [...entry.past, known.device.epoch].slice(-MAX_EPOCHS);
  entry.report = report;
  return true;
}

/** Counters never decrease within an epoch. */
const atLeast = (counters: Counters, known: Counters): Counters =>
  plus(counters, []).map((value, place) => Math.max(value, known[place] ?? 0));
