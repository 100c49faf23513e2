"""What workers say and are told, against the messages as their parents know them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando import messages, values
from pando.runtime import speech

NUMBERS = st.integers(0, 2**63 - 1)
SECONDS = st.floats(0, 1e18)
TEXT = st.text(max_size=100)
FAILURES = st.dictionaries(st.integers(0, 2**31), st.tuples(TEXT, TEXT, TEXT), max_size=20)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (speech.write("ready"), messages.Ready()),
        (speech.write("refused", "why"), messages.Refused("why")),
        (speech.write("refused", "why", "where"), messages.Refused("why", "where")),
        (speech.write("returned", 2**40, 3, 4), messages.Returned(2**40, 3, 4)),
    ],
)
def test_what_a_worker_says_is_understood(written, message):
    assert messages.decode(written) == message


@given(NUMBERS, NUMBERS, SECONDS, FAILURES)
def test_results_are_understood(lease, offset, seconds, failures):
    encoded = values.encode([1, "two", (3, 2**80)])
    written = speech.write_results(lease, offset, seconds, encoded, failures)
    message = messages.decode(written)
    assert isinstance(message, messages.Results)
    assert (message.lease, message.offset, message.seconds) == (lease, offset, seconds)
    assert bytes(memoryview(message.values)) == encoded
    assert message.failures == {place: messages.Failure(*why) for place, why in failures.items()}


def test_one_result_that_is_none():
    assert values.encode([None]) == speech.NO_RESULT


@given(NUMBERS, st.lists(st.integers() | TEXT | st.tuples(st.binary()), max_size=40))
def test_a_worker_understands_what_it_is_lent(lease, items):
    encoded = values.encode(items)
    tag, number, rest = speech.read(messages.encode(messages.Lend(lease, msgspec.Raw(encoded))))
    assert (tag, number, rest) == ("lend", lease, encoded)
    assert [values.decode(item) for item in speech.split(rest)] == items


@given(NUMBERS)
def test_a_worker_understands_a_recall(lease):
    assert speech.read(messages.encode(messages.Recall(lease))) == ("recall", lease, b"")


@pytest.mark.parametrize("size", [0, 10, 300, 70_000, 5_000_000])
def test_a_worker_understands_its_function(size):
    function = b"f" * size
    load = messages.Load(function, [b"/a", b"\xff"], [b"script.py", b"-x"], b"/home")
    expected = (function, ["/a", "\udcff"], ["script.py", "-x"], "/home")
    assert speech.read_load(messages.encode(load)) == expected
