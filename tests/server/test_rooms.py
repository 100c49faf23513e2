"""Rooms: limits, rates, silence, and the end of a server."""

from __future__ import annotations

import pytest

from pando.net.relayed import frames
from pando.net.relayed.frames import MAX_PART_BYTES, WINDOW_BYTES, Ending, Kind
from pando.server import limits
from pando.server.limits import ServerLimits
from pando.server.rate import TokenBucket
from pando.server.room import JoinError, RoomsFullError
from pando.server.rooms import Rooms
from pando.server.tries import Tries

ADDRESS = "192.0.2.1"
SILENCE = 10.0


def drain(rooms, link, now=0.0):
    """All frames that go to a root now."""
    found = []
    while message := rooms.take_for_root(link, now)[0]:
        found += frames.decode(message)
    return found


def dismissal(link):
    (frame,) = frames.decode(link.dismissal)
    assert frame.kind is Kind.GOODBYE
    return frames.read_goodbye(frame.payload)


def test_too_many_rooms_are_refused_in_words():
    rooms = Rooms(ServerLimits(rooms=1))
    rooms.open_room("one", 0.0)
    with pytest.raises(RoomsFullError, match=r"1 runs at once \(MAX_ROOMS\)"):
        rooms.open_room("two", 0.0)
    rooms.open_room("one", 0.0)  # it comes back


@pytest.mark.parametrize(
    ("few", "name"),
    [
        (ServerLimits(nodes_per_room=2), "MAX_NODES_PER_ROOM"),
        (ServerLimits(nodes=2), "MAX_NODES"),
        (ServerLimits(nodes_per_address=2), "MAX_NODES_PER_ADDRESS"),
    ],
)
def test_too_many_nodes_are_refused_in_words(few, name):
    rooms = Rooms(few)
    link, _ = rooms.open_room("room", 0.0)
    first, _ = rooms.join("room", ADDRESS, 0.0)
    rooms.join("room", ADDRESS, 0.0)
    for _ in range(3):
        with pytest.raises(JoinError, match=rf"\({name}\)") as caught:
            rooms.join("room", ADDRESS, 0.0)
        assert caught.value.ending is Ending.FULL
    notices = [f for f in drain(rooms, link) if f.kind is Kind.NOTICE]
    assert len(notices) == (name != "MAX_NODES_PER_ADDRESS")  # once, not for each node
    rooms.drop_node(first)
    rooms.join("room", ADDRESS, 0.0)


def test_the_rate_of_a_room_holds_in_both_directions_and_is_told():
    rate = 1_000_000
    rooms = Rooms(ServerLimits(bytes_per_second=rate))
    link, _ = rooms.open_room("room", 0.0)
    node, _ = rooms.join("room", ADDRESS, 0.0)
    now, passed, notices = 0.0, 0, 0
    while now < 10.0:
        while rooms.may_read(node):
            rooms.receive_from_node(node, bytes(MAX_PART_BYTES), now)
        for frame in drain(rooms, link, now):
            notices += frame.kind is Kind.NOTICE
            if frame.kind is Kind.PART:
                passed += len(frame.payload)
                rooms.receive_from_root(link, frames.encode_credit(1, len(frame.payload)), now)
        # The other direction: as much as there is credit for.
        while node.window >= MAX_PART_BYTES:
            rooms.receive_from_root(link, frames.encode(Kind.PART, 1, bytes(MAX_PART_BYTES)), now)
        while (part := rooms.take_for_node(node)) is not None:
            passed += len(part)
            rooms.wrote_to_node(node, len(part), now)
        now += 0.01
        rooms.tick(now, SILENCE)
        link.heard = now
    assert 9 * rate < passed <= 11 * rate + 2 * WINDOW_BYTES
    assert notices == 1


def test_silent_roots_are_lost_and_others_get_heartbeats():
    rooms = Rooms()
    silent, _ = rooms.open_room("silent", 0.0)
    alive, _ = rooms.open_room("alive", 0.0)
    node, _ = rooms.join("silent", ADDRESS, 0.0)
    for second in range(1, 12):
        rooms.tick(float(second), SILENCE)
        rooms.receive_from_root(alive, frames.encode(Kind.HEARTBEAT), float(second))
        beats = [f.kind for f in drain(rooms, alive, float(second))]
        assert beats == ([Kind.HEARTBEAT] if second in (4, 8) else [])
    assert rooms.rooms == ["alive"]
    assert silent.dismissal == b""
    assert node.ending is Ending.AWAY


