/** Where joining nodes find a place at and below a tab, and what becomes of tickets. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { ChannelClosedError } from "../src/errors";
import { type NodeKey, Overlay } from "../src/tree/overlay";
import {
  EXPIRE_MILLISECONDS,
  MAX_REQUESTS,
  type PlacedChild,
  Placement,
} from "../src/tree/placement";

const id = (number: number): NodeKey => number.toString(16).padStart(16, "0");
const OWN = id(99);

let placement: Placement;
let overlay: Overlay;
let answer: string;

beforeEach(() => {
  vi.useFakeTimers();
  overlay = new Overlay(OWN, { degree: 1, timeout: 10 });
  answer = "an answer";
  placement = new Placement(
    overlay,
    () => Promise.resolve(answer),
    () => performance.now() / 1000,
  );
});
afterEach(() => {
  placement.end();
  vi.useRealTimers();
});

/** A child that notes what it is asked. */
class FakeChild implements PlacedChild {
  readonly asked: [origin: NodeKey, offer: string][] = [];
  takesChildren = true;
  needsOffer = false;
  isGone = false;

  constructor(readonly node: NodeKey) {}

  askForPlace(origin: NodeKey, offer: string): void {
    if (this.isGone) throw new ChannelClosedError("gone");
    this.asked.push([origin, offer]);
  }
}

/** A child that has the only place. */
async function withChild(): Promise<FakeChild> {
  await placement.findPlace(id(1), "offer");
  const child = new FakeChild(id(1));
  placement.connected(child);
  return child;
}

test("a place here has a ticket, which is good once and for its node alone", async () => {
  const found = await placement.findPlace(id(1), "offer");
  expect(found).toMatchObject({ origin: id(1), parent: OWN, answer: "an answer" });
  expect(found.ticket.length).toBeGreaterThanOrEqual(22);
  expect(placement.findTicket(id(1))).toBe(found.ticket);
  expect(placement.findTicket(id(2))).toBeNull();
  placement.useTicket(id(1));
  expect(placement.findTicket(id(1))).toBeNull();
});

test.each(["no offer", "no answer"])("with %s no place is kept", async (what) => {
  if (what === "no answer") answer = "";
  const found = await placement.findPlace(id(1), what === "no offer" ? "" : "offer");
  expect(found).toEqual({ origin: id(1), parent: OWN, ticket: "", answer: "" });
  expect(placement.findTicket(id(1))).toBeNull();
  expect(overlay.candidates).toEqual([]);
});

test("a candidate that does not come makes room, and its ticket is void", async () => {
  await placement.findPlace(id(1), "offer");
  await vi.advanceTimersByTimeAsync(9000);
  expect(overlay.candidates).toEqual([id(1)]);
  await vi.advanceTimersByTimeAsync(2000 + EXPIRE_MILLISECONDS);
  expect(overlay.candidates).toEqual([]);
  expect(placement.findTicket(id(1))).toBeNull();
  expect(vi.getTimerCount()).toBe(0);
});

test("a full node asks its child, and passes on what that offers", async () => {
  const child = await withChild();
  const found = placement.findPlace(id(2), "an offer");
  await vi.advanceTimersByTimeAsync(0);
  expect(child.asked).toEqual([[id(2), "an offer"]]);
  const offer = { origin: id(2), parent: id(7), ticket: "t", answer: "a" };
  placement.offered(child, offer);
  expect(await found).toEqual(offer);
});

test.each(["has none", "is silent", "leaves", "is gone"])(
  "a joining node is accepted here where the child %s",
  async (how) => {
    const child = await withChild();
    child.isGone = how === "is gone";
    const found = placement.findPlace(id(2), "an offer");
    await vi.advanceTimersByTimeAsync(0);
    if (how === "has none")
      placement.offered(child, { origin: id(2), parent: id(1), ticket: "", answer: "" });
    if (how === "is silent") await vi.advanceTimersByTimeAsync(30_000);
    if (how === "leaves") placement.left(child);
    expect(await found).toMatchObject({ parent: OWN, answer: "an answer" });
  },
);

test("who waits for a candidate is sent to it once it has connected", async () => {
  await placement.findPlace(id(1), "offer");
  const found = placement.findPlace(id(2), "offer");
  await vi.advanceTimersByTimeAsync(0);
  const child = new FakeChild(id(1));
  placement.connected(child);
  await vi.advanceTimersByTimeAsync(0);
  placement.offered(child, { origin: id(2), parent: id(1), ticket: "t", answer: "" });
  expect((await found).ticket).toBe("t");
});

test("a request that is made again replaces the one that waits", async () => {
  await placement.findPlace(id(1), "offer");
  const first = placement.findPlace(id(2), "offer");
  const second = placement.findPlace(id(2), "offer");
  expect((await first).ticket).toBe("");
  placement.cancel(id(1));
  expect(await second).toMatchObject({ parent: OWN, answer: "an answer" });
});

test("offers that nobody has asked for are counted, and change nothing", async () => {
  const child = await withChild();
  placement.offered(child, { origin: id(5), parent: id(1), ticket: "t", answer: "" });
  expect(placement.unsolicited).toBe(1);
});

test("a parent that asks for very many is answered without a place", async () => {
  await placement.findPlace(id(1), "offer");
  const waiting = Array.from({ length: MAX_REQUESTS }, (_, i) =>
    placement.findPlace(id(1000 + i), "offer"),
  );
  expect((await placement.findPlace(id(5000), "offer")).ticket).toBe("");
  placement.cancel(id(1));
  await vi.advanceTimersByTimeAsync(11_000 + EXPIRE_MILLISECONDS);
  void waiting;
});
