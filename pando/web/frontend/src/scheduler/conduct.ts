/**
 * Conduct: what a device has done with what it was lent, and how long it gets nothing for that.
 *
 * A device may be hostile, broken or unlucky. None of that can be told from here, so each cause has
 * the same remedy: the device is lent nothing for a while, each time for longer, and others have
 * its items meanwhile. What it does well shortens the next pause again.
 */

const FIRST_PAUSE_SECONDS = 0.05;
/** Pauses after items that were given back unasked, or not answered in time. */
const MAX_PAUSE_SECONDS = 30;
const FIRST_ASIDE_SECONDS = 10;
/** Pauses of a device that is set aside. */
const MAX_ASIDE_SECONDS = 600;
/** Workers, or links, that a device may lose one after the other without any result. */
const MAX_LOST = 5;
const MIN_MALFORMED = 3;
/** Malformed results that a device may send, and which share of its results they may be. */
const MAX_MALFORMED_SHARE = 0.01;
/** Devices whose conduct is remembered while they are away. */
const MAX_DEVICES = 4096;

/** A device's conduct. Times are in seconds, as they are told. */
export class Conduct {
  /** Until when it is lent nothing. */
  pausedUntil = 0;
  /** Whether there is something that results make good. */
  blemishes = false;
  private refusals = 0;
  private losses = 0;
  private malformed = 0;
  private timesAside = 0;

  /** Take note of results. */
  delivered(): void {
    this.losses = 0;
    this.refusals = Math.max(0, this.refusals - 0.1);
    this.blemishes = this.refusals > 0;
  }

  /**
   * Take note of items that were given back unasked, or not answered in time.
   *
   * @param wasted - for how long the items were of no use to others.
   */
  refused(now: number, wasted = 0): void {
    if (now < this.pausedUntil) return;
    const pause = FIRST_PAUSE_SECONDS * 2 ** Math.min(this.refusals, 20);
    this.refusals += 1;
    this.blemishes = true;
    this.pausedUntil = now + Math.min(Math.max(pause, wasted), MAX_PAUSE_SECONDS);
  }

  /** Take note of a lost worker or link; if the device is set aside for it, why. */
  lost(now: number): string {
    this.losses += 1;
    this.blemishes = true;
    if (this.losses < MAX_LOST) return "";
    const count = this.losses;
    this.losses = 0;
    return this.setAside(now, `lost ${count} workers, computed nothing`);
  }

  /** Take note of a malformed result among so many; if it is set aside for it, why. */
  sentMalformed(now: number, results: number): string {
    this.malformed += 1;
    const count = this.malformed;
    if (count < MIN_MALFORMED || count <= MAX_MALFORMED_SHARE * (results + count)) return "";
    this.malformed = 0;
    return this.setAside(now, `${count} of its results were malformed`);
  }

  /** Pause for long; why. */
  private setAside(now: number, reason: string): string {
    const pause = FIRST_ASIDE_SECONDS * 2 ** Math.min(this.timesAside, 20);
    this.timesAside += 1;
    this.pausedUntil = now + Math.min(pause, MAX_ASIDE_SECONDS);
    return reason;
  }
}

/** The conduct of devices, also of those that are away; of the latest `MAX_DEVICES`. */
export class Conducts {
  private readonly byDevice = new Map<string, Conduct>();

  /** The conduct of a device. */
  of(device: string): Conduct {
    const conduct = this.byDevice.get(device) ?? new Conduct();
    this.byDevice.delete(device);
    this.byDevice.set(device, conduct); // last, as the latest
    if (this.byDevice.size > MAX_DEVICES) {
      for (const oldest of this.byDevice.keys()) {
        this.byDevice.delete(oldest);
        break;
      }
    }
    return conduct;
  }
}
