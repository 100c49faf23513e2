/** What a tab passes on of the devices below it: sums stay right, whatever comes, goes and moves. */

import { describe, expect, test } from "vitest";

import { decodeFromChild } from "../src/child-messages";
import { MalformedError } from "../src/errors";
import { Ledger, MAX_DEVICES } from "../src/reporting/ledger";
import { IncomingReports, OutgoingReports } from "../src/reporting/passing";
import {
  type DeviceReport,
  encodeUpdate,
  isEmpty,
  MAX_COUNTER,
  type Update,
} from "../src/reporting/records";

const OWN = new Uint8Array(8).fill(9);
const PARENT = new Uint8Array(8);
const idOf = (number: number): Uint8Array =>
  new Uint8Array([0, 0, 0, 0, 0, 0, number >> 8, number & 255]);

/** A device's report after so many items; each interval has one. */
function report(number: number, items: number, epoch = 1): DeviceReport {
  const device = {
    node: idOf(number),
    epoch,
    parent: PARENT,
    name: `device ${number}`,
    kind: "native",
    version: "1",
    link: "webrtc",
    workers: 2,
    units: "",
  };
  const [counters, before] = [
    [1000 * items, items],
    [1000 * (items - 1), items - 1],
  ];
  return {
    device,
    sequence: items,
    counters,
    before,
    state: 0,
    held: 3,
    children: 0,
    roundTrip: 5,
  };
}

/** A tab below a root, as their two ends of a link have it. */
class Link {
  readonly outgoing = new OutgoingReports();
  readonly incoming: IncomingReports;

  constructor(
    readonly below: Ledger,
    readonly above: Ledger,
  ) {
    this.incoming = new IncomingReports(this, above, PARENT);
  }

  pass(): Update {
    const update = decodeFromChild(encodeUpdate(this.outgoing.encode(this.below))) as Update;
    this.below.expire();
    this.incoming.take(update);
    return update;
  }
}

const itemsOf = (ledger: Ledger): Record<string, number> =>
  Object.fromEntries(
    [...ledger.entries.values()].map(({ report }) => [report.device.name, report.counters[1]!]),
  );
const liveIn = (ledger: Ledger): string[] =>
  [...ledger.live().values()].map(({ report }) => report.device.name);

test("growth is passed on, and nothing where nothing has changed", () => {
  const link = new Link(new Ledger(), new Ledger());
  const owner = {};
  link.below.hear(report(1, 1), owner);
  link.below.hear(report(2, 5), owner);
  expect(link.pass().introductions.length).toBe(2);
  expect(itemsOf(link.above)).toEqual({ "device 1": 1, "device 2": 5 });
  expect(isEmpty(link.pass())).toBe(true);
  link.below.hear(report(1, 4), owner);
  const { introductions, intervals } = link.pass();
  expect([introductions.length, intervals.length]).toEqual([0, 1]);
  expect(intervals[0]!.counters).toEqual([3000, 3]);
  expect(itemsOf(link.above)).toEqual({ "device 1": 4, "device 2": 5 });
});

test("a device that moves from one child to another counts once", () => {
  const link = new Link(new Ledger(), new Ledger());
  const [one, other] = [{}, {}];
  link.below.hear(report(1, 3), one);
  link.pass();
  link.below.hear(report(1, 4), other);
  link.below.close(one, true); // which is noticed later
  link.pass();
  expect(liveIn(link.above)).toEqual(["device 1"]);
  link.below.hear(report(1, 2), one); // an old one comes late
  link.pass();
  expect(itemsOf(link.above)).toEqual({ "device 1": 4 });
});

test("a device that is lost is gone above, and its key is another's then", () => {
  const link = new Link(new Ledger(), new Ledger());
  const owner = {};
  link.below.hear(report(1, 3), owner);
  link.pass();
  link.below.close(owner, true);
  expect(link.pass().gone).toEqual([{ key: 0, lost: true, sequence: 0, counters: [] }]);
  expect(liveIn(link.above)).toEqual([]);
  link.below.hear(report(2, 1), owner);
  expect(link.pass().introductions[0]!.key).toBe(0);
  expect(liveIn(link.above)).toEqual(["device 2"]);
});

test("over a new link all is told anew", () => {
  const [below, above] = [new Ledger(), new Ledger()];
  const first = new Link(below, above);
  below.hear(report(1, 3), {});
  first.pass();
  const second = new Link(below, above);
  above.close(first, true);
  expect(second.pass().introductions.length).toBe(1);
  expect(liveIn(above)).toEqual(["device 1"]);
  expect(itemsOf(above)).toEqual({ "device 1": 3 });
});

test("a device that begins anew has counters of its own", () => {
  const link = new Link(new Ledger(), new Ledger());
  const owner = {};
  link.below.hear(report(1, 9), owner);
  link.pass();
  link.below.hear(report(1, 1, 2), owner);
  link.below.hear(report(1, 10, 1), owner); // of the time before
  link.pass();
  expect(itemsOf(link.above)).toEqual({ "device 1": 1 });
});

test("sums of a large subtree are passed on as sums", () => {
  const below = new Ledger();
  const child = new IncomingReports({}, below, OWN);
  const { device } = report(1, 1);
  child.take({
    tag: "update",
    gone: [],
    introductions: [{ key: 7, device, sequence: 4, counters: [1000, 4] }],
    summed: [7],
    intervals: [],
    rest: { devices: 3000, workers: MAX_COUNTER, counters: [5, 6] },
  });
  const link = new Link(below, new Ledger());
  const { introductions, summed, intervals, rest } = link.pass();
  expect([introductions.length, summed, intervals]).toEqual([1, [0], []]);
  expect(rest).toEqual({ devices: 3000, workers: MAX_COUNTER, counters: [5, 6] });
});

describe("what children claim", () => {
  test("of this tab itself is not believed", () => {
    const ledger = new Ledger();
    const told = report(1, 5);
    const device = { ...told.device, node: OWN };
    new IncomingReports({}, ledger, OWN).take({
      tag: "update",
      gone: [],
      introductions: [{ key: 0, device, sequence: 0, counters: [] }],
      summed: [],
      intervals: [
        { key: 0, sequence: 1, counters: [1], state: 0, held: 0, children: 0, roundTrip: 0 },
      ],
      rest: null,
    });
    expect(ledger.entries.size).toBe(0);
  });
  test("of very many devices is left out beyond what a tab holds", () => {
    const ledger = new Ledger();
    for (let i = 0; i <= MAX_DEVICES; i++) ledger.hear(report(i, 1), {});
    expect([ledger.entries.size, ledger.refused]).toEqual([MAX_DEVICES, 1]);
  });
  test("of more than can be counted is refused, or adds up to no more than can be", () => {
    const ledger = new Ledger();
    const most = { devices: MAX_COUNTER, workers: MAX_COUNTER, counters: [MAX_COUNTER] };
    for (const owner of [{}, {}]) ledger.rests.set(owner, most);
    expect(new OutgoingReports().encode(ledger).rest).toEqual(most);
    const child = new IncomingReports({}, ledger, OWN);
    const { device } = report(1, 1);
    const grown = { key: 0, sequence: 2, state: 0, held: 0, children: 0, roundTrip: 0 };
    const update: Update = {
      tag: "update",
      gone: [],
      introductions: [{ key: 0, device, sequence: 1, counters: [MAX_COUNTER] }],
      summed: [],
      intervals: [{ ...grown, counters: [1] }],
      rest: null,
    };
    expect(() => child.take(update)).toThrow(MalformedError);
  });
});
