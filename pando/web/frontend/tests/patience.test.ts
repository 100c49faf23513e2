/** Pauses between two tries to connect. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Patience } from "../src/node/patience";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

/** How long the next pauses are, in seconds, and what was told of the last one. */
async function rest(patience: Patience, count: number): Promise<[number[], number[]]> {
  const pauses: number[] = [];
  let ticks: number[] = [];
  for (let i = 0; i < count; i++) {
    const began = performance.now();
    ticks = [];
    const resting = patience.rest((left) => ticks.push(left));
    await vi.runAllTimersAsync();
    await resting;
    pauses.push((performance.now() - began) / 1000);
  }
  return [pauses, ticks];
}

test.each([
  [0, 0.5],
  [0.99, 0.995],
])("they get longer, and half of each is random (%d)", async (chance, share) => {
  vi.spyOn(Math, "random").mockReturnValue(chance);
  const [pauses, ticks] = await rest(new Patience(), 6);
  const whole = [1, 2, 4, 8, 15, 15];
  for (const [i, pause] of pauses.entries()) expect(pause).toBeCloseTo(whole[i]! * share, 1);
  const last = Math.ceil(15 * share);
  expect(ticks).toEqual(Array.from({ length: last }, (_, i) => last - i));
});

test("many do not come back at once", async () => {
  const began = performance.now();
  const resting = Array.from({ length: 30 }, async () => {
    await new Patience().rest(() => {});
    return performance.now() - began;
  });
  await vi.runAllTimersAsync();
  const all = await Promise.all(resting);
  expect(new Set(all).size).toBeGreaterThan(10);
});

test("whoever is in a hurry waits no more", async () => {
  const patience = new Patience();
  await rest(patience, 5);
  const resting = patience.rest(() => {});
  patience.hurry();
  await resting;
  vi.spyOn(Math, "random").mockReturnValue(0);
  expect((await rest(patience, 1))[0][0]).toBeCloseTo(0.5, 1);
});
