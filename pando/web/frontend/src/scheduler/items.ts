/**
 * Items and results as the scheduler passes them on: it never looks into them.
 *
 * An array is one such sequence; encoded values that stay in one piece are another.
 */

export interface Items {
  readonly length: number;
  at(place: number): unknown;
  slice(start: number, end?: number): Items;
  [Symbol.iterator](): Iterator<unknown>;
}

/** Items that know how to be put together with others of their kind, without being taken apart. */
export interface JoinableItems extends Items {
  /** All these in one; null where some are of another kind. */
  join(parts: readonly Items[]): Items | null;
}

/** Several stretches of items as one. */
export function joinItems(parts: readonly Items[]): Items {
  if (parts.length === 1) return parts[0]!;
  const [first] = parts;
  const joined = first !== undefined && "join" in first && !Array.isArray(first);
  const whole = joined ? (first as JoinableItems).join(parts) : null;
  return whole ?? parts.flatMap((part) => [...part]);
}
