"""Whole messages in a WebSocket's frames are read and written as the library does it.

The library is the measure: what it makes of the same bytes is what has to come, and it has to
understand what is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Close, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import CLIENT, CONNECTING, OPEN, SERVER, Event, Protocol, Side
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from pando.net.websocket_frames import JOINED_BYTES, FrameReader, encode_message

MAX_BYTES = 70_000
SIZES = [0, 1, 125, 126, 127, 65_535, 65_536, MAX_BYTES]
SIDES = pytest.mark.parametrize("side", [CLIENT, SERVER], ids=["client", "server"])
OTHER = {CLIENT: SERVER, SERVER: CLIENT}
CUTS = st.lists(st.integers(1, 300), min_size=1, max_size=20)
PAYLOADS = st.one_of(st.binary(max_size=200), st.sampled_from(SIZES).map(bytes))
FRAMES = st.one_of(
    PAYLOADS.map(lambda data: Frame(Opcode.BINARY, data)),
    st.binary(max_size=125).map(lambda data: Frame(Opcode.PING, data)),
    st.builds(
        Frame,
        st.sampled_from([Opcode.BINARY, Opcode.CONT, Opcode.TEXT]),
        st.binary(max_size=200),
        st.booleans(),
    ),
    st.just(Frame(Opcode.CLOSE, Close(1000, "enough").serialize())),
    st.just(Frame(Opcode.BINARY, bytes(MAX_BYTES + 1))),
)


def an_end(side: Side) -> Protocol:
    """One end of an open WebSocket."""
    return Protocol(side, state=OPEN, max_size=MAX_BYTES)


def cut(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The bytes in pieces of these sizes, again and again, for a start; then the rest."""
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    yield data[start:]


def shown(events: list[Event]) -> list[tuple[Opcode, bytes, bool]]:
    return [(each.opcode, bytes(each.data), each.fin) for each in events if isinstance(each, Frame)]


def read_by(receive: Callable[[bytes], list[Event]], pieces: Iterator[bytes]) -> list[Event]:
    return [event for piece in pieces if piece for event in receive(piece)]


def read_by_library(protocol: Protocol) -> Callable[[bytes], list[Event]]:
    def receive(piece: bytes) -> list[Event]:
        protocol.receive_data(piece)
        return protocol.events_received()

    return receive


def assert_read_alike(side: Side, stream: bytes, sizes: list[int]) -> None:
    """What comes of a stream, and what is answered, is what the library makes of it."""
    ours, theirs = an_end(side), an_end(side)
    events = read_by(FrameReader(ours).receive, cut(stream, sizes))
    assert shown(events) == shown(read_by(read_by_library(theirs), cut(stream, sizes)))
    assert ours.data_to_send() == theirs.data_to_send() or side is CLIENT  # whose masks differ
    assert ours.state is theirs.state
    assert ours.close_sent == theirs.close_sent
    assert ours.close_rcvd == theirs.close_rcvd
    assert type(ours.parser_exc) is type(theirs.parser_exc)


@SIDES
@given(frames=st.lists(FRAMES, max_size=6), sizes=CUTS)
@example(frames=[Frame(Opcode.BINARY, b"a", False), Frame(Opcode.BINARY, b"b")], sizes=[1])
@example(frames=[Frame(Opcode.BINARY, b"")] * 2, sizes=[1])
def test_frames_of_all_kinds_are_read_as_the_library_does(
    side: Side, frames: list[Frame], sizes: list[int]
) -> None:
    is_masked = side is SERVER
    assert_read_alike(side, b"".join(f.serialize(mask=is_masked) for f in frames), sizes)


@SIDES
@pytest.mark.parametrize(
    "head", [b"\xc2", b"\x8f", b"\x83"], ids=["reserved bit", "unknown kind", "another one"]
)
def test_what_breaks_a_rule_is_refused_as_the_library_does(side: Side, head: bytes) -> None:
    message = Frame(Opcode.BINARY, b"good").serialize(mask=side is SERVER)
    assert_read_alike(side, message + head + message[1:] + message, [len(message)])


