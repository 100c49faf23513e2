/** What `pando.report` takes beyond a call that does nothing: `npx vitest bench report`. */

import { bench, describe } from "vitest";

import { ReportSum } from "../src/compute/report-sum";

const CALLS = 1000;
const { report } = new ReportSum();
let seen: unknown = null;
const nothing = (info: unknown): void => {
  seen = info;
};

describe(`${CALLS} calls, so that milliseconds are microseconds for each`, () => {
  const call = (which: (info: unknown) => void): void => {
    for (let number = 0; number < CALLS; number++)
      which({ cpuTime: 3, dataTransferTime: 0, nbItems: number, units: "BigNums" });
  };
  bench("pando.report", () => call(report));
  bench("a function that does nothing", () => call(nothing));
  void seen;
});
