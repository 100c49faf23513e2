import { expect, test } from "vitest";

import { Trace } from "../src/page/trace";

test("a pause is a gap, and no slope across it", () => {
  const trace = new Trace();
  trace.add(100, 5);
  trace.add(101, 6);
  for (let now = 102; now < 110; now++) trace.add(now, null);
  trace.add(110, 4);
  const [times, rates] = trace.read();
  expect(times[0]).toBe(-10);
  expect(times.at(-1)).toBe(0);
  expect(rates).toEqual([5, 6, ...Array<null>(8).fill(null), 4]);
});
test("it shows half a minute at first, and three minutes at the most", () => {
  const trace = new Trace();
  expect(trace.span).toBe(30);
  for (let now = 0; now <= 45; now++) trace.add(now, 1);
  expect(trace.span).toBe(60);
  for (let now = 46; now <= 1000; now++) trace.add(now, 1);
  expect(trace.span).toBe(180);
  expect(trace.read()[0].length).toBe(181);
});
