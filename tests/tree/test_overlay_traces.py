"""What the overlay decides in a seeded simulation: recorded, for the twin in browsers as well.

`python -m tests.tree.test_overlay_traces` writes `tests/vectors/overlay.json` anew, which the
pages' own tests replay, too.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pando.tree.overlay import Decision, Delegate, Overlay

PATH = Path(__file__).parents[1] / "vectors" / "overlay.json"
NODES = 20
STEPS = 160
SCENARIOS = [
    {"seed": 1, "degree": 1, "timeout": 10.0, "max_waiting": 4096},
    {"seed": 2, "degree": 2, "timeout": 5.0, "max_waiting": 3},
    {"seed": 3, "degree": 3, "timeout": 10.0, "max_waiting": 4096},
    {"seed": 4, "degree": 5, "timeout": 2.5, "max_waiting": 2},
    {"seed": 5, "degree": 10, "timeout": 60.0, "max_waiting": 4096},
]

Step = dict[str, Any]


class Replay:
    """An overlay that is told the steps of a trace, whose nodes are numbered.

    Args:
        trace: its settings and nodes.
    """

    def __init__(self, trace: dict[str, Any]) -> None:
        self.nodes = [bytes.fromhex(node) for node in trace["nodes"]]
        self.overlay = Overlay(
            bytes.fromhex(trace["node"]),
            degree=trace["degree"],
            timeout=trace["timeout"],
            max_waiting=trace["max_waiting"],
        )

    def carry_out(self, step: Step) -> Step:
        """Tell the overlay what happens; what a twin must decide, and know then."""
        decisions = self._decide(step)
        overlay = self.overlay
        overlay.validate_state()
        return {
            "decisions": list(map(self._describe, decisions)),
            "children": self.numbers(overlay.children),
            "candidates": self.numbers(overlay.candidates),
            "beyond": self.numbers(overlay.beyond_degree),
            "waiting": overlay.waiting,
        }

    def numbers(self, nodes: Iterable[bytes]) -> list[int]:
        """The numbers of nodes."""
        return [self.nodes.index(node) for node in nodes]

    def _decide(self, step: Step) -> list[Decision]:
        overlay, node, now = self.overlay, self.nodes[step["node"]], step["now"]
        match step["do"]:
            case "request":
                avoid = frozenset(self.nodes[number] for number in step["avoid"])
                return [overlay.request(node, now, avoid=avoid, offers=step["offers"])]
            case "accept":
                return [overlay.accept(node, now)]
            case "connected":
                takes, needs = step["takes"], step["needs_offer"]
                return overlay.connected(node, now, takes_children=takes, needs_offer=needs)
            case "takes":
                overlay.set_takes_children(node, step["takes"])
                return []
            case "left":
                return overlay.left(node, now)
            case _:
                return overlay.expire(now)

    def _describe(self, decision: Decision) -> list[Any]:
        numbers = self.numbers([decision.origin])
        if isinstance(decision, Delegate):
            numbers += self.numbers([decision.child])
        return [type(decision).__name__.lower(), *numbers]


def choose_step(rng: random.Random, replay: Replay, now: float) -> Step:
    """What happens next, by chance: nodes ask, connect, change and go."""
    overlay, node = replay.overlay, rng.randrange(NODES)
    candidates = replay.numbers(overlay.candidates)
    here = replay.numbers(overlay.children) + candidates
    kind = rng.choices(
        ["request", "connected", "left", "expire", "accept", "takes"], [10, 6, 3, 1, 1, 2]
    )[0]
    step: Step = {"do": kind, "now": now, "node": node}
    if kind in ("takes", "left") and here:
        step["node"] = rng.choice(here)
    if kind == "connected" and candidates and rng.random() < 0.9:
        step["node"] = rng.choice(candidates)
    if kind == "request":
        avoided = sorted(rng.sample(here, rng.randrange(len(here)))) if here else []
        step["avoid"] = avoided if rng.random() < 0.2 else []
        step["offers"] = rng.random() < 0.5
    if kind in ("connected", "takes"):
        step["takes"] = rng.random() < 0.8
    if kind == "connected":
        step["needs_offer"] = rng.random() < 0.5
    return step


def record(scenario: dict[str, Any]) -> dict[str, Any]:
    """The trace of a simulation."""
    rng = random.Random(scenario["seed"])
    nodes = [rng.randbytes(8).hex() for _ in range(NODES)]
    trace = {"node": rng.randbytes(8).hex(), "nodes": nodes, **scenario}
    replay, now, steps = Replay(trace), 0.0, []
    for _ in range(STEPS):
        now += rng.choice([0.0, 0.25, 1.5])  # exact in binary
        step = choose_step(rng, replay, now)
        steps.append({**step, **replay.carry_out(step)})
    return {**trace, "steps": steps}


def write() -> None:
    """Record all traces anew, a step in a line."""
    written = []
    for scenario in SCENARIOS:
        trace = record(scenario)
        head = json.dumps({**trace, "steps": []}).removesuffix("]}")
        steps = ",\n".join(json.dumps(step, separators=(",", ":")) for step in trace["steps"])
        written.append(f"{head}\n{steps}\n]}}")
    PATH.write_text("[\n" + ",\n".join(written) + "\n]\n")


TRACES: list[dict[str, Any]] = json.loads(PATH.read_text()) if PATH.exists() else []


@pytest.mark.parametrize("trace", TRACES, ids=lambda trace: f"degree {trace['degree']}")
def test_the_overlay_decides_as_recorded(trace: dict[str, Any]) -> None:
    replay = Replay(trace)
    for number, step in enumerate(trace["steps"]):
        said = replay.carry_out(step)
        assert {key: step[key] for key in said} == said, f"step {number}"


def test_the_traces_have_all_kinds_of_decisions() -> None:
    assert [trace["seed"] for trace in TRACES] == [each["seed"] for each in SCENARIOS]
    kinds = {each[0] for trace in TRACES for step in trace["steps"] for each in step["decisions"]}
    assert kinds == {"accept", "delegate", "wait", "busy"}
    assert any(step["beyond"] for trace in TRACES for step in trace["steps"])


if __name__ == "__main__":
    write()
