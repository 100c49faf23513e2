/**
 * The scheduler decides as its twin in Python did when its traces were recorded.
 *
 * `python -m tests.test_scheduler_traces` records them anew; where a decision has changed on
 * purpose, both languages have to change.
 */

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

import { CreditPlayer, type CreditPlayerOptions } from "./credit-player";
import { LenderPlayer, type LenderPlayerOptions } from "./lender-player";
import { LendingPlayer, type LendingPlayerOptions } from "./lending-player";

interface Trace {
  kind: string;
  seed: number;
  options: unknown;
  events: [event: unknown[], outcome: unknown[]][];
}

const PATH = new URL("../../../../tests/vectors/scheduler-traces.json", import.meta.url);
const traces = JSON.parse(readFileSync(PATH, "utf-8")) as Trace[];

function playerOf({ kind, options }: Trace): { play(event: unknown[]): unknown[] } {
  if (kind === "lending") return new LendingPlayer(options as LendingPlayerOptions);
  if (kind === "lender") return new LenderPlayer(options as LenderPlayerOptions);
  return new CreditPlayer(options as CreditPlayerOptions);
}

/** Whether two outcomes are the same: doubles to a billionth, all else exactly. */
function agree(found: unknown, known: unknown): boolean {
  if (Array.isArray(found) && Array.isArray(known)) {
    return found.length === known.length && found.every((each, place) => agree(each, known[place]));
  }
  if (typeof found === "number" && typeof known === "number") {
    if (Number.isInteger(known) && Number.isInteger(found)) return found === known;
    return Math.abs(found - known) <= Math.max(1e-9 * Math.abs(known), 1e-12);
  }
  return found === known;
}

test("there are traces of each kind", () => {
  expect(new Set(traces.map(({ kind }) => kind))).toEqual(new Set(["lending", "lender", "credit"]));
  expect(traces.length).toBeGreaterThan(30);
});

test.each(traces.map((trace) => [`${trace.kind} ${trace.seed}`, trace] as const))(
  "%s",
  (_, trace) => {
    const player = playerOf(trace);
    trace.events.forEach(([event, outcome], number) => {
      const found = player.play(event);
      // The comparison that tells where they differ is too slow for each event.
      if (!agree(found, outcome)) expect(found, `event ${number}, ${event}`).toEqual(outcome);
    });
    expect.assertions(0);
  },
);

test("what differs is seen", () => {
  expect(agree([1, [0.5, null]], [1, [0.5 + 1e-13, null]])).toBe(true);
  expect(agree([1, [0.5]], [1, [0.5 + 1e-6]])).toBe(false);
  expect(agree([1, 2], [1, 3])).toBe(false);
  expect(agree([1], [1, null])).toBe(false);
  expect(agree("a", null)).toBe(false);
});
