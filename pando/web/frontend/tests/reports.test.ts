import { describe, expect, test } from "vitest";
import { type Measured, Reporter } from "../src/node/reports";

const NODE = new Uint8Array(8).fill(7);
const PARENT = new Uint8Array(8).fill(1);
const NOTHING: Measured = {
  items: 0,
  functionSeconds: 0,
  starvedSeconds: 0,
  loadingSeconds: 0,
  pausedSeconds: 0,
  bytesIn: 0,
  bytesOut: 0,
  transferSeconds: 0,
  failed: 0,
  returned: 0,
  reported: null,
  state: "computing",
  held: 0,
};

function reporter(): Reporter {
  return new Reporter({ node: NODE, name: "phone".repeat(30), workers: 2 }, 100, 3);
}

describe("the reports of a tab", () => {
  test("introduce it once, and are numbered", () => {
    const own = reporter();
    const first = own.report(NOTHING, PARENT, 103);
    expect(first.introductions.map(({ device, sequence }) => [device.workers, sequence])).toEqual([
      [2, 0],
    ]);
    expect(first.introductions[0]?.device.name.length).toBe(64);
    expect(first.introductions[0]?.device.version).toMatch(/^\d+\.\d+/);
    const second = own.report({ ...NOTHING, items: 5 }, PARENT, 106);
    expect(second.introductions).toEqual([]);
    expect(second.intervals[0]).toMatchObject({ sequence: 2, counters: [3000, 5] });
  });
  test("introduce it again to another parent, with the counters so far", () => {
    const own = reporter();
    own.report({ ...NOTHING, items: 5 }, PARENT, 103);
    const next = own.report({ ...NOTHING, items: 6 }, NODE, 106);
    expect(next.introductions[0]).toMatchObject({ sequence: 1, counters: [3000, 5] });
    expect(next.intervals[0]?.counters).toEqual([3000, 1]);
    own.introduce();
    expect(own.report(NOTHING, NODE, 109).introductions.length).toBe(1);
  });
  test.each([
    ["back", 50],
    ["further than intervals are", 10_000],
  ])("take an interval in which the clock jumps %s as long as planned", (_, now) => {
    const own = reporter();
    expect(own.report(NOTHING, PARENT, now).intervals[0]?.counters).toEqual([3000]);
  });
  test("never decrease, and are whole and finite", () => {
    const own = reporter();
    own.report({ ...NOTHING, items: 5 }, PARENT, 103);
    const next = own.report(
      { ...NOTHING, items: 2, bytesIn: Number.NaN, bytesOut: Number.POSITIVE_INFINITY },
      PARENT,
      106,
    );
    expect(next.intervals[0]?.counters).toEqual([3000, 0, 0, 0, 0, 0, Number.MAX_SAFE_INTEGER]);
  });
});
