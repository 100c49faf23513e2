/**
 * What a tab tells its parent of the devices at and below it, and how it hears of them. The twin of
 * `pando/reporting/passing.py`: both ends of a link keep what has been told, so that a record holds only what has
 * changed since.
 */

import { MalformedError } from "../errors";
import { oneLine } from "../text";
import type { Entry, Ledger, Owner } from "./ledger";
import {
  type Counters,
  type Device,
  type DeviceReport,
  type Gone,
  type Interval,
  type Introduction,
  MAX_COUNTER,
  MAX_NAME,
  minus,
  plus,
  type Rest,
  withoutZerosAtTheEnd as trim,
  type Update,
} from "./records";

/** What has been told of a device on a link. */
interface Told {
  key: number;
  device: Device;
  sequence: number;
  counters: Counters;
  summed: boolean;
}

/** The child's end of a link to a parent. */
export class OutgoingReports {
  private readonly told = new Map<string, Told>();
  private readonly free: number[] = [];
  private nextKey = 0;

  /** What has changed in the ledger since the last time; the tab itself, which was noted first, comes first. */
  encode(ledger: Ledger): Update {
    const live = ledger.live();
    const update: Update = {
      tag: "update",
      gone: this.tellGone(ledger, live),
      introductions: [],
      summed: [],
      intervals: [],
      rest: sumUp(ledger),
    };
    for (const [node, entry] of live) {
      if (entry.summed) this.tellSummed(node, entry, update);
      else this.tellSingle(node, entry, update);
    }
    return update;
  }

  private tellGone(ledger: Ledger, live: Map<string, Entry>): Gone[] {
    const gone: Gone[] = [];
    for (const [node, told] of [...this.told]) {
      if (live.get(node)?.report.device.epoch === told.device.epoch) continue;
      this.told.delete(node);
      this.free.push(told.key);
      const left = ledger.entries.get(node);
      const lost = left === undefined || left.isLive || left.lost;
      const known = told.summed && left?.report.device.epoch === told.device.epoch ? left : null;
      const isLater = known !== null && known.report.sequence > told.sequence;
      const counters = isLater ? trim(minus(known.report.counters, told.counters)) : [];
      gone.push({ key: told.key, lost, sequence: isLater ? known.report.sequence : 0, counters });
    }
    return gone;
  }

  private tellSingle(node: string, { report }: Entry, update: Update): void {
    let told = this.told.get(node);
    if (told === undefined || told.summed) {
      told = this.introduce(node, report, report.sequence - 1, report.before, update.introductions);
    } else if (!isSame(report.device, told.device)) {
      told.device = report.device;
      const { key, device, sequence, counters } = told;
      update.introductions.push({ key, device, sequence, counters: trim(counters) });
    }
    if (report.sequence === told.sequence) return;
    const { sequence, state, held, children, roundTrip } = report;
    const growth = trim(minus(report.counters, told.counters));
    const interval = { key: told.key, sequence, state, held, children, roundTrip };
    update.intervals.push({ ...interval, counters: growth });
    told.sequence = sequence;
    told.counters = report.counters;
  }

  private tellSummed(node: string, { report }: Entry, update: Update): void {
    const earlier = this.told.get(node);
    if (earlier?.summed && isSame(earlier.device, report.device)) return;
    const { sequence, counters } = report;
    const told = this.introduce(node, report, sequence, counters, update.introductions);
    told.summed = true;
    update.summed.push(told.key);
  }

  private introduce(
    node: string,
    { device }: DeviceReport,
    sequence: number,
    counters: Counters,
    introductions: Introduction[],
  ): Told {
    const key = this.told.get(node)?.key ?? this.free.pop() ?? this.nextKey++;
    const told = { key, device, sequence, counters, summed: false };
    this.told.set(node, told);
    introductions.push({ key, device, sequence, counters: trim(counters) });
    return told;
  }
}

