/**
 * The overlay: who accepts a joining node, and who delegates it. Decisions only, no I/O, no clock. The twin of
 * `pando/tree/overlay.py`, which tells the cases and where they come from; both replay `tests/vectors/overlay.json`.
 */

import { blake2b } from "@noble/hashes/blake2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";

/** An identifier as a text, which maps can have as a key. */
export type NodeKey = string;

export const keyOf = (node: Uint8Array): NodeKey => bytesToHex(node);
export const nodeOf = (key: NodeKey): Uint8Array => hexToBytes(key);

/** Join requests that may wait for candidates to connect. */
export const MAX_WAITING = 4096;

export type Decision =
  /** Take the joining node as a child: a place is kept for it until it has connected. */
  | { kind: "accept"; origin: NodeKey }
  /** Delegate the join request to this child. */
  | { kind: "delegate"; origin: NodeKey; child: NodeKey }
  /** A decision on this node follows when a candidate has connected. */
  | { kind: "wait"; origin: NodeKey }
  /** There is no place at present: the joining node should ask again. */
  | { kind: "busy"; origin: NodeKey };

/** Two slots of a node for a joining node: a hash of the exclusive-or of both. */
export function chooseSlots(origin: NodeKey, node: NodeKey, degree: number): [number, number] {
  const [one, other] = [nodeOf(origin), nodeOf(node)];
  const digest = blake2b(one.map((byte, place) => byte ^ other[place]!), { dkLen: 16 });
  const view = new DataView(digest.buffer, digest.byteOffset);
  const slot = (at: number): number => Number(view.getBigUint64(at) % BigInt(degree));
  return [slot(0), slot(8)];
}

/** A child's place: a candidate until it has connected. */
class Slot {
  takesChildren = true;
  /** Whether a node can connect to it only by the answer to an offer of WebRTC. */
  needsOffer = false;
  /** How many joining nodes have been sent there, or wait for that. */
  sent = 0;
  deadline = 0;
  /** The joining nodes that wait, and whether they offer WebRTC. */
  waiting = new Map<NodeKey, boolean>();
  connected = false;

  constructor(readonly node: NodeKey) {}

  takes(offers: boolean): boolean {
    return this.takesChildren && (offers || !this.needsOffer);
  }
}

export interface OverlayOptions {
  /** Children before it delegates. */
  degree: number;
  /** Seconds that a candidate may take to connect. */
  timeout: number;
  maxWaiting?: number;
}

export class Overlay {
  private readonly degree: number;
  private readonly timeout: number;
  private readonly maxWaiting: number;
  private readonly slots: (Slot | null)[];
  private readonly extra = new Map<NodeKey, Slot>();
  private readonly waitingAt = new Map<NodeKey, Slot>();

  constructor(
    readonly node: NodeKey,
    { degree, timeout, maxWaiting = MAX_WAITING }: OverlayOptions,
  ) {
    this.degree = degree;
    this.timeout = timeout;
    this.maxWaiting = maxWaiting;
    this.slots = new Array<Slot | null>(degree).fill(null);
  }

  // ---- join requests ----

  /**
   * Decide where a joining node finds its place.
   *
   * @param now - the time, in seconds.
   * @param offers - whether it has made an offer to connect by WebRTC.
   * @param avoid - children that have failed to place it already.
   */
  request(origin: NodeKey, now: number, offers: boolean, avoid: ReadonlySet<NodeKey> = new Set()): Decision {
    const own = this.find(origin);
    if (own !== undefined) {
      // It has lost its link, perhaps before this node has noticed.
      own.connected = false;
      own.deadline = now + this.timeout;
      return { kind: "accept", origin };
    }
    this.forget(origin);
    if (this.slots.includes(null)) return this.admit(origin, now);
    let connecting = false;
    for (const [step, slot] of [...this.ways(origin)].entries()) {
      if (!slot.takes(offers) || avoid.has(slot.node)) continue;
      if (slot.connected) {
        slot.sent += 1;
        return { kind: "delegate", origin, child: slot.node };
      }
      if (step === 0 && this.waitingAt.size < this.maxWaiting) {
        // Any other slot would break the balance.
        slot.sent += 1;
        slot.waiting.set(origin, offers);
        this.waitingAt.set(origin, slot);
        return { kind: "wait", origin };
      }
      connecting = true;
    }
    return connecting ? { kind: "busy", origin } : this.admit(origin, now);
  }

