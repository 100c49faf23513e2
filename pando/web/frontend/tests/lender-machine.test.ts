/** The lender under random events; the promises are checked by number. */

import { expect, test } from "vitest";

import { randomNumbers } from "./bytes";
import { LenderMachine, step } from "./lender-machine";

const SEEDS = Number(process.env["SEEDS"] ?? 300);
const STEPS = 120;

test.each([true, false])(
  "whatever happens, the promises hold, in order: %s",
  (ordered) => {
    let doubled = 0;
    let strikes = 0;
    for (let seed = 0; seed < SEEDS; seed++) {
      const machine = new LenderMachine(randomNumbers(seed), ordered);
      try {
        for (let i = 0; i < STEPS; i++) {
          step(machine);
          machine.check();
        }
        machine.finish();
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
      const figures = machine.lender.statistics();
      doubled += figures.doubled;
      strikes += figures.strikes;
    }
    expect(doubled).toBeGreaterThan(SEEDS / 10);
    expect(strikes).toBeGreaterThan(SEEDS / 10);
  },
  600_000,
);