function sumUp({ rests }: Ledger): Rest | null {
  if (rests.size === 0) return null;
  let [devices, workers, counters] = [0, 0, [] as Counters];
  for (const rest of rests.values()) {
    devices += rest.devices;
    workers += rest.workers;
    counters = plus(counters, rest.counters);
  }
  // What children claim may add up to more than the parent takes, which would blame this tab.
  const most = (value: number): number => Math.min(value, MAX_COUNTER);
  return { devices: most(devices), workers: most(workers), counters: trim(counters.map(most)) };
}

const isSame = (one: Device, other: Device): boolean =>
  one === other || JSON.stringify(Object.values(one)) === JSON.stringify(Object.values(other));

/** The parent's end of a link to a child. */
export class IncomingReports {
  private readonly told = new Map<number, Told>();

  /**
   * @param owner - what the ledger calls the link.
   * @param own - this tab's identifier, about which nobody else can tell it anything.
   */
  constructor(
    private readonly owner: Owner,
    private readonly ledger: Ledger,
    private readonly own: Uint8Array,
  ) {}

  /** @throws MalformedError it does not fit what the child has told before. */
  take({ gone, introductions, summed, intervals, rest }: Update): void {
    for (const each of gone) this.takeGone(each);
    for (const each of introductions) this.takeIntroduction(each);
    for (const key of summed) {
      const told = this.find(key);
      told.summed = true;
      if (this.isOwn(told.device)) continue;
      const { sequence, counters } = told;
      this.ledger.hear(
        { ...IDLE, device: told.device, sequence, counters, before: counters },
        this.owner,
        true,
      );
      this.ledger.sumUp(told.device.node, this.owner);
    }
    for (const each of intervals) this.takeInterval(each);
    if (rest !== null) this.ledger.rests.set(this.owner, rest);
    else this.ledger.rests.delete(this.owner);
  }

  private takeIntroduction({ key, device, sequence, counters }: Introduction): void {
    const earlier = this.told.get(key);
    if (earlier !== undefined && String(earlier.device.node) !== String(device.node))
      throw new MalformedError("a key that is another device's");
    const told = { key, device: checked(device), sequence, counters: plus(counters, []) };
    this.told.set(key, { ...told, summed: false });
  }

  private takeInterval({ key, counters, ...said }: Interval): void {
    const told = this.find(key);
    if (told.summed || said.sequence <= told.sequence)
      throw new MalformedError("a report out of order");
    const report = {
      ...said,
      device: told.device,
      counters: grown(told.counters, counters),
      before: told.counters,
    };
    told.sequence = report.sequence;
    told.counters = report.counters;
    if (!this.isOwn(told.device)) this.ledger.hear(report, this.owner);
  }

  private takeGone({ key, lost, sequence, counters }: Gone): void {
    const told = this.find(key);
    this.told.delete(key);
    const { device } = told;
    if (this.isOwn(device)) return;
    if (counters.length > 0 && sequence > told.sequence) {
      const after = grown(told.counters, counters);
      const report = { ...IDLE, device, sequence, counters: after, before: told.counters };
      this.ledger.hear(report, this.owner, true);
    }
    this.ledger.leave(device.node, this.owner, lost);
  }

  private find(key: number): Told {
    const told = this.told.get(key);
    if (told === undefined)
      throw new MalformedError("a report on a device that was not introduced");
    return told;
  }

  private isOwn({ node }: Device): boolean {
    return String(node) === String(this.own);
  }
}

const IDLE = { state: 0, held: 0, children: 0, roundTrip: 0 };

/** A device with its texts made safe to print, in one line each. */
function checked(device: Device): Device {
  const { name, kind, version, link, units } = device;
  const line = (text: string): string => [...oneLine(text)].slice(0, MAX_NAME).join("");
  return {
    ...device,
    name: line(name),
    kind: line(kind),
    version: line(version),
    link: line(link),
    units: line(units),
  };
}

function grown(counters: Counters, growth: Counters): Counters {
  const after = plus(counters, growth);
  if (Math.max(...after) > MAX_COUNTER) throw new MalformedError("a counter that is too large");
  return after;
}
