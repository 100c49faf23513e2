"""What workers say and are told, against the messages as their parents know them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import messages, values
from pando.runtime import wire

NUMBERS = st.integers(0, messages.MAX_COUNT)
SECONDS = st.floats(0, 1e18)
TEXT = st.text(max_size=100)
FAILURES = st.dictionaries(st.integers(0, 2**31), st.tuples(TEXT, TEXT, TEXT), max_size=20)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (wire.write("ready"), messages.Ready()),
        (wire.write("refused", "why"), messages.LoadFailed("why")),
        (wire.write("refused", "why", "where"), messages.LoadFailed("why", "where")),
        (wire.write("returned", 2**40, 3, 4), messages.ReturnItems(2**40, 3, 4)),
    ],
)
def test_what_a_worker_says_is_understood(written, message):
    assert messages.decode(written) == message


@given(NUMBERS, NUMBERS, SECONDS, FAILURES)
def test_results_are_understood(lease, offset, seconds, failures):
    encoded = values.encode([1, "two", (3, 2**80)])
    written = b"".join(wire.write_results(lease, offset, seconds, encoded, failures))
    message = messages.decode(written)
    assert isinstance(message, messages.Results)
    assert (message.lease, message.offset, message.seconds) == (lease, offset, seconds)
    assert bytes(memoryview(message.values)) == encoded
    assert message.failures == {place: messages.Failure(*why) for place, why in failures.items()}


def test_one_result_that_is_none():
    assert values.encode([None]) == wire.NO_RESULT


@given(NUMBERS, st.lists(st.integers() | TEXT | st.tuples(st.binary()), max_size=40))
def test_a_worker_understands_what_it_is_lent(lease, items):
    encoded = values.encode(items)
    tag, number, rest = wire.read(messages.encode(messages.Lend(lease, msgspec.Raw(encoded))))
    assert (tag, number, rest) == ("lend", lease, encoded)
    assert [values.decode(item) for item in wire.split(rest)] == items


@given(NUMBERS)
def test_a_worker_understands_a_recall(lease):
    assert wire.read(messages.encode(messages.Recall(lease)))[:2] == ("recall", lease)


def test_a_worker_understands_what_it_finds_in_its_process():
    load = messages.Load([b"/a", b"\xff"], [b"script.py", b"-x"], b"/home", {"queue": b"/q\xff"})
    expected = (["/a", "\udcff"], ["script.py", "-x"], "/home", {"queue": "/q\udcff"})
    assert wire.read_load(messages.encode(load)) == expected
