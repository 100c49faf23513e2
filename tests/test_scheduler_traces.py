"""The scheduler decides as it did when its traces were recorded, and as its twin in TypeScript.

`python -m tests.test_scheduler_traces` records `vectors/scheduler-traces.json` anew, which the
front end's own tests replay as well: where a decision has changed on purpose, it has to change
there, too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from .traces import credit, lender
from .traces.lending import LendingPlayer
from .traces.lending_simulator import LendingSimulation

PATH = Path(__file__).parent / "vectors" / "scheduler-traces.json"
HINT = "if that is on purpose, record anew with `python -m tests.test_scheduler_traces`"
MAX_FILE_BYTES = 1_500_000
MAX_WHOLE = 2**53 - 1
Trace = dict[str, Any]


class Player(Protocol):
    """What plays events, and tells what came of each."""

    def play(self, event: list[Any]) -> list[Any]: ...


PLAYERS: dict[str, Any] = {
    "lending": LendingPlayer,
    "lender": lender.LenderPlayer,
    "credit": credit.CreditPlayer,
}


def record() -> Iterator[Trace]:
    """Record all traces."""
    for seed in range(24):
        lending = {
            "batchLimit": 20 if seed == 7 else None,
            "itemTimeout": None if seed % 2 else 0.5,
            "silence": 0.5,
            "maxValue": 10**6,
            "speculates": seed % 5 != 4,
        }
        numbers = [300, 120][: seed % 3] if seed % 4 == 3 else []
        events = LendingSimulation(seed, lending, are_slow=seed >= 18).run(numbers)
        yield {"kind": "lending", "seed": seed, "options": lending, "events": events}
    for seed in range(12):
        alone = {"ordered": seed % 2 == 0, "maxAttempts": 1 if seed % 6 == 5 else 3}
        events = lender.record(seed, alone)
        yield {"kind": "lender", "seed": seed, "options": alone, "events": events}
    for seed in range(10):
        kinds = [(2, 0.03, 0.0), (4, 0.2, 2.0)]
        names = ("messages", "targetSeconds", "pairSeconds")
        holds = dict(zip(names, kinds[seed % 2], strict=True))
        yield {
            "kind": "credit",
            "seed": seed,
            "options": holds,
            "events": credit.record(seed, holds),
        }


def text() -> str:
    """The file: a line for each trace."""
    lines = [json.dumps(trace, separators=(",", ":")) for trace in record()]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def read() -> list[Trace]:
    traces: list[Trace] = json.loads(PATH.read_text("utf-8"))
    return traces


def name_of(trace: Trace) -> str:
    return f"{trace['kind']} {trace['seed']}"


def approximately(value: Any) -> Any:
    """What equals a recorded value: doubles to a billionth, all else exactly."""
    if isinstance(value, list):
        return [approximately(each) for each in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


@pytest.mark.parametrize("trace", read(), ids=name_of)
def test_the_scheduler_decides_as_recorded(trace: Trace) -> None:
    player: Player = PLAYERS[trace["kind"]](trace["options"])
    for number, (event, outcome) in enumerate(trace["events"]):
        found = json.loads(json.dumps(player.play(event)))
        assert found == approximately(outcome), f"event {number}, {event}: {HINT}"


def test_the_traces_are_those_that_are_recorded_today() -> None:
    recorded = json.loads(text())
    for trace, known in zip(recorded, read(), strict=True):
        assert trace == approximately_all(known), f"{name_of(known)}: {HINT}"


def approximately_all(trace: Trace) -> Trace:
    return {key: approximately(value) for key, value in trace.items()}


def test_the_file_is_small_and_has_no_number_that_javascript_has_not() -> None:
    assert PATH.stat().st_size < MAX_FILE_BYTES
    waiting: list[Any] = [read()]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, int):
            assert abs(value) <= MAX_WHOLE


def test_the_traces_show_what_a_scheduler_can_do() -> None:
    """Each kind of event and of decision is in them, several times."""
    seen: dict[str, int] = {}
    doubled = 0
    for trace in read():
        if trace["kind"] != "lending":
            continue
        for event, (told, _) in trace["events"]:
            for name in (event[0], *(f"-> {action[0]}" for action in told)):
                seen[name] = seen.get(name, 0) + 1
            doubled += sum(action[0] == "lend" and action[-1] for action in told)
    events = "open close leave lend recall add remove want results returned struck tick balance"
    decisions = "lend recall results returned struck malformed out tell"
    for name in (*events.split(), *(f"-> {each}" for each in decisions.split())):
        assert seen.get(name, 0) >= 3, name
    assert doubled >= 15


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
