"""Frames, parts and the outbox: what is decoded is bounded, and everybody has their turn."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pando.channel import ProtocolViolationError, limit_messages
from pando.net.relayed import frames, parts
from pando.net.relayed.channel import RelayedChannel
from pando.net.relayed.frames import (
    HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_PART_BYTES,
    MAX_SENTENCE_BYTES,
    WINDOW_BYTES,
    Ending,
    Frame,
    Kind,
    MalformedFrameError,
    Purpose,
)
from pando.net.relayed.multiplexer import Multiplexer
from pando.net.relayed.outbox import Outbox
from pando.server.rooms import Rooms

STREAMS = st.integers(1, 2**32 - 1)
TEXTS = st.text(max_size=700)
GOOD = st.one_of(
    st.builds(lambda: frames.encode(Kind.HEARTBEAT)),
    st.builds(frames.encode_opened, STREAMS, st.sampled_from(Purpose), TEXTS),
    st.builds(frames.encode_closed, STREAMS, st.sampled_from(Ending), TEXTS),
    st.builds(frames.encode_credit, STREAMS, st.integers(1, WINDOW_BYTES)),
    st.builds(frames.encode_goodbye, st.integers(0, 2**32 - 1), TEXTS),
    st.builds(frames.encode_notice, TEXTS),
    st.builds(
        lambda stream, part: frames.encode(Kind.PART, stream, part),
        STREAMS,
        st.binary(min_size=1, max_size=2000),
    ),
    st.builds(lambda: frames.encode(Kind.FINISHED)),
)


@given(st.lists(GOOD, min_size=1, max_size=8))
def test_frames_come_back(encoded):
    decoded = frames.decode(b"".join(encoded))
    assert [frames.encode(*frame) for frame in decoded] == encoded


def feed(message):
    """Give a message to both ends, which may only refuse it in this one way."""
    try:
        for frame in frames.decode(message):
            assert len(frame.payload) <= MAX_PART_BYTES
    except MalformedFrameError:
        pass
    with suppress(MalformedFrameError):
        Multiplexer().receive(message)
    rooms = Rooms()
    link, _ = rooms.open_room("room", 0.0)
    node, _ = rooms.join("room", "192.0.2.1", 0.0)
    rooms.receive_from_root(link, message, 1.0)
    assert sum(map(len, node.waiting)) <= WINDOW_BYTES
    assert link.is_open or link.dismissal is not None or rooms.rooms == []


@given(st.binary(max_size=300))
def test_any_bytes_are_frames_or_refused(message):
    feed(message)


@given(st.lists(GOOD, min_size=1, max_size=5), st.integers(0), st.integers(0, 255))
def test_any_changed_byte_is_a_frame_or_refused(encoded, place, byte):
    message = bytearray(b"".join(encoded))
    message[place % len(message)] = byte
    feed(bytes(message))


@given(st.lists(GOOD, min_size=1, max_size=5), st.integers(0))
def test_any_message_that_is_cut_off_is_frames_or_refused(encoded, place):
    message = b"".join(encoded)
    feed(message[: place % len(message)])


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(MAX_MESSAGE_BYTES + 1),
        frames.encode(Kind.PART, 1, bytes(MAX_PART_BYTES + 1)),
        frames.encode(Kind.PART, 1, b""),
        frames.encode(Kind.PART, 0, b"x"),
        frames.encode(Kind.HEARTBEAT, 1),
        frames.encode(Kind.HEARTBEAT, 0, b"x"),
        frames.encode(Kind.NOTICE, 0, bytes(MAX_SENTENCE_BYTES + 1)),
        frames.encode(Kind.CREDIT, 1, b"abc"),
        frames.encode(Kind.HEARTBEAT) + b"\x01",
        b"\x63" + bytes(8),
    ],
)
def test_what_breaks_a_bound_is_refused(message):
    with pytest.raises(MalformedFrameError):
        frames.decode(message)


def test_a_long_text_is_cut_between_characters():
    sentence = "é" * MAX_SENTENCE_BYTES
    (frame,) = frames.decode(frames.encode_notice(sentence))
    assert frames.read_text(frame.payload) == "é" * (MAX_SENTENCE_BYTES // 2)


# ---- parts ----


@pytest.mark.parametrize(
    "size", [0, 1, MAX_PART_BYTES - 2, MAX_PART_BYTES - 1, MAX_PART_BYTES, 10**6]
)
def test_parts_are_put_together_again(size):
    message = os.urandom(size)
    divided = list(parts.split(message))
    assert max(map(len, divided)) <= MAX_PART_BYTES
    assembler = parts.Assembler(size)
    assert [assembler.add(part) for part in divided][:-1] == [None] * (len(divided) - 1)
    assert parts.Assembler(size).add(parts.LAST) == b""
    again = parts.Assembler(size)
    assert [again.add(part) for part in divided][-1] == message


@pytest.mark.parametrize(
    "bad", [[b"\x02x"], [b""], [b"\x00"], [b"\x00" + bytes(6), b"\x01" + bytes(5)]]
)
def test_parts_that_break_the_rules_are_refused(bad):
    assembler = parts.Assembler(10)
    with pytest.raises(ProtocolViolationError):
        for part in bad:
            assembler.add(part)


async def test_a_relayed_channel_keeps_to_a_limit_that_comes_later():
    class Streams:
        """The streams of a link, of which this one is told."""

        closed = False

        def take_in(self, number, size): ...

        def close(self, number):
            self.closed = True

    streams = Streams()
    channel = RelayedChannel(streams, 1, lambda: None)
    for part in parts.split(bytes(5000)):
        channel.take(part)
    assert len(await channel.receive()) == 5000
    limit_messages(channel, 1000)
    for size in (1000, 1001):
        for part in parts.split(bytes(size)):
            channel.take(part)
    assert len(await channel.receive()) == 1000
    with pytest.raises(ProtocolViolationError):
        await channel.receive()
    assert streams.closed


# ---- turns ----


def kinds(message):
    return [(frame.kind, frame.stream) for frame in frames.decode(message)]


def test_streams_have_their_turns_and_news_goes_first():
    outbox = Outbox()
    for _ in range(3):
        outbox.push_part(1, bytes(MAX_PART_BYTES))
    outbox.push_part(2, b"short")
    outbox.push_end(2, frames.encode_closed(2, Ending.LEFT, ""))
    outbox.push_urgent(frames.encode(Kind.HEARTBEAT))
    message, sent = outbox.take()
    assert kinds(message) == [
        (Kind.HEARTBEAT, 0),
        (Kind.PART, 1),
        (Kind.PART, 2),
        (Kind.CLOSED, 2),
        (Kind.PART, 1),
        (Kind.PART, 1),
    ]
    assert sent == {1: 3 * MAX_PART_BYTES, 2: 5}
    assert not outbox
    assert outbox.queued_bytes == 0


def test_a_message_is_no_longer_than_it_may_be():
    outbox = Outbox()
    for stream in range(1, 50):
        outbox.push_part(stream, bytes(MAX_PART_BYTES))
        outbox.push_urgent(frames.encode_notice("x" * MAX_SENTENCE_BYTES))
    seen = []
    while outbox:
        message, _ = outbox.take()
        assert HEADER_BYTES < len(message) <= MAX_MESSAGE_BYTES
        seen += [stream for kind, stream in kinds(message) if kind is Kind.PART]
    assert seen == list(range(1, 50))


def test_what_is_discarded_is_not_sent():
    outbox = Outbox()
    outbox.push_part(1, b"x")
    outbox.push_end(1, frames.encode_closed(1, Ending.LEFT, ""))
    outbox.push_part(2, b"y")
    outbox.discard(1)
    assert frames.decode(outbox.take()[0]) == [Frame(Kind.PART, 2, b"y")]
    assert not outbox
    assert outbox.queued_bytes == 0
