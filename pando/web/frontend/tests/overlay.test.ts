/** The overlay decides as Python's does: both replay what a simulation has recorded. */

import { describe, expect, test } from "vitest";

import traces from "../../../../tests/vectors/overlay.json";
import { chooseSlots, type Decision, type NodeKey, Overlay } from "../src/tree/overlay";

/** Some steps have some of these. */
interface Step {
  do: string;
  now: number;
  node: number;
  avoid?: number[];
  offers?: boolean;
  takes?: boolean;
  needs_offer?: boolean;
  decisions: (string | number)[][];
  children: number[];
  candidates: number[];
  beyond: number[];
  waiting: number;
}

function decide(overlay: Overlay, nodes: NodeKey[], step: Step): Decision[] {
  const { now } = step;
  const node = nodes[step.node]!;
  switch (step.do) {
    case "request":
      return [
        overlay.request(node, now, step.offers!, new Set(step.avoid!.map((each) => nodes[each]!))),
      ];
    case "accept":
      return [overlay.accept(node, now)];
    case "connected":
      return overlay.connected(node, now, step.takes, step.needs_offer);
    case "takes":
      overlay.setTakesChildren(node, step.takes!);
      return [];
    case "left":
      return overlay.left(node, now);
    default:
      return overlay.expire(now);
  }
}

describe("recorded traces", () => {
  test.each(traces)("degree $degree", ({ node, nodes, degree, timeout, max_waiting, steps }) => {
    const overlay = new Overlay(node, { degree, timeout, maxWaiting: max_waiting });
    const numbers = (keys: NodeKey[]): number[] => keys.map((key) => nodes.indexOf(key));
    for (const [at, step] of (steps as Step[]).entries()) {
      const decisions = decide(overlay, nodes, step).map((decision) => [
        decision.kind,
        ...numbers([decision.origin, ...(decision.kind === "delegate" ? [decision.child] : [])]),
      ]);
      const { children, candidates, beyondDegree, waiting } = overlay;
      expect({
        at,
        decisions,
        children: numbers(children),
        candidates: numbers(candidates),
        beyond: numbers(beyondDegree),
        waiting,
      }).toEqual({
        at,
        decisions: step.decisions,
        children: step.children,
        candidates: step.candidates,
        beyond: step.beyond,
        waiting: step.waiting,
      });
    }
  });
});

test("the slots are a hash of both identifiers, as in Python", () => {
  const id = (number: number): NodeKey => number.toString(16).padStart(16, "0");
  expect(chooseSlots(id(1), id(77), 1000)).toEqual([797, 880]);
  expect(chooseSlots(id(2), id(77), 1000)).toEqual([223, 436]);
  expect(chooseSlots(id(2 ** 40), id(77), 1000)).toEqual([265, 286]);
});
