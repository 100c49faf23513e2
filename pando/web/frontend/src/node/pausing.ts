/** The person at a device pauses it, and has it go on: its place in the tree is kept meanwhile. */

import { ChannelClosedError, LoadFailedError } from "../errors";
import { type Computing, LEAVE_MILLISECONDS } from "./computing";
import type { DevicePhase } from "./device-state";
import type { Session } from "./session";

export interface PausingHost {
  /** Whether the device still computes for this session's run. */
  has(session: Session): boolean;
  /** Computes for the parent that it has, or had last. */
  computing(): Computing | null;
  openSandbox(run: string): Promise<MessagePort>;
  /** End the link to the parent. */
  hangUp(): void;
  show(phase: DevicePhase): void;
}

export class Pausing {
  /** Whether the person at this device has paused it. */
  isPaused = false;

  constructor(private readonly host: PausingHost) {}

  /** Compute nothing until `resume`. */
  async pause(session: Session): Promise<void> {
    const { host } = this;
    this.isPaused = true;
    host.computing()?.announce(0);
    await session.pause(LEAVE_MILLISECONDS);
    if (!host.has(session)) return; // its parent is lost
    host.computing()?.report();
    host.show("paused");
  }

  /** Go on computing, with so many workers, and as this name. */
  async resume(session: Session, name: string, workers: number): Promise<void> {
    const { host } = this;
    this.isPaused = false;
    host.show("preparing");
    try {
      const sandbox = await host.openSandbox(session.run);
      if (!host.has(session)) return;
      await session.resume(sandbox, name, workers);
    } catch (error) {
      if (!(error instanceof ChannelClosedError || error instanceof LoadFailedError)) throw error;
      host.hangUp();
      return;
    }
    host.computing()?.announce(workers);
    host.show("computing");
  }
}
