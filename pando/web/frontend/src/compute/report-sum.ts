/** What a function reports of its own work, added up until it is sent; as `pando/figures.py`. */

import type { Report } from "../messages";
import { wellFormed } from "../text";

export const MAX_UNITS = 32;
const MAX_FIGURE = 1e15;

export class ReportSum {
  private sum: Report | null = null;

  /** Add a report under the original tool's names; its times are in milliseconds. */
  readonly report = (info: unknown): void => {
    const {
      nbItems = 1,
      units = "items",
      cpuTime = 0,
      dataTransferTime = 0,
    } = (info ?? {}) as Record<string, unknown>;
    this.add({
      items: figure("nbItems", nbItems),
      units: wellFormed(String(units).slice(0, MAX_UNITS)),
      cpuSeconds: figure("cpuTime", cpuTime) / 1000,
      transferSeconds: figure("dataTransferTime", dataTransferTime) / 1000,
    });
  };

  add({ items, units, cpuSeconds, transferSeconds }: Report): void {
    const before = this.sum ?? { items: 0, cpuSeconds: 0, transferSeconds: 0 };
    this.sum = {
      items: before.items + items,
      units,
      cpuSeconds: before.cpuSeconds + cpuSeconds,
      transferSeconds: before.transferSeconds + transferSeconds,
    };
  }

  read(): Report | null {
    return this.sum;
  }

  take(): Report | null {
    const { sum } = this;
    this.sum = null;
    return sum;
  }
}

function figure(name: string, value: unknown): number {
  const number = Number(value); // a difference of Dates is a number, and so are they
  if (number >= 0 && number <= MAX_FIGURE) return number;
  throw new RangeError(
    `${name} must be a number between 0 and ${MAX_FIGURE}, not ${String(value)}`,
  );
}
