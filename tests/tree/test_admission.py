"""Admission and placement, over memory channels: what joining nodes are sent, and where they go."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from pando import messages
from pando.channel import ChannelClosedError, memory_channel_pair
from pando.net.keepalive import KeepaliveChannel
from pando.net.trust.errors import TrustError
from pando.net.trust.identity import LinkInUse, NodeIdentity, RootIdentity
from pando.net.trust.key_store import LinkKeys
from pando.net.visitor import Visitor
from pando.running.value_codec import ValueCodec
from pando.scheduler import Borrower
from pando.tree import admission
from pando.tree.child import Child
from pando.tree.encoded_run import FunctionOffer, TurnServersFor, no_turn_servers
from pando.tree.membership import Membership
from pando.tree.node import Node
from pando.tree.overlay import Overlay
from pando.tree.placement import Below, Here, Placement

ROOT = bytes(range(8))
ASSIGNMENT = messages.RunInfo(messages.VERSION, b"", "run", "square", b"", ["numpy"], degree=2)
HOST = "192.168.1.7"


def open_identity() -> RootIdentity:
    """A root that lets everybody join."""
    keys = LinkKeys.generate()
    return RootIdentity(lambda: LinkInUse(keys, None, lasts=True), lambda visitor: False)


class Ignored:
    """Events that nobody wants to know of."""

    def on_joined(self, child: Child) -> None: ...

    def on_left(self, child: Child, borrower: Borrower) -> None: ...

    def on_load_failed(self, name: str, host: str, reason: str) -> None: ...

    def on_not_admitted(self, host: str, reason: str) -> None: ...

    def on_function_unavailable(self, reason: str) -> None: ...


class Root:
    """A root that offers a function, and joining nodes that connect to it."""

    def __init__(
        self,
        nursery: trio.Nursery,
        function: bytes,
        turn_servers_for: TurnServersFor = no_turn_servers,
    ) -> None:
        self.offers = 0
        self._nursery = nursery
        self._function = function
        self.membership = Membership.of_root(
            Node(ValueCodec()),
            Overlay(ROOT, degree=2),
            Ignored(),
            open_identity(),
            ASSIGNMENT,
            function_for=self._function_for,
            turn_servers_for=turn_servers_for,
        )

    async def _function_for(self, fingerprint: str) -> FunctionOffer:
        self.offers += 1
        return FunctionOffer(self._function, {"numpy": "2.1"} if fingerprint else {})

    async def connect(self, visitor: Visitor = Visitor(HOST), **hello: Any) -> KeepaliveChannel:
        ours, theirs = memory_channel_pair()
        self._nursery.start_soon(self.membership.handle_connection, theirs, visitor)
        said = messages.encode(messages.Hello(**hello))
        return KeepaliveChannel(await NodeIdentity().join_root(ours, None, None, said))


async def receive_function(link: KeepaliveChannel, count: int) -> bytes:
    parts = [await link.receive() for _ in range(count)]
    return b"".join(part.data for part in parts if isinstance(part, messages.FunctionPart))


def count_encoded(monkeypatch: pytest.MonkeyPatch) -> Counter[type]:
    """How many messages of each kind are encoded from now on."""
    counted: Counter[type] = Counter()
    encode = messages.encode

    def counting(message: messages.Message) -> bytes:
        counted[type(message)] += 1
        return encode(message)

    monkeypatch.setattr(messages, "encode", counting)
    return counted


async def test_the_function_is_encoded_once_for_all_that_have_the_same_form(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = count_encoded(monkeypatch)
    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"a function" * 1000)
        nodes = set()
        for number in range(6):
            link = await root.connect(fingerprint="cpython" if number % 2 else "")
            assigned = await link.receive()
            assert isinstance(assigned, messages.RunInfo)
            nodes.add(assigned.node)
            expected = msgspec.structs.replace(
                ASSIGNMENT,
                node=assigned.node,
                function=b"a function" * 1000,
                versions={"numpy": "2.1"} if number % 2 else {},
            )
            assert assigned == expected
        assert len(nodes) == root.offers == 6
        assert counted[messages.RunInfo] == 2, "once for each form"
        nursery.cancel_scope.cancel()


async def test_a_large_function_is_sent_in_parts_that_are_encoded_once(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PART_BYTES", 10)
    counted = count_encoded(monkeypatch)
    function = bytes(range(25))
    async with trio.open_nursery() as nursery:
        root = Root(nursery, function)
        for _ in range(3):
            link = await root.connect()
            assigned = await link.receive()
            assert isinstance(assigned, messages.RunInfo)
            assert (assigned.function, assigned.parts) == (b"", 3)
            assert await receive_function(link, 3) == function
            await link.send(messages.AskPortable())
            assert await link.receive() == messages.Portable(3)
            assert await receive_function(link, 3) == function
        assert counted[messages.FunctionPart] == 3
        nursery.cancel_scope.cancel()


async def test_a_joining_node_that_does_not_read_is_given_up_after_ten_seconds(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PART_BYTES", 10)
    async with trio.open_nursery() as nursery:
        root = Root(nursery, bytes(1000))
        links = [await root.connect() for _ in range(5)]
        begun = trio.current_time()
        await trio.testing.wait_all_tasks_blocked()
        assert root.membership.joining == 5
        await trio.sleep(admission.UNREAD_SECONDS + 0.1)
        assert root.membership.joining == 0
        assert root.membership.counters["joins_stalled"] == 5
        for link in links:
            with pytest.raises(ChannelClosedError):
                await receive_function(link, 102)
        assert trio.current_time() - begun < admission.UNREAD_SECONDS + 1
        nursery.cancel_scope.cancel()


async def test_a_joining_node_that_reads_slowly_gets_the_function_however_long_it_takes(
    autojump_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "PART_BYTES", 10)
    function = bytes(range(250)) * 4
    async with trio.open_nursery() as nursery:
        root = Root(nursery, function)
        link = await root.connect()
        begun = trio.current_time()
        assert isinstance(await link.receive(), messages.RunInfo)
        received = b""
        while len(received) < len(function):
            await trio.sleep(admission.UNREAD_SECONDS - 1)
            received += await receive_function(link, 1)
        assert received == function
        assert trio.current_time() - begun > 50 * admission.UNREAD_SECONDS
        assert root.membership.counters["joins_stalled"] == 0
        nursery.cancel_scope.cancel()


async def test_forms_that_change_do_not_pile_up(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"")
        for number in range(20):
            root._function = bytes([number])
            link = await root.connect()
            assigned = await link.receive()
            assert isinstance(assigned, messages.RunInfo)
            assert assigned.function == bytes([number])
        assert root.membership._admission is not None
        assert len(root.membership._admission._encoded) <= admission.MAX_FORMS
        nursery.cancel_scope.cancel()


# ---- placement ----


def make_child(node: bytes, *, needs_offer: bool = False) -> tuple[Child, KeepaliveChannel]:
    ours, theirs = memory_channel_pair()
    child = Child(node, "child", True, needs_offer, KeepaliveChannel(ours))
    return child, KeepaliveChannel(theirs)


def identifier(number: int) -> bytes:
    return number.to_bytes(messages.ID_BYTES, "big")


async def full_placement() -> tuple[Placement, Child, KeepaliveChannel]:
    """A node of degree 1 whose only place is taken."""
    placement = Placement(Overlay(ROOT, degree=1), Counter())
    assert await placement.find_parent(identifier(1), set()) == Here()
    child, far_end = make_child(identifier(1))
    placement.connected(child)
    return placement, child, far_end


async def test_a_child_s_offer_is_a_place_below(autojump_clock: Any) -> None:
    placement, child, far_end = await full_placement()
    found: list[Any] = []

    async def find() -> None:
        found.append(await placement.find_parent(identifier(2), set()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(find)
        assert await far_end.receive() == messages.Join(identifier(2))
        offer = messages.Offer(identifier(2), child.node, "ticket")
        placement.offered(child, offer)
    assert found == [Below(child.node, offer)]


@pytest.mark.parametrize("how", ["leaves", "is silent", "has none", "cannot be reached"])
async def test_a_node_that_a_child_cannot_place_is_accepted_here(
    autojump_clock: Any, how: str
) -> None:
    placement, child, far_end = await full_placement()
    found: list[Any] = []

    async def find() -> None:
        found.append(await placement.find_parent(identifier(2), set()))

    if how == "cannot be reached":
        await far_end.aclose()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(find)
        await trio.testing.wait_all_tasks_blocked()
        if how == "leaves":
            placement.left(child)
        elif how == "has none":
            placement.offered(child, messages.Offer(identifier(2), child.node))
    assert found == [Here()]


async def test_a_request_that_is_made_again_replaces_the_one_that_waits(
    autojump_clock: Any,
) -> None:
    placement = Placement(Overlay(ROOT, degree=1), Counter())
    assert await placement.find_parent(identifier(1), set()) == Here()
    found: list[Any] = []

    async def find() -> None:
        found.append(await placement.find_parent(identifier(2), set()))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(find)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(find)
        await trio.testing.wait_all_tasks_blocked()
        assert found == [None]
        placement.left(make_child(identifier(1))[0])
        placement._resolve(placement.overlay.left(identifier(1), 0.0))
    assert found == [None, Here()]


async def test_a_ticket_is_good_once_and_for_its_node_alone(autojump_clock: Any) -> None:
    placement = Placement(Overlay(ROOT, degree=1), Counter())
    offer = await placement.find_parent_slot(identifier(1))
    assert (offer.parent, bool(offer.ticket)) == (ROOT, True)
    assert placement.find_ticket(identifier(1)) == offer.ticket
    assert placement.find_ticket(identifier(2)) is None
    placement.use_ticket(identifier(1))
    assert placement.find_ticket(identifier(1)) is None


async def test_a_node_lets_in_only_those_for_whom_it_keeps_a_place(autojump_clock: Any) -> None:
    """With the certificate of the same root and the ticket, and in no other way."""
    parent, child, other = NodeIdentity(), NodeIdentity(), NodeIdentity()
    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"")
        for identity in (parent, child, other):
            ours, theirs = memory_channel_pair()
            nursery.start_soon(root.membership.handle_connection, theirs, Visitor(HOST))
            await identity.join_root(ours, None, None, messages.encode(messages.Hello()))
        overlay = Overlay(parent.identifier)
        membership = Membership(Node(ValueCodec()), overlay, Ignored(), parent)
        offer = await membership.placement.find_parent_slot(child.identifier)
        cases = [
            (other, offer.parent, offer.ticket, "this ticket is not"),
            (child, offer.parent, "another ticket", "this ticket is not"),
            (child, other.identifier, offer.ticket, "another node than the one that was meant"),
            (NodeIdentity(), offer.parent, offer.ticket, "has not signed the certificate"),
            (child, offer.parent, offer.ticket, ""),
            (child, offer.parent, offer.ticket, "this ticket is not"),
        ]
        for identity, meant, ticket, refusal in cases:
            ours, theirs = memory_channel_pair()
            nursery.start_soon(membership.handle_connection, theirs, Visitor(HOST))
            said = messages.encode(messages.Hello())
            if refusal:
                with pytest.raises(TrustError, match=refusal):
                    await identity.join_parent(ours, meant, ticket, said)
                await ours.aclose()
            else:
                link = KeepaliveChannel(await identity.join_parent(ours, meant, ticket, said))
                assert await link.receive() == messages.Welcome(parent.identifier)
                await trio.testing.wait_all_tasks_blocked()
                assert [each.node for each in membership.children] == [child.identifier]
        nursery.cancel_scope.cancel()


async def test_joining_takes_no_more_than_one_message_and_its_answer(autojump_clock: Any) -> None:
    """Round trips after the channel is open: as many as when nothing was proved."""
    sent: list[str] = []

    class Counting:
        def __init__(self, channel: Any, end: str) -> None:
            self.channel, self.end = channel, end

        async def send(self, data: bytes) -> None:
            if not sent or sent[-1] != self.end:
                sent.append(self.end)
            await self.channel.send(data)

        async def receive(self) -> bytes:
            return bytes(await self.channel.receive())

        async def aclose(self) -> None:
            await self.channel.aclose()

    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"a function")
        ours, theirs = memory_channel_pair()
        channel = Counting(theirs, "root")
        nursery.start_soon(root.membership.handle_connection, channel, Visitor(HOST))
        said = messages.encode(messages.Hello())
        link = KeepaliveChannel(
            await NodeIdentity().join_root(Counting(ours, "node"), None, None, said)
        )
        assert isinstance(await link.receive(), messages.RunInfo)
        # The root's first flight comes with its answer to the upgrade.
        assert sent == ["root", "node", "root"]
        await link.send(messages.Ready())
        assert isinstance(await link.receive(), messages.Welcome)
        assert sent == ["root", "node", "root", "node", "root"]
        nursery.cancel_scope.cancel()


async def test_joining_nodes_are_sent_only_where_the_root_itself_has_seen_a_node(
    autojump_clock: Any,
) -> None:
    """What a child answers names a parent; where that is, the root knows or it sends nobody."""
    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"")
        links = []
        for number in range(2):
            link = await root.connect(port=5)
            assert isinstance(await link.receive(), messages.RunInfo)
            await link.send(messages.Ready(port=5000 + number, addresses=["own:1"]))
            assert isinstance(await link.receive(), messages.Welcome)
            links.append(link)
        joining = await root.connect()
        assigned = await joining.receive()
        assert isinstance(assigned, messages.RunInfo)
        await joining.send(messages.Ready())
        answers = []

        async def answer(link: KeepaliveChannel, offered: bytes) -> None:
            with trio.move_on_after(1):
                asked = await link.receive()
                assert asked == messages.Join(assigned.node)
                answers.append(offered)
                await link.send(messages.Offer(assigned.node, offered, "ticket"))

        known = [child.node for child in root.membership.children]
        async with trio.open_nursery() as answering:
            answering.start_soon(answer, links[0], b"no such.")
            answering.start_soon(answer, links[1], b"no such.")
        assert answers, "one of them was asked"
        async with trio.open_nursery() as answering:
            answering.start_soon(answer, links[0], known[1])
            answering.start_soon(answer, links[1], known[1])
        sent = await joining.receive()
        expected = messages.Redirect(known[1], [f"{HOST}:5001", "own:1"], "ticket")
        assert isinstance(sent, messages.Welcome) or sent == expected
        assert root.membership.counters["unreachable_parents"] >= 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("fingerprint", "over_https", "is_redirected"),
    [("", False, True), ("", True, False), ("cpython", True, True)],
)
async def test_a_page_over_https_is_sent_to_no_address_without_encryption(
    autojump_clock: Any, fingerprint: str, over_https: bool, is_redirected: bool
) -> None:
    """Its browser would not connect there. Natives that come to the same server are sent on."""
    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"a function")
        parents = []
        for number in range(2):
            parent = await root.connect(fingerprint="cpython")
            await parent.receive()
            await parent.send(messages.Ready(port=4000 + number))
            assert isinstance(await parent.receive(), messages.Welcome)
            parents.append(parent)
        visitor = Visitor(HOST, is_relayed=True, over_https=over_https)
        joining = await root.connect(visitor, fingerprint=fingerprint)
        await joining.receive()
        await joining.send(messages.Ready(port=5000 if fingerprint else 0))

        async def offer(parent: KeepaliveChannel) -> None:
            while True:
                message = await parent.receive()
                if isinstance(message, messages.Join):
                    await parent.send(messages.Offer(message.origin, bytes(8), "ticket"))

        for parent in parents:
            nursery.start_soon(offer, parent)
        root.membership._admission._addresses[bytes(8)] = ["192.168.1.8:4000"]
        answer = await joining.receive()
        assert isinstance(answer, messages.Redirect if is_redirected else messages.Welcome)
        if not is_redirected:
            overlay = root.membership.placement.overlay
            overlay.validate_state()
            assert len(overlay.children + overlay.candidates) == 3
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("over_https", [False, True])
async def test_a_child_that_needs_an_offer_is_sent_nobody_without_one(
    autojump_clock: Any, over_https: bool
) -> None:
    """A tab has no address: it answers an offer, over https as well, as long as it says so."""
    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"a function")
        parents = []
        for _ in range(2):
            parent = await root.connect(answers_offers=True)
            await parent.receive()
            await parent.send(messages.Ready())
            assert isinstance(await parent.receive(), messages.Welcome)
            parents.append(parent)
        joins: list[messages.Join] = []
        links: list[KeepaliveChannel] = []

        async def answer(parent: KeepaliveChannel) -> None:
            while True:
                message = await parent.receive()
                if isinstance(message, messages.Join):
                    joins.append(message)
                    offer = messages.Offer(message.origin, bytes(8), "ticket", "answer")
                    await parent.send(offer)

        for parent in parents:
            nursery.start_soon(answer, parent)

        async def join(offer: str) -> messages.Message:
            visitor = Visitor(HOST, is_relayed=True, over_https=over_https)
            joining = await root.connect(visitor)
            links.append(joining)
            await joining.receive()
            await joining.send(messages.Ready(offer=offer))
            return await joining.receive()

        if over_https:
            assert isinstance(await join(""), messages.Welcome)
        else:  # it is asked for an offer, and may have none
            nowhere = messages.Redirect(ROOT, [], "")
            assert await join("") == nowhere
            await links[-1].send(messages.Unreachable("it has no address"))
            assert isinstance(await links[-1].receive(), messages.Welcome)
            assert await join("") == nowhere
            await links[-1].send(messages.Unreachable("it has no address", "late offer"))
            redirect = await links[-1].receive()
            assert redirect == messages.Redirect(bytes(8), [], "ticket", "answer")
            await links[-1].send(messages.Joined())
            assert joins.pop().offer == "late offer"
        assert joins == []
        assert await join("offer") == messages.Redirect(bytes(8), [], "ticket", "answer")
        assert [each.offer for each in joins] == ["offer"]
        for parent in parents:
            await parent.send(messages.Capacity(1, answers_offers=False))
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(await join("offer"), messages.Welcome)
        await parents[0].send(messages.Capacity(1, answers_offers=True))
        await trio.testing.wait_all_tasks_blocked()
        assert isinstance(await join("offer"), messages.Redirect)
        nursery.cancel_scope.cancel()


async def test_a_node_that_only_looks_is_told_no_function_and_may_try_offers(
    autojump_clock: Any,
) -> None:
    async def answer(offer: str, patience: float = 0.0) -> messages.Signal:
        return messages.Signal(f"answer to {offer}")

    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"a function")
        root.membership.placement.answer_offer = answer
        link = await root.connect(workers=0, fingerprint="cpython")
        assigned = await link.receive()
        assert isinstance(assigned, messages.RunInfo)
        assert (assigned.function, root.offers) == (b"", 0)
        for number in range(admission.MAX_TRIALS - 1):
            await link.send(messages.Signal(f"offer {number}"))
            assert await link.receive() == messages.Signal(f"answer to offer {number}")
        assert root.membership.joining == 1
        await link.send(messages.Ready())
        await trio.testing.wait_all_tasks_blocked()
        assert root.membership.joining == 0
        assert root.membership.children == []
        nursery.cancel_scope.cancel()


async def test_offers_before_joining_are_bounded(autojump_clock: Any) -> None:
    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"a function")
        link = await root.connect()
        await link.receive()
        for _ in range(admission.MAX_TRIALS):
            await link.send(messages.Signal("an offer"))
            assert await link.receive() == messages.Signal("")
        await trio.testing.wait_all_tasks_blocked()
        assert root.membership.joining == 0
        nursery.cancel_scope.cancel()


async def test_each_node_is_told_turn_servers_of_its_own(autojump_clock: Any) -> None:
    def turn_servers_for(node: bytes) -> list[messages.TurnServer]:
        return [messages.TurnServer("turn:a", f"user {node.hex()}", "password")]

    async with trio.open_nursery() as nursery:
        root = Root(nursery, b"a function" * 1000, turn_servers_for)
        for _ in range(3):
            assigned = await (await root.connect()).receive()
            assert isinstance(assigned, messages.RunInfo)
            assert assigned.turn_servers == turn_servers_for(assigned.node)
            assert assigned.function == b"a function" * 1000
        nursery.cancel_scope.cancel()
