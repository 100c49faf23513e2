/** What computes inside a worker: one for each language. */

import { LoadFailedError } from "../errors";
import type { Report } from "../messages";
import { computeBatch, DurationEstimator } from "./batch";
import { describe, load, readPackage } from "./javascript";
import type { Part } from "./protocol";
import { ReportSum } from "./report-sum";

export interface Engine {
  /** Take a packed function; throws `LoadFailedError` where it cannot be loaded. */
  load(packed: Uint8Array): Promise<void>;
  /** Apply it to each item; `flush` is given results as they come. */
  compute(items: Uint8Array, flush: (part: Part) => void): Promise<void>;
  /** What the function has reported since the last time. */
  takeReport(): Report | null;
}

export class JavaScriptEngine implements Engine {
  private call: (item: unknown) => unknown = () => undefined;
  private readonly tally = new ReportSum();
  private readonly estimator = new DurationEstimator();

  async load(packed: Uint8Array): Promise<void> {
    try {
      this.call = load(readPackage(packed), this.tally.report);
    } catch (error) {
      const { type, reason, traceback } = describe(error);
      throw new LoadFailedError(`the function cannot be loaded: ${type}: ${reason}`, traceback);
    }
  }

  compute(items: Uint8Array, flush: (part: Part) => void): Promise<void> {
    return computeBatch(this.call, items, this.estimator, flush);
  }

  takeReport(): Report | null {
    return this.tally.take();
  }
}
