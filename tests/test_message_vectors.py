"""What the root and browsers say to each other, byte by byte: vectors for both test suites.

`python -m tests.test_message_vectors` writes `vectors/messages.json` anew, which the pages' own
tests read, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as types
import pytest

from pando import messages, values
from pando.reports.counters import Counters
from pando.reports.records import (
    COMPUTING,
    STARVED,
    Device,
    Gone,
    Interval,
    Introduction,
    Rest,
    pack,
)

PATH = Path(__file__).parent / "vectors" / "messages.json"
NODE, PARENT = bytes(range(8)), bytes(range(248, 256))
ITEMS = msgspec.Raw(values.encode([1, "é", (2**70, None)]))
FAILURE = messages.Failure("ValueError", "é < ü", "Traceback …\n", "my phone")
COUNTED = Counters(3000, 2, 20, reported_items=2500, reported_cpu_ms=1250)
FROM_BROWSERS: list[messages.Message] = [
    messages.Hello("my phone", 4),
    messages.Hello("", 1, "a-run"),
    messages.Hello("my phone", 4, "a-run", reports=True),
    messages.Hello("my laptop", 4, answers_offers=True),
    messages.Ready(),
    messages.Ready(offer="v=0"),
    messages.LoadFailed("there is no such module", "Traceback …\n"),
    messages.Joined(),
    messages.Unreachable("no welcome"),
    messages.Unreachable("it does not answer", "v=0"),
    messages.Signal("v=0"),
    messages.Capacity(300, 2**28),
    messages.Capacity(0, 2**28, answers_offers=False),
    messages.Results(1, 0, 0.5, ITEMS),
    messages.Results(2**40, 70_000, 0.0, ITEMS, {0: FAILURE, 2: FAILURE}),
    messages.Results(
        3,
        128,
        1e9,
        msgspec.Raw(values.encode([None] * 20)),
        {place: messages.Failure("E", str(place)) for place in range(20)},
    ),
    messages.ReturnItems(1, 2, 65_536),
    messages.ItemCrashed(1, 2, "it took too long"),
    messages.Lend(2**40, ITEMS),
    messages.Lend(7, ITEMS, is_copy=True),
    messages.Recall(7),
    messages.Recall(2**40, is_superseded=True),
    messages.Offer(NODE, PARENT),
    messages.Offer(NODE, PARENT, "a-ticket", "v=0"),
    messages.Update(
        introductions=[
            Introduction(
                0, Device(NODE, 2**40, PARENT, "my phone", "tab", "", "websocket", 4), 0, []
            )
        ],
        intervals=[Interval(0, 1, [3000, 2**33, 1500], COMPUTING, 7)],
    ),
    messages.Update(
        introductions=[Introduction(0, Device(NODE, 1, units="BigNums"), 5, [3000, 2])],
        intervals=[Interval(0, 6, pack(COUNTED), STARVED)],
    ),
    messages.Update(
        gone=[Gone(3, True), Gone(4, False, 9, [1, 2])],
        introductions=[
            Introduction(1, Device(NODE, 1, PARENT, kind="native", link="webrtc"), 5, [])
        ],
        summed=[1],
        rest=Rest(2500, 5000, pack(COUNTED)),
    ),
    messages.Leave(),
    messages.Large(70_000_000),
    messages.Part(b"\x93\xa4lend"),
    messages.Grant(),
    messages.Heartbeat(),
]
TURN = messages.TurnServer("turn:a:1?transport=tcp", "1700000000:0001020304050607", "word")
TO_BROWSERS: list[messages.Message] = [
    messages.JoinRejected("the link is not complete", 1),
    messages.RunInfo(1, NODE, "a-run", "square", b"\x91\xa6python", ["numpy>=2"], 1.5, 100),
    messages.RunInfo(1, NODE, "a-run", "square", b"", silence=1.5, reporting_interval=0.25),
    messages.RunInfo(1, NODE, "a-run", "square", b"", versions={"numpy": "2.1"}, parts=3),
    messages.RunInfo(1, NODE, "a-run", "square", b"", protocol="webrtc", ice_servers=["stun:a:1"]),
    messages.RunInfo(1, NODE, "a-run", "square", b"", global_monitoring=True),
    messages.RunInfo(1, NODE, "a-run", "square", b"", turn_servers=[TURN]),
    messages.FunctionPart(b"\x91\xa6python"),
    messages.Welcome(PARENT),
    messages.Redirect(PARENT, ["192.168.1.7:5000", "[::1]:5000"], "a-ticket"),
    messages.Redirect(PARENT, [], "a-ticket", "v=0"),
    messages.Signal("v=0"),
    messages.Signal(),
    messages.Signal(again=2.5),
    messages.Lend(2**40, ITEMS),
    messages.Lend(3, ITEMS, is_copy=True),
    messages.Recall(7),
    messages.Results(1, 0, 0.5, ITEMS),
    messages.Results(2**40, 70_000, 0.0, ITEMS, {0: FAILURE, 2: FAILURE}),
    messages.Results(
        3,
        128,
        1e9,
        msgspec.Raw(values.encode([None] * 20)),
        {place: messages.Failure("E", str(place)) for place in range(20)},
    ),
    messages.ReturnItems(1, 2, 65_536),
    messages.ItemCrashed(1, 2, "it took too long"),
    messages.Capacity(300, 2**28),
    messages.Join(NODE),
    messages.Join(NODE, "v=0"),
    messages.Disconnect(NODE),
    messages.Bundle([msgspec.Raw(messages.encode(messages.Recall(n))) for n in range(20)]),
    messages.RunEnded(),
    messages.Leave(),
    messages.Large(70_000_000),
    messages.Part(b"\x93\xa4lend"),
    messages.Grant(),
    messages.Heartbeat(),
]
Vector = dict[str, Any]


def vector(message: messages.Message) -> Vector:
    """A message's bytes, and its fields as JSON can say them."""
    fields = msgspec.structs.asdict(message)
    tag = types.type_info(type(message)).tag  # type: ignore[attr-defined]
    return {"hex": messages.encode(message).hex(), "fields": {"tag": tag} | plain(fields)}


