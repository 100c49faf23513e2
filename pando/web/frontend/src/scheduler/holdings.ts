/**
 * Holdings: who holds which items, under which leases.
 *
 * An item has at most one current lease. Or two, while it is lent a second time (`double`): then
 * the first answer ends the other lease for that item, and what one of both borrowers gives back
 * stays with the other.
 */

import type { Source } from "./attempts";
import type { Items } from "./items";
import { Lease } from "./lease";
import { LeaseNumbers } from "./lease-numbers";

/** A part of a lease: the first offset, and the one after the last. */
export type Stretch = readonly [lease: Lease, low: number, high: number];

/** What a borrower holds. */
export interface Holder {
  readonly source: Source;
  readonly leases: Map<number, Lease>;
  held: number;
  holdsSuspect: boolean;
}

/** The current leases of a lender's borrowers. */
export class Holdings {
  /** All current leases, by number. */
  readonly leases = new Map<number, Lease>();
  /** All borrowers. */
  readonly holders = new Map<unknown, Holder>();
  /** How many items are lent, each counted once. */
  lent = 0;
  /** How many leases are of an item that is lent alone. */
  suspects = 0;
  /** How many times an item has been lent a second time. */
  doubled = 0;
  /**
   * Leases that ended because another borrower answered first, or because they were the older of
   * two; whoever drives the lender tells their borrowers.
   */
  superseded: Lease[] = [];
  private readonly pairs = new Map<number, readonly [older: Lease, newer: Lease]>();
  private readonly devices = new Map<number, string[]>();

  /** @param numbers - where leases get their numbers from. */
  constructor(private readonly numbers = new LeaseNumbers()) {}

  /** Register a borrower. */
  join(borrower: unknown, source: Source): void {
    if (this.holders.has(borrower)) throw new Error("this borrower has joined before");
    this.holders.set(borrower, { source, leases: new Map(), held: 0, holdsSuspect: false });
  }

  /** What a borrower holds, which must be here. */
  holder(borrower: unknown): Holder {
    const holder = this.holders.get(borrower);
    if (holder === undefined) throw new Error("no such borrower is here");
    return holder;
  }

  /** Forget a borrower; what it held that nobody else holds. */
  leave(borrower: unknown): Stretch[] {
    const stretches: Stretch[] = [];
    for (const lease of [...this.holder(borrower).leases.values()]) {
      for (const [low, high] of [...lease.missing]) {
        stretches.push(...(this.release(borrower, lease.number, low, high - low) ?? []));
      }
    }
    this.holders.delete(borrower);
    return stretches;
  }

  /** A current lease of this borrower. */
  get(borrower: unknown, number: number): Lease | undefined {
    return this.holders.get(borrower)?.leases.get(number);
  }

  /** Make a lease of items that nobody holds. */
  lend(borrower: unknown, start: number, items: Items, isAlone = false): Lease {
    this.lent += items.length;
    return this.make(borrower, start, items, isAlone);
  }

  private make(borrower: unknown, start: number, items: Items, isAlone: boolean): Lease {
    const holder = this.holder(borrower);
    holder.held += items.length;
    const number = this.numbers.next();
    const lease = new Lease(number, borrower, start, items, isAlone, holder.held);
    this.leases.set(number, lease);
    holder.leases.set(number, lease);
    if (isAlone) {
      holder.holdsSuspect = true;
      this.suspects += 1;
    }
    return lease;
  }

  /** Take items out of a current lease of this borrower because their results are there. */
  finish(borrower: unknown, number: number, offset: number, count: number): Lease | undefined {
    const lease = this.remove(borrower, number, offset, count);
    if (lease === undefined) return undefined;
    this.lent -= count;
    if (this.devices.size > 0) {
      const start = lease.start + offset;
      for (const index of known(this.devices, start, start + count)) {
        this.devices.delete(index);
        this.endOther(index, lease);
      }
    }
    return lease;
  }

  /**
   * Take items out of a current lease without results.
   *
   * @returns those that nobody else holds; undefined where they are not this borrower's.
   */
  release(borrower: unknown, number: number, offset: number, count: number): Stretch[] | undefined {
    const lease = this.remove(borrower, number, offset, count);
    if (lease === undefined) return undefined;
    let low = offset;
    const end = offset + count;
    const stretches: Stretch[] = [];
    if (this.pairs.size > 0) {
      const { start } = lease;
      for (const index of known(this.pairs, start + low, start + end).sort((a, b) => a - b)) {
        this.pairs.delete(index);
        if (low < index - start) stretches.push([lease, low, index - start]);
        low = index - start + 1;
      }
    }
    if (low < end) stretches.push([lease, low, end]);
    for (const [, first, last] of stretches) this.lent -= last - first;
    return stretches;
  }

