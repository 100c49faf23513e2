/**
 * Placement: finds each joining node a parent, here or below. The twin of `pando/tree/placement.py`: the overlay
 * decides who goes where, and here its decisions are waited for and carried out.
 */

import { bytesToHex } from "@noble/hashes/utils.js";

import { randomBytes } from "../trust/noise";
import { type Decision, type NodeKey, Overlay } from "./overlay";

/** How long a child may take to find a place below it, in milliseconds. */
const OFFER_MILLISECONDS = 30_000;
/** Children that a joining node is sent to in vain before it is accepted here. */
const MAX_TRIES = 3;
/** How often the places of candidates that have not come are looked through, in milliseconds. */
export const EXPIRE_MILLISECONDS = 1000;
/** Join requests that are worked on at once; the parent asks for one at a time and joining node. */
export const MAX_REQUESTS = 256;
const TICKET_BYTES = 16;

/** What a parent is told: where a joining node has a place; nowhere, where there is no ticket. */
export interface PlaceOffer {
  origin: NodeKey;
  parent: NodeKey;
  ticket: string;
  answer: string;
}

/** A child, as placement sees it. */
export interface PlacedChild {
  readonly node: NodeKey;
  readonly takesChildren: boolean;
  readonly needsOffer: boolean;
  /** Ask it to find a place. @throws ChannelClosedError it is gone. */
  askForPlace(origin: NodeKey, offer: string): void;
}

/** An answer that has not come: a decision of the overlay, or a child's offer. */
class Pending<T> {
  readonly answer: Promise<T | null>;
  resolve: (answer: T | null) => void = () => {};

  constructor() {
    this.answer = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }
}

export class Placement {
  readonly children = new Map<NodeKey, PlacedChild>();
  /** Children's offers that nobody has asked for. */
  unsolicited = 0;
  private readonly tickets = new Map<NodeKey, string>();
  private readonly decisions = new Map<NodeKey, Pending<Decision>>();
  private readonly offers = new Map<PlacedChild, Map<NodeKey, Pending<PlaceOffer>>>();
  private expiring: ReturnType<typeof setInterval> | null = null;
  private requests = 0;

  /**
   * @param answerOffer - answers a joining node's offer to connect by WebRTC; empty where that fails.
   * @param now - the time, in seconds.
   */
  constructor(
    private readonly overlay: Overlay,
    private readonly answerOffer: (offer: string) => Promise<string>,
    private readonly now: () => number,
  ) {}

  // ---- join requests ----

  /** Answer the parent, which asks for a place for a joining node, at this node or below. */
  async findPlace(origin: NodeKey, offer: string): Promise<PlaceOffer> {
    const nowhere = { origin, parent: this.overlay.node, ticket: "", answer: "" };
    if (this.requests >= MAX_REQUESTS) return nowhere;
    this.requests += 1;
    try {
      return (await this.findParent(origin, offer)) ?? nowhere;
    } finally {
      this.requests -= 1;
    }
  }

  private async findParent(origin: NodeKey, offer: string): Promise<PlaceOffer | null> {
    const avoid = new Set<NodeKey>();
    for (;;) {
      if (avoid.size >= MAX_TRIES) for (const child of this.children.keys()) avoid.add(child);
      const decision = await this.decided(this.overlay.request(origin, this.now(), offer !== "", avoid));
      if (decision?.kind === "accept") return this.offerHere(origin, offer);
      if (decision?.kind !== "delegate") return null; // busy, or the same node has asked again
      const found = await this.askChild(decision.child, origin, offer);
      if (found !== null) return found;
      avoid.add(decision.child);
    }
  }

  /** Nobody can connect here but by an answer: where there is none, no place is kept. */
  private async offerHere(origin: NodeKey, offer: string): Promise<PlaceOffer | null> {
    const ticket = bytesToHex(randomBytes(TICKET_BYTES));
    this.tickets.set(origin, ticket);
    this.expireCandidates();
    const answer = offer === "" ? "" : await this.answerOffer(offer);
    if (answer !== "") return { origin, parent: this.overlay.node, ticket, answer };
    this.cancel(origin);
    return null;
  }