@SIDES
def test_a_mask_where_none_belongs_is_refused_and_one_that_is_missing(side: Side) -> None:
    wrong = Frame(Opcode.BINARY, bytes(100)).serialize(mask=side is CLIENT)
    assert_read_alike(side, wrong, [1])
    end = an_end(side)
    FrameReader(end).receive(wrong)
    assert end.close_sent is not None
    assert end.close_sent.code == 1002


@SIDES
def test_a_message_that_is_too_large_is_refused_before_it_has_come(side: Side) -> None:
    end = an_end(side)
    stream = Frame(Opcode.BINARY, bytes(MAX_BYTES + 1)).serialize(mask=side is SERVER)
    assert FrameReader(end).receive(stream[:14]) == []
    assert end.close_sent is not None
    assert end.close_sent.code == 1009


@SIDES
def test_the_limit_may_change_between_messages(side: Side) -> None:
    end = an_end(side)
    reader = FrameReader(end)
    stream = Frame(Opcode.BINARY, bytes(1000)).serialize(mask=side is SERVER)
    assert len(reader.receive(stream)) == 1
    end.max_message_size = 999
    assert reader.receive(stream) == []
    assert end.close_sent is not None
    assert end.close_sent.code == 1009


@SIDES
@given(payloads=st.lists(PAYLOADS, max_size=4))
def test_the_library_understands_what_is_written(side: Side, payloads: list[bytes]) -> None:
    here, there = an_end(side), an_end(OTHER[side])
    pieces = [piece for data in payloads for piece in encode_message(here, data)]
    events = read_by(read_by_library(there), iter(pieces))
    assert [bytes(event.data) for event in events if isinstance(event, Frame)] == payloads


@pytest.mark.parametrize("size", [0, 5, JOINED_BYTES, JOINED_BYTES + 1, 65_536])
def test_a_client_masks_each_message_with_another_mask_and_a_server_none(size: int) -> None:
    data = bytes(size)
    written = [b"".join(encode_message(an_end(CLIENT), data)) for _ in range(3)]
    masks = {each[len(each) - size - 4 : len(each) - size] for each in written}
    assert len(masks) > 1, "32 random bits are alike three times once in 2**64"
    assert all(each[1] & 0x80 for each in written)
    server = b"".join(encode_message(an_end(SERVER), data))
    assert not server[1] & 0x80
    assert server.endswith(data)
    assert server == Frame(Opcode.BINARY, data).serialize(mask=False)


def test_a_long_message_is_written_without_a_copy() -> None:
    data = bytes(JOINED_BYTES + 1)
    assert encode_message(an_end(SERVER), data)[-1] is data


def request_of(client: ClientProtocol) -> bytes:
    client.send_request(client.connect())
    return b"".join(client.data_to_send())


@given(CUTS)
def test_messages_may_follow_the_handshake_at_once(sizes: list[int]) -> None:
    client = ClientProtocol(parse_uri("ws://127.0.0.1:1/node"))
    server = ServerProtocol()
    server_reader = FrameReader(server)
    (request,) = server_reader.receive(request_of(client))
    assert isinstance(request, Request)
    server.send_response(server.accept(request))
    answer = b"".join(server.data_to_send())
    stream = answer + b"".join(b"".join(encode_message(server, each)) for each in (b"1", b"22"))
    response, *messages = read_by(FrameReader(client).receive, cut(stream, sizes))
    assert isinstance(response, Response)
    assert [data for _, data, _ in shown(messages)] == [b"1", b"22"]


def test_what_comes_before_the_answer_is_read_after_it() -> None:
    client = ClientProtocol(parse_uri("ws://127.0.0.1:1/node"))
    request_bytes = request_of(client)
    early = b"".join(encode_message(an_end(CLIENT), b"early"))
    server = ServerProtocol()
    reader = FrameReader(server)
    (request,) = reader.receive(request_bytes + early)
    assert isinstance(request, Request)
    assert server.state is CONNECTING
    assert not reader.is_behind
    server.send_response(server.accept(request))
    assert reader.is_behind
    assert [data for _, data, _ in shown(reader.receive(b""))] == [b"early"]
    assert not reader.is_behind
