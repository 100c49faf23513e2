"""Messages on a byte stream come out as they went in, however the stream is cut up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pando import messages
from pando.runtime import framing

MESSAGES = st.lists(st.binary(max_size=300), max_size=8)


@given(MESSAGES, st.lists(st.integers(1, 700), min_size=1))
def test_messages_come_whole_however_the_bytes_are_cut(sent: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(map(framing.frame, sent))
    reader = framing.FrameReader()
    received: list[bytes] = []
    start = 0
    for number in range(len(stream)):
        end = start + sizes[number % len(sizes)]
        received += reader.feed(stream[start:end])
        start = end
        if start >= len(stream):
            break
    assert received == sent
    assert all(type(message) is bytes for message in received)


@given(st.binary(max_size=300))
def test_a_header_that_is_written_in_place_is_the_same_frame(data: bytes) -> None:
    message = messages.Load(data)
    framed = messages.encode_after(framing.HEADER.size, message)
    framing.write_header(framed)
    assert framed == framing.frame(messages.encode(message))
