/** What computes inside a worker: one for each language. */

import type { Report } from "../messages";
import { computeBatch, Expectation } from "./batch";
import { describe, load, readPackage } from "./javascript";
import type { Part } from "./protocol";
import { Tally } from "./report";

export interface Engine {
  /** Take a packed function; throws `Refusal` where it cannot be loaded. */
  load(packed: Uint8Array): Promise<void>;
  /** Apply it to each item; `flush` is given results as they come. */
  compute(items: Uint8Array, flush: (part: Part) => void): Promise<void>;
  /** What the function has reported since the last time. */
  takeReport(): Report | null;
}

/** The function cannot be loaded here, and why. */
export class Refusal extends Error {
  constructor(
    readonly reason: string,
    readonly traceback: string,
  ) {
    super(reason);
  }
}

export class JavaScriptEngine implements Engine {
  private call: (item: unknown) => unknown = () => undefined;
  private readonly tally = new Tally();
  private readonly expectation = new Expectation();

  async load(packed: Uint8Array): Promise<void> {
    try {
      this.call = load(readPackage(packed), this.tally.report);
    } catch (error) {
      const { type, reason, traceback } = describe(error);
      throw new Refusal(`the function cannot be loaded: ${type}: ${reason}`, traceback);
    }
  }

  compute(items: Uint8Array, flush: (part: Part) => void): Promise<void> {
    return computeBatch(this.call, items, this.expectation, flush);
  }

  takeReport(): Report | null {
    return this.tally.take();
  }
}
