/** The window: how far reading may run ahead of what has been handed out. */

/** Items between the last one read and the oldest not handed out, however small they are. */
const MAX_ITEMS = 65_536;
/** Bytes of encoded items and results that the window aims to hold at the most. */
export const MAX_BYTES = 16 * 1024 * 1024;
/** Items that the window always lets in, however large they are. */
const MIN_ITEMS = 64;
/** Weight of the newest batch in the mean size of an item. */
const SMOOTHING = 0.2;

/**
 * How many items may be between reading and handing out: bounded in items and, by the mean size of
 * the items seen so far, in bytes.
 */
export class Window {
  /** Bytes of an encoded item with its result, on average. */
  meanSize = 0;
  /** Bytes of results that wait for their turn, before nothing more is read. */
  maxBytes = MAX_BYTES;

  /** @param limit - a fixed number of items, where one was chosen. */
  constructor(private readonly limit: number | null = null) {}

  /** So many items, or results, were encoded in so many bytes. */
  measured(items: number, size: number): void {
    const mean = size / items;
    if (mean > this.meanSize) this.meanSize = mean;
    else this.meanSize += SMOOTHING * (mean - this.meanSize);
  }

  /**
   * The window's size now, in items.
   *
   * @param borrowed - what the borrowers can hold at once with nothing to spare; the window is
   *   never smaller, since a borrower would wait.
   * @param windows - how many windows share the bytes.
   */
  items(borrowed = 0, windows = 1): number {
    if (this.limit !== null) return this.limit;
    const fitting = this.meanSize > 0 ? Math.trunc(MAX_BYTES / windows / this.meanSize) : MAX_ITEMS;
    return Math.max(MIN_ITEMS, borrowed, Math.min(MAX_ITEMS, fitting));
  }
}