  /** End what is left of an item's leases: it has failed. */
  drop(index: number): void {
    for (const lease of [...this.leases.values()]) {
      if (lease.clip(index - lease.start, index - lease.start + 1).length > 0) {
        this.supersede(lease, index);
        this.lent -= 1;
      }
    }
    this.devices.delete(index);
  }

  /** Forget what is known of items that nobody holds and that have left the stream. */
  forget(start: number, count: number): void {
    for (const index of known(this.devices, start, start + count)) this.devices.delete(index);
  }

  // ---- items that are lent twice ----

  /** Lend the lowest missing items of a lease to another borrower, too. */
  double(borrower: unknown, lease: Lease, limit: number, isAlone = false): Lease {
    if (borrower === lease.borrower) throw new Error("nobody is lent an item twice");
    const [low, end] = lease.missing[0]!;
    const high = Math.min(end, low + limit);
    const copy = this.make(borrower, lease.start + low, lease.items.slice(low, high), isAlone);
    copy.isCopy = true;
    const device = this.holder(borrower).source.device;
    for (let index = copy.start; index < copy.start + high - low; index++) {
      this.endOther(index, lease);
      this.pairs.set(index, [lease, copy]);
      const devices = this.devices.get(index);
      if (devices === undefined) {
        this.devices.set(index, [this.holder(lease.borrower).source.device, device]);
      } else {
        devices.push(device);
      }
    }
    this.doubled += high - low;
    return copy;
  }

  /** How often an unfinished item has been lent a second time. */
  timesDoubled(index: number): number {
    return Math.max(0, this.devicesBefore(index).length - 1);
  }

  /** The devices that have had an item which was lent more than once. */
  devicesBefore(index: number): readonly string[] {
    return this.devices.get(index) ?? [];
  }

  /** The devices that hold an item of a lease. */
  devicesOf(index: number, lease: Lease): Set<string> {
    const leases = this.pairs.get(index) ?? [lease];
    return new Set(leases.map((each) => this.holder(each.borrower).source.device));
  }

  /** The newer of an item's two leases, or the only one, which is given. */
  newest(index: number, lease: Lease): Lease {
    return this.pairs.get(index)?.[1] ?? lease;
  }

  /** End the other lease of an item, if there is one. */
  private endOther(index: number, lease: Lease): void {
    const pair = this.pairs.get(index);
    if (pair === undefined) return;
    this.pairs.delete(index);
    const [older, newer] = pair;
    older.wasOutrun ||= lease !== older;
    this.supersede(lease === newer ? older : newer, index);
  }

  private supersede(lease: Lease, index: number): void {
    this.remove(lease.borrower, lease.number, index - lease.start, 1);
    lease.isSupersededInPart = true;
    if (lease.left === 0) this.superseded.push(lease);
  }

  // ---- inside ----

  /** Take a stretch out of a current lease of this borrower, ending the lease if it's all. */
  private remove(
    borrower: unknown,
    number: number,
    offset: number,
    count: number,
  ): Lease | undefined {
    const holder = this.holders.get(borrower);
    const lease = holder?.leases.get(number);
    if (holder === undefined || !lease?.removeRange(offset, count)) return undefined;
    holder.held -= count;
    if (lease.left === 0) {
      this.leases.delete(number);
      holder.leases.delete(number);
      if (lease.isAlone) {
        holder.holdsSuspect = false;
        this.suspects -= 1;
      }
    }
    return lease;
  }

  /** Who holds each item that is lent; for tests. */
  missingByIndex(): Map<number, Lease[]> {
    const current = new Map<number, Lease[]>();
    for (const lease of this.leases.values()) {
      for (const [low, high] of lease.missing) {
        for (let index = lease.start + low; index < lease.start + high; index++) {
          current.set(index, [...(current.get(index) ?? []), lease]);
        }
      }
    }
    return current;
  }

  /** The items that have two current leases; for tests. */
  get pairedIndices(): number[] {
    return [...this.pairs.keys()];
  }

  /** The items whose devices are remembered; for tests. */
  get rememberedIndices(): number[] {
    return [...this.devices.keys()];
  }
}

/** The indices of a stretch that are keys, looking at whichever are fewer. */
function known(of: ReadonlyMap<number, unknown>, low: number, high: number): number[] {
  if (of.size < high - low) return [...of.keys()].filter((index) => low <= index && index < high);
  const found: number[] = [];
  for (let index = low; index < high; index++) if (of.has(index)) found.push(index);
  return found;
}
