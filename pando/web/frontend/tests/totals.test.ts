import { describe, expect, test } from "vitest";

import { MAX_RESUMED, mayResume, readTab, type TabState, writeTab } from "../src/page/resume";
import { RateMeter, Totals } from "../src/page/totals";

const reported = (items: number) => ({ items, units: "frames", cpuSeconds: 1, transferSeconds: 0 });
const stay = (results: number, run = "run") => ({
  results,
  failures: 1,
  busy: 2,
  reported: reported(results / 2),
  run,
  runResults: results,
});

describe("figures of several stays", () => {
  test("are added up, those that the function reports as well", () => {
    const totals = new Totals();
    totals.update(stay(4));
    totals.update(stay(10));
    totals.endStay();
    expect(totals.read()).toEqual({ ...stay(10), runResults: 10 });
    totals.update(stay(6));
    expect(totals.read()).toMatchObject({ results: 16, failures: 2, busy: 4, runResults: 16 });
    expect(totals.read().reported).toEqual({ ...reported(8), cpuSeconds: 2 });
  });

  test("of another run count in all, but not in its own", () => {
    const totals = new Totals();
    totals.update(stay(10));
    totals.endStay();
    totals.update(stay(6, "another"));
    expect(totals.read()).toMatchObject({ results: 16, runResults: 6 });
  });

  test("outlive a reload", () => {
    const totals = new Totals();
    totals.update(stay(10));
    const again = new Totals(JSON.parse(JSON.stringify(totals.keep())));
    again.update(stay(1));
    expect(again.read()).toMatchObject({ results: 11, runResults: 11 });
  });
});

describe("the rate", () => {
  function rates(counts: [time: number, count: number][], at: number[]): number[] {
    const meter = new RateMeter();
    const all = [...at];
    const found: number[] = [];
    for (const [time, count] of counts) {
      while (all.length > 0 && all[0]! < time) found.push(meter.rate(all.shift()!));
      meter.update(time, count);
    }
    return [...found, ...all.map((time) => meter.rate(time))];
  }

  test("of quick items is that of the last seconds", () => {
    const quick = Array.from({ length: 60 }, (_, i): [number, number] => [
      i,
      i < 30 ? 10 * i : 300 + 1000 * (i - 30),
    ]);
    expect(rates(quick, [29.5, 59.5])).toEqual([10, 1000]);
  });

  test("of long items is even, without teeth", () => {
    const long = Array.from({ length: 10 }, (_, i): [number, number] => [7 * i, i]);
    const seen = rates(
      long,
      Array.from({ length: 40 }, (_, i) => 15 + i),
    );
    for (const rate of seen) expect(rate).toBeCloseTo(1 / 7, 2);
  });

  test("falls where nothing comes any more, and is 0 after a pause", () => {
    const meter = new RateMeter();
    for (let i = 0; i < 10; i++) meter.update(i, i);
    expect(meter.rate(9)).toBeCloseTo(1);
    expect(meter.rate(100)).toBeLessThan(0.1);
    meter.reset();
    expect(meter.rate(101)).toBe(0);
    meter.update(102, 9);
    expect(meter.rate(103), "what was done before the pause does not count").toBe(0);
  });
});

describe("a reload", () => {
  const state: TabState = {
    fragment: "#token",
    computing: true,
    resumed: 0,
    workers: 3,
    network: false,
    totals: new Totals().keep(),
  };

  function storage(): Storage {
    const kept = new Map<string, string>();
    return {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
    } as Storage;
  }

  test("goes on where it was computing, a few times in a row", () => {
    const tab = storage();
    writeTab(state, tab);
    expect(readTab("#token", tab)).toEqual(state);
    expect(mayResume(state)).toBe(true);
    expect(mayResume({ ...state, resumed: MAX_RESUMED })).toBe(false);
    expect(mayResume({ ...state, computing: false })).toBe(false);
    expect(mayResume(null)).toBe(false);
  });

  test("begins anew for another link, and where nothing is kept", () => {
    const tab = storage();
    writeTab(state, tab);
    expect(readTab("#another", tab)).toBe(null);
    expect(readTab("#token", storage())).toBe(null);
    tab.setItem("pando tab", "{");
    expect(readTab("#token", tab)).toBe(null);
  });
});