  /** The ticket of the place that this node keeps for a joining node, if it keeps one. */
  findTicket(origin: NodeKey): string | null {
    return this.tickets.get(origin) ?? null;
  }

  /** A joining node has proved that it has its ticket, which is good once. */
  useTicket(origin: NodeKey): void {
    this.tickets.delete(origin);
  }

  /** Keep no place for a node any more, if one is kept. */
  cancel(origin: NodeKey): void {
    this.tickets.delete(origin);
    const isCandidate = !this.children.has(origin) && this.overlay.candidates.includes(origin);
    if (isCandidate) this.resolve(this.overlay.left(origin, this.now()));
  }

  /** A decision that is none yet, once it has been made; null where it never will be. */
  private async decided(decision: Decision): Promise<Decision | null> {
    if (decision.kind !== "wait") return decision;
    const { origin } = decision;
    this.decisions.get(origin)?.resolve(null);
    const pending = new Pending<Decision>();
    this.decisions.set(origin, pending);
    const made = await pending.answer;
    if (this.decisions.get(origin) === pending) this.decisions.delete(origin);
    return made;
  }

  private resolve(decisions: Decision[]): void {
    for (const decision of decisions) {
      if (decision.kind !== "wait") this.decisions.get(decision.origin)?.resolve(decision);
    }
  }

  /** Ask a child to find a place; null where it has none, or does not answer in time. */
  private async askChild(node: NodeKey, origin: NodeKey, offer: string): Promise<PlaceOffer | null> {
    const child = this.children.get(node);
    if (child === undefined) return null;
    const pending = new Pending<PlaceOffer>();
    const asked = this.offers.get(child) ?? new Map<NodeKey, Pending<PlaceOffer>>();
    this.offers.set(child, asked);
    asked.get(origin)?.resolve(null);
    asked.set(origin, pending);
    const patience = setTimeout(() => pending.resolve(null), OFFER_MILLISECONDS);
    try {
      child.askForPlace(origin, offer);
      const found = await pending.answer;
      return found?.ticket ? found : null;
    } catch {
      return null; // it is gone
    } finally {
      clearTimeout(patience);
      if (asked.get(origin) === pending) asked.delete(origin);
    }
  }

  // ---- children ----

  connected(child: PlacedChild): void {
    this.children.set(child.node, child);
    const { node, takesChildren, needsOffer } = child;
    this.resolve(this.overlay.connected(node, this.now(), takesChildren, needsOffer));
  }

  /** Note whether others can connect to a child from now on, as it says. */
  setTakesChildren(child: PlacedChild, takesChildren: boolean): void {
    if (this.children.get(child.node) === child) this.overlay.setTakesChildren(child.node, takesChildren);
  }

  /** A child has gone: nobody waits for its answers any more. */
  left(child: PlacedChild): void {
    if (this.children.get(child.node) === child) {
      this.children.delete(child.node);
      this.resolve(this.overlay.left(child.node, this.now()));
    }
    for (const pending of this.offers.get(child)?.values() ?? []) pending.resolve(null);
    this.offers.delete(child);
  }

  /** Take a child's answer to the question for a place. */
  offered(child: PlacedChild, offer: PlaceOffer): void {
    const pending = this.offers.get(child)?.get(offer.origin);
    if (pending === undefined) this.unsolicited += 1;
    else pending.resolve(offer);
  }

  /** Free the places of candidates that never come, as long as there are some. */
  private expireCandidates(): void {
    this.expiring ??= setInterval(() => {
      this.resolve(this.overlay.expire(this.now()));
      const { candidates } = this.overlay;
      for (const origin of this.tickets.keys()) if (!candidates.includes(origin)) this.tickets.delete(origin);
      if (candidates.length === 0) this.end();
    }, EXPIRE_MILLISECONDS);
  }

  /** Expire nothing any more, until there is a candidate again. */
  end(): void {
    if (this.expiring !== null) clearInterval(this.expiring);
    this.expiring = null;
  }
}