  /** Give a joining node without another place one here, beyond the degree if need be. */
  accept(origin: NodeKey, now: number): Decision {
    this.forget(origin);
    this.remove(origin);
    return this.admit(origin, now);
  }

  /** Note that a candidate has connected; the decisions on those that waited for it. */
  connected(node: NodeKey, now: number, takesChildren = true, needsOffer = false): Decision[] {
    this.forget(node);
    const slot = this.find(node) ?? this.add(node);
    slot.connected = true;
    slot.takesChildren = takesChildren;
    slot.needsOffer = needsOffer;
    return [...this.takeWaiting(slot)].map(([origin, offers]) =>
      slot.takes(offers) ? { kind: "delegate", origin, child: node } : this.request(origin, now, offers),
    );
  }

  /** Note whether others can connect to a child, from now on. */
  setTakesChildren(node: NodeKey, takesChildren: boolean): void {
    const slot = this.find(node);
    if (slot !== undefined) slot.takesChildren = takesChildren;
  }

  /** Free the place of a child that is gone; the decisions on those that waited for it. */
  left(node: NodeKey, now: number): Decision[] {
    const slot = this.find(node);
    if (slot === undefined) return [];
    this.remove(node);
    return [...this.takeWaiting(slot)].map(([origin, offers]) => this.request(origin, now, offers));
  }

  /** Free the places of candidates that have taken too long. */
  expire(now: number): Decision[] {
    const late = this.all().filter((slot) => !slot.connected && slot.deadline <= now);
    // One of them may have been given a new deadline by what was decided on another.
    return late.flatMap((slot) => (!slot.connected && slot.deadline <= now ? this.left(slot.node, now) : []));
  }

  // ---- state ----

  get children(): NodeKey[] {
    return this.all().filter(({ connected }) => connected).map(({ node }) => node);
  }

  /** The children that have a place beyond the degree. */
  get beyondDegree(): NodeKey[] {
    return [...this.extra.values()].filter(({ connected }) => connected).map(({ node }) => node);
  }

  /** Those for whom a place is kept until they have connected. */
  get candidates(): NodeKey[] {
    return this.all().filter(({ connected }) => !connected).map(({ node }) => node);
  }

  /** How many requests wait for a candidate to connect. */
  get waiting(): number {
    return this.waitingAt.size;
  }

  // ---- slots ----

  /** The slots of a full node for a joining node, in the order in which they are tried. */
  private *ways(origin: NodeKey): Generator<Slot> {
    const [first, second] = chooseSlots(origin, this.node, this.degree);
    const slots = this.slots.filter((slot) => slot !== null);
    const [one, other] = [slots[first]!, slots[second]!];
    const pair = one === other ? [one] : other.sent < one.sent ? [other, one] : [one, other];
    yield* pair;
    for (let step = 1; step < this.degree; step++) {
      const slot = slots[(first + step) % this.degree]!;
      if (slot !== pair.at(-1)) yield slot;
    }
  }

  private all(): Slot[] {
    return [...this.slots.filter((slot) => slot !== null), ...this.extra.values()];
  }

  private find(node: NodeKey): Slot | undefined {
    return this.all().find((slot) => slot.node === node);
  }

  private add(node: NodeKey): Slot {
    const slot = new Slot(node);
    if (this.slots.includes(null)) {
      let [free] = chooseSlots(node, this.node, this.degree);
      while (this.slots[free] !== null) free = (free + 1) % this.degree;
      this.slots[free] = slot;
    } else {
      this.extra.set(node, slot);
    }
    return slot;
  }

  private remove(node: NodeKey): void {
    this.extra.delete(node);
    const at = this.slots.findIndex((slot) => slot?.node === node);
    if (at >= 0) this.slots[at] = null;
  }

  private admit(origin: NodeKey, now: number): Decision {
    this.add(origin).deadline = now + this.timeout;
    return { kind: "accept", origin };
  }

  /** Remove the waiting request of a node that asks again, or has connected. */
  private forget(origin: NodeKey): void {
    const slot = this.waitingAt.get(origin);
    if (slot === undefined) return;
    this.waitingAt.delete(origin);
    slot.sent -= 1;
    slot.waiting.delete(origin);
  }

  /** Remove and return those that waited for a slot. */
  private takeWaiting(slot: Slot): Map<NodeKey, boolean> {
    const { waiting } = slot;
    slot.waiting = new Map();
    for (const origin of waiting.keys()) this.waitingAt.delete(origin);
    return waiting;
  }
}
