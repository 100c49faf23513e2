/**
 * Attempts: which borrowers were lost while they ran an item, and when the item is given up.
 *
 * An item that ends whatever runs it must not end every device; and a device on which everything
 * ends must not make items fail that others can compute. So losses count once for each source, a
 * device and its network address, and an item is given up
 *
 * - after `MAX_ATTEMPTS` losses, once that many devices with as many addresses are among them, or
 *   all devices that there are; where this node has workers of its own, they must be among them;
 * - or after `MAX_LOSSES` losses, whoever they were.
 *
 * A device that falls silent may be asleep, and not have ended: such a loss counts for a source
 * only after `RETURN_SECONDS`, and no loss counts whose device comes back.
 */

/** Sources that may be lost while they run an item, before the item fails. */
export const MAX_ATTEMPTS = 3;
/** Losses after which an item fails, whatever the sources. */
export const MAX_LOSSES = 12;
/** How long a device that fell silent may take to come back before its loss counts. */
export const RETURN_SECONDS = 60;

/** The failure of an item that was running each time a borrower was lost. */
export class AttemptsExhausted {
  constructor(
    readonly losses: number,
    readonly reason: string,
  ) {}
}

/** Where a borrower computes. Two sources with the same key are the same one. */
export class Source {
  readonly key: string;

  /**
   * @param device - the identifier of the device; one for all workers of this machine.
   * @param address - its network address, or what it shares with others that may be the same device.
   * @param isLocal - whether it is this machine.
   */
  constructor(
    readonly device: string,
    readonly address: string,
    readonly isLocal = false,
  ) {
    this.key = JSON.stringify([device, address, isLocal]);
  }
}

interface Losses {
  source: Source;
  /** From when each of them counts. */
  times: number[];
}

/** The losses of one item. */
export class Attempts {
  private readonly sources = new Map<string, Losses>();
  /** Devices that were lost while they may have been running it. */
  readonly suspectedBy = new Set<string>();
  /** Whether the item is to be lent to a borrower that holds nothing else. */
  isSuspect = false;

  /** Note a loss, which counts for its source from a time on. */
  add(source: Source, countsFrom: number): void {
    const known = this.sources.get(source.key);
    if (known === undefined) this.sources.set(source.key, { source, times: [countsFrom] });
    else known.times.push(countsFrom);
  }

  /** Whether a borrower of this source was lost while it ran the item. */
  has(source: Source): boolean {
    return this.sources.has(source.key);
  }

  /** How often a borrower was lost while it ran the item. */
  get losses(): number {
    let losses = 0;
    for (const { times } of this.sources.values()) losses += times.length;
    return losses;
  }

  /** Take back what a device was thought to be lost by: it has come back. */
  forgive(device: string): void {
    for (const [key, { source }] of this.sources) {
      if (source.device === device) this.sources.delete(key);
    }
    this.suspectedBy.delete(device);
    this.isSuspect = this.suspectedBy.size > 0;
  }

  /**
   * Whether the item is to be given up.
   *
   * @param present - the sources of the borrowers that are here.
   * @param now - the time.
   * @param maxAttempts - see `MAX_ATTEMPTS`.
   */
  areExhausted(present: Iterable<Source>, now: number, maxAttempts: number): boolean {
    const { losses } = this;
    if (losses >= MAX_LOSSES) return true;
    const lost = [...this.sources.values()];
    const counted = lost.filter(({ times }) => Math.min(...times) <= now).map((one) => one.source);
    if (losses < maxAttempts || counted.length === 0) return false;
    if (maxAttempts === 1) return true;
    const known = [...present, ...lost.map(({ source }) => source)];
    const keys = new Set(counted.map(({ key }) => key));
    if (known.some(({ isLocal, key }) => isLocal && !keys.has(key))) return false;
    const devices = new Set(counted.map(({ device }) => device)).size;
    const addresses = new Set(counted.map(({ address }) => address)).size;
    const needed = Math.min(maxAttempts, new Set(known.map(({ device }) => device)).size);
    return Math.min(devices, addresses) >= needed;
  }
}