def plain(value: Any) -> Any:
    """A value as JSON can say it: bytes as an object with their hexadecimal digits."""
    match value:
        case bytes():
            return {"bytes": value.hex()}
        case msgspec.Raw():
            return {"bytes": bytes(value).hex()}
        case msgspec.Struct():
            return plain(msgspec.structs.asdict(value))
        case list():
            return [plain(each) for each in value]
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
    return value


def numeric_fields(kind: type) -> list[Vector]:
    """Which fields of a kind of message are numbers, by their place in the message."""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)
    return [
        {"tag": info.tag, "field": field.name, "place": place}
        for place, field in enumerate(info.fields, 1)
        if any(isinstance(each, types.IntType | types.FloatType) for each in parts_of(field.type))
    ]


def parts_of(hint: types.Type) -> tuple[types.Type, ...]:
    return hint.types if isinstance(hint, types.UnionType) else (hint,)


def vectors() -> dict[str, list[Vector]]:
    kinds = dict.fromkeys(map(type, TO_BROWSERS))
    return {
        "fromBrowsers": [vector(message) for message in FROM_BROWSERS],
        "toBrowsers": [vector(message) for message in TO_BROWSERS],
        "numbersToBrowsers": [field for kind in kinds for field in numeric_fields(kind)],
    }


def text() -> str:
    """The file: a line for each vector."""
    parts = [
        f' "{name}": [\n  ' + ",\n  ".join(map(json.dumps, of_kind)) + "\n ]"
        for name, of_kind in vectors().items()
    ]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def test_the_vectors_are_those_of_today() -> None:
    hint = "write them anew with `python -m tests.test_message_vectors`"
    assert PATH.read_text("utf-8") == text(), hint


@pytest.mark.parametrize("message", FROM_BROWSERS, ids=lambda message: type(message).__name__)
def test_what_browsers_send_is_understood(message: messages.Message) -> None:
    assert plain(messages.decode(messages.encode(message))) == plain(message)


def test_a_whole_number_of_seconds_is_a_time_too() -> None:
    # JavaScript does not tell it from other numbers.
    decoded = messages.decode(msgspec.msgpack.encode(["results", 1, 0, 1, [None]]))
    assert isinstance(decoded, messages.Results)
    assert decoded.seconds == 1.0


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
