/**
 * New passwords for TURN servers, before those that a tab has are good no more. The twin of
 * `pando/volunteering/turn_renewal.py`: a tab that stays looks in at the root once in a while, as one that joins
 * does, and goes again without joining. Nothing that is connected depends on it.
 */

import type { Incoming, RunInfo } from "../messages";
import type { KeepaliveChannel } from "../tree/keepalive";
import { withTimeout } from "./timers";

/** The longest time between two looks, a quarter of what a password is good for; not all tabs come at once. */
const RENEW_SECONDS = 6 * 3600;
const SHORTEST = 0.75;
/** How long until the next look after one in vain. */
const RETRY_SECONDS = 600;
/** How long one look may take, in milliseconds. */
const LOOK_MILLISECONDS = 30_000;

export interface RenewalHost {
  /**
   * Connect to the root, and say that this device only looks.
   *
   * @param onLink - takes the link as soon as it is there.
   */
  look(onLink: (link: Closable) => void): Promise<Pick<KeepaliveChannel, "receive">>;
  /** Takes what the root tells joining nodes now. */
  renewed(told: RunInfo): void;
}

interface Closable {
  close(): void;
}

export class TurnRenewal {
  private stopped = false;
  private closeLink: () => void = () => {};
  private wake: () => void = () => {};

  /** @param run - the run that this device is part of. */
  constructor(
    private readonly run: string,
    private readonly host: RenewalHost,
  ) {}

  /** Ask for new passwords once in a while, until stopped. */
  async start(): Promise<void> {
    while (!this.stopped) {
      await this.rest(RENEW_SECONDS * (SHORTEST + (1 - SHORTEST) * Math.random()));
      while (!this.stopped && !(await this.renew())) await this.rest(RETRY_SECONDS);
    }
  }

  stop(): void {
    this.stopped = true;
    this.closeLink();
    this.wake();
  }

  private rest(seconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, 1000 * seconds);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Whether there are new ones. */
  private async renew(): Promise<boolean> {
    const told = await this.ask();
    if (this.stopped || told?.tag !== "assigned" || told.run !== this.run) return false;
    this.host.renewed(told);
    return true;
  }

  /** What the root says to who joins; null where it cannot be asked. */
  private async ask(): Promise<Incoming | null> {
    let isOver = false;
    const onLink = (link: Closable): void => {
      this.closeLink = () => link.close();
      if (isOver || this.stopped) link.close();
    };
    const asking = this.host.look(onLink).then((root) => root.receive());
    try {
      return await withTimeout(asking, LOOK_MILLISECONDS);
    } catch {
      return null;
    } finally {
      isOver = true;
      this.closeLink();
    }
  }
}
