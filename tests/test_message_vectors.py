"""What the root and browsers say to each other, byte by byte: vectors for both test suites.

`python -m tests.test_message_vectors` writes `vectors/messages.json` anew, which the pages' own
tests read, too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pando import messages, values

PATH = Path(__file__).parent / "vectors" / "messages.json"
NODE, PARENT = bytes(range(8)), bytes(range(248, 256))
ITEMS = msgspec.Raw(values.encode([1, "é", (2**70, None)]))
FAILURE = messages.Failure("ValueError", "é < ü", "Traceback …\n", "my phone")
REPORTED = messages.Reported(2.5, "BigNums", 1.25, 0.5)
FROM_BROWSERS: list[messages.Message] = [
    messages.Hello(1, "my phone", 4, b"", "", "a-token"),
    messages.Hello(1, "", 1, NODE, "a-run", "", "a-ticket"),
    messages.Ready(),
    messages.Refused("there is no such module", "Traceback …\n"),
    messages.Joined(),
    messages.Unreachable("no welcome"),
    messages.Want(300),
    messages.Results(1, 0, 0.5, ITEMS),
    messages.Results(2**40, 70_000, 0.0, ITEMS, {0: FAILURE, 2: FAILURE}),
    messages.Results(
        3,
        128,
        1e9,
        msgspec.Raw(values.encode([None] * 20)),
        {place: messages.Failure("E", str(place)) for place in range(20)},
    ),
    messages.Returned(1, 2, 65_536),
    messages.Struck(1, 2, "it took too long"),
    messages.Offer(NODE, PARENT, []),
    messages.Status([messages.NodeStatus(NODE, PARENT, "my phone", 4, 0, 2**33, 1.5)]),
    messages.Status([messages.NodeStatus(NODE, PARENT, "", 1, 0, 1, 0.5, REPORTED)]),
    messages.Leaving(),
    messages.Heartbeat(),
]
TO_BROWSERS: list[messages.Message] = [
    messages.Denied("the link is not complete", 1),
    messages.Assigned(1, NODE, "a-run", "square", b"\x91\xa6python", ["numpy>=2"], 1.5, 100),
    messages.Assigned(1, NODE, "a-run", "square", b"", silence=1.5, reporting_interval=0.25),
    messages.Assigned(1, NODE, "a-run", "square", b"", versions={"numpy": "2.1"}, parts=3),
    messages.FunctionPart(b"\x91\xa6python"),
    messages.Welcome(PARENT),
    messages.Delegated(["192.168.1.7:5000", "[::1]:5000"], "a-ticket"),
    messages.Lend(2**40, ITEMS),
    messages.Recall(7),
    messages.Join(NODE),
    messages.Bundle([msgspec.Raw(messages.encode(messages.Recall(n))) for n in range(20)]),
    messages.Ended(),
    messages.Heartbeat(),
]
Vector = dict[str, Any]


def vector(message: messages.Message) -> Vector:
    """A message's bytes, and its fields as JSON can say them."""
    fields = msgspec.structs.asdict(message)
    tag = msgspec.inspect.type_info(type(message)).tag  # type: ignore[attr-defined]
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


def vectors() -> dict[str, list[Vector]]:
    return {
        "fromBrowsers": [vector(message) for message in FROM_BROWSERS],
        "toBrowsers": [vector(message) for message in TO_BROWSERS],
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
    status = ["status", [[NODE, PARENT, "", 1, 0, 0, 0]]]
    decoded = messages.decode(msgspec.msgpack.encode(status))
    assert isinstance(decoded, messages.Status)
    assert decoded.nodes[0].seconds == 0.0


if __name__ == "__main__":
    PATH.write_text(text(), "utf-8")