def test_an_idle_room_ends_and_one_with_a_node_does_not():
    rooms = Rooms(ServerLimits(idle_seconds=100.0))
    idle, _ = rooms.open_room("idle", 0.0)
    used, _ = rooms.open_room("used", 0.0)
    rooms.join("used", ADDRESS, 0.0)
    for second in range(0, 102, 3):
        idle.heard = used.heard = float(second)
        rooms.tick(float(second), SILENCE)
    idle.heard = used.heard = 102.0
    rooms.tick(102.0, SILENCE)
    assert rooms.rooms == ["used"]
    seconds, sentence = dismissal(idle)
    assert seconds == limits.IDLE_PAUSE_SECONDS
    assert "(IDLE_ROOM_SECONDS)" in sentence


def test_a_root_that_breaks_the_rules_is_told_and_its_nodes_are_ended():
    for bad in (
        b"nonsense",
        frames.encode_opened(1, frames.Purpose.NODE, "x"),
        frames.encode(Kind.PART, 2, b"of nobody"),
        frames.encode_credit(1, 1),
        b"".join(frames.encode(Kind.PART, 1, bytes(MAX_PART_BYTES)) for _ in range(3)) * 2,
    ):
        rooms = Rooms()
        link, _ = rooms.open_room("room", 0.0)
        node, _ = rooms.join("room", ADDRESS, 0.0)
        for start in range(0, len(bad), 3 * (MAX_PART_BYTES + frames.HEADER_BYTES)):
            rooms.receive_from_root(
                link, bad[start : start + 3 * (MAX_PART_BYTES + frames.HEADER_BYTES)], 0.0
            )
        assert not link.is_open
        assert dismissal(link)[1]
        assert node.ending is Ending.AWAY
        assert rooms.counters["roots_that_broke_rules"] == 1


def test_a_node_that_breaks_the_rules_is_dropped():
    rooms = Rooms()
    link, _ = rooms.open_room("room", 0.0)
    node, _ = rooms.join("room", ADDRESS, 0.0)
    rooms.receive_from_node(node, bytes(MAX_PART_BYTES + 1), 0.0)
    assert node.ending is Ending.BROKEN_RULES
    closed = drain(rooms, link)[-1]
    assert frames.read_closed(closed.payload)[0] is Ending.BROKEN_RULES


def test_the_end_of_a_server_is_told_to_everybody():
    rooms = Rooms()
    link, _ = rooms.open_room("room", 0.0)
    node, _ = rooms.join("room", ADDRESS, 0.0)
    assert set(rooms.close(0.0)) == {link, node}
    assert dismissal(link) == (limits.RESTART_PAUSE_SECONDS, "the server is being restarted")
    assert node.ending is Ending.RESTART


def test_ended_rooms_are_remembered_within_bounds():
    rooms = Rooms()
    for number in range(limits.MAX_REMEMBERED + 10):
        link, _ = rooms.open_room(f"room{number}", 0.0)
        rooms.receive_from_root(link, frames.encode(Kind.FINISHED), 0.0)
    for number, ending in ((0, Ending.NO_ROOM), (limits.MAX_REMEMBERED, Ending.FINISHED)):
        with pytest.raises(JoinError) as caught:
            rooms.join(f"room{number}", ADDRESS, 0.0)
        assert caught.value.ending is ending
    rooms.tick(limits.REMEMBERED_SECONDS + 1, SILENCE)
    with pytest.raises(JoinError) as caught:
        rooms.join(f"room{limits.MAX_REMEMBERED}", ADDRESS, 0.0)
    assert caught.value.ending is Ending.NO_ROOM


def test_a_bucket_lets_its_rate_pass():
    bucket = TokenBucket(100.0, 0.0)
    bucket.spend(350, 0.0)
    assert 2.5 < bucket.seconds_to_wait(0.0) < 2.6
    assert bucket.seconds_to_wait(2.6) == 0.0
    bucket.spend(100, 1000.0)  # no more than a second's worth is saved up
    assert bucket.seconds_to_wait(1000.0) > 0


def test_tries_are_counted_by_address_and_network_and_forgotten():
    tries = Tries()
    for _ in range(limits.MAX_TRIES):
        assert tries.seconds_to_wait("2001:db8:1:2::1", 0.0) == 0.0
        tries.add("2001:db8:1:2::1", 0.0)
    assert tries.seconds_to_wait("2001:db8:1:2:ffff::9", 1.0) == limits.TRY_SECONDS - 1
    assert tries.seconds_to_wait("2001:db8:1:3::1", 1.0) == 0.0
    assert tries.seconds_to_wait("2001:db8:1:2::1", limits.TRY_SECONDS) == 0.0
