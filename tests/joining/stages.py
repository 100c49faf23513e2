"""The stages of joining a parent below the root, and how to have something happen at one of them.

A stage is a place in the code: the beginning or the end of a call that one of the nodes makes. The
tables are in the order in which a joining node passes them. `plant` works inside a test and inside
a process of its own alike.
"""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pando import messages

JOINING, PARENT, GRANDPARENT = "joining node", "parent", "grandparent"
BEFORE, AFTER = "before", "after"

ADMISSION = "pando.tree.children:Children.serve"
ANSWER = "pando.net.webrtc.answerer:Answerer.answer"
COMPUTE = "pando.volunteering.session:Session.compute_for"
CONNECT = "pando.volunteering.below:ParentSearch._try"
HELLO = "pando.net.trust.initiator:Initiator.receive_hello"
JOIN_PARENT = "pando.net.trust.identity:NodeIdentity.join_parent"
JOIN_ROOT = "pando.net.trust.identity:NodeIdentity.join_root"
PLACE = "pando.tree.placement:Placement.find_parent_slot"
RECEIVE = "pando.net.keepalive:KeepaliveChannel.receive"
REPLY = "pando.net.trust.initiator:Initiator.receive_reply"
REQUEST = "pando.net.trust.responder:Responder.receive"
ACCEPT = "pando.net.trust.responder:Responder.accept"
SEND = "pando.net.keepalive:KeepaliveChannel.send"
SEND_UP = "pando.net.keepalive:KeepaliveChannel.send_bundle"
SHOW = "pando.net.trust.shaking:IncomingHandshake.receive"
START = "pando.volunteering.session_start:SessionStarter.start"
UPLINK = "pando.tree.uplink:Uplink.answer"


@dataclass(frozen=True)
class Point:
    """One call.

    Attributes:
        who: the node that makes it.
        when: whether its beginning is meant or its end.
        target: the function, as ``module:Class.method``.
        kind: what one of its arguments, or its result, must be.
        nth: which call it is, of those that this node makes.
    """

    who: str
    when: str
    target: str
    kind: type | None = None
    nth: int = 1


@dataclass(frozen=True)
class Stage:
    """A stage of joining: the last of some calls that follow each other."""

    name: str
    points: tuple[Point, ...]

    def __str__(self) -> str:
        return self.name


def stage(name: str, *points: tuple[Any, ...]) -> Stage:
    return Stage(name, tuple(Point(*point) for point in points))


AT_THE_ROOT = [
    stage("it has connected to the root", (JOINING, BEFORE, JOIN_ROOT)),
    stage("the root has shown its keys", (JOINING, BEFORE, HELLO)),
    stage("the root has certified it", (JOINING, AFTER, REPLY)),
    stage("it knows the run", (JOINING, AFTER, RECEIVE, messages.RunInfo)),
    stage("a part of the function has come", (JOINING, AFTER, RECEIVE, messages.FunctionPart)),
    stage("the whole function has come", (JOINING, BEFORE, START)),
    stage("its workers have the function", (JOINING, AFTER, START)),
]
"""While it has no place yet, its parent to be is killed."""

ASKING = [
    stage("it is ready", (JOINING, BEFORE, SEND, messages.Ready)),
    stage("the request is under way", (JOINING, AFTER, SEND, messages.Ready)),
    stage("the parent has the request", (PARENT, AFTER, RECEIVE, messages.Join)),
    stage("the parent keeps a place", (PARENT, AFTER, PLACE)),
    stage("the place is under way", (GRANDPARENT, AFTER, RECEIVE, messages.Offer)),
    stage("the place has come", (JOINING, AFTER, RECEIVE, messages.Redirect)),
]

SHAKING_HANDS = [
    stage("it stands before the parent", (JOINING, BEFORE, JOIN_PARENT)),
    stage("the parent has not shown its certificate", (PARENT, BEFORE, SHOW)),
    stage("the parent's certificate has come", (JOINING, BEFORE, HELLO, None, 2)),
    stage("the parent's certificate is checked", (JOINING, AFTER, HELLO, None, 2)),
    stage("the parent has the ticket", (PARENT, BEFORE, REQUEST)),
    stage("the ticket is used up", (PARENT, BEFORE, ACCEPT)),
    stage("the parent's reply has come", (JOINING, BEFORE, REPLY, None, 2)),
    stage("both have proved who they are", (JOINING, AFTER, JOIN_PARENT)),
    stage("the parent lets it in", (PARENT, BEFORE, ADMISSION)),
    stage("it is welcome", (JOINING, AFTER, RECEIVE, messages.Welcome)),
]

COMPUTING = [
    stage("the root has not been told", (JOINING, BEFORE, SEND, messages.Joined)),
    stage("the root has been told", (JOINING, AFTER, SEND, messages.Joined)),
    stage("it is about to compute", (JOINING, BEFORE, COMPUTE)),
    stage("the parent knows its workers", (PARENT, AFTER, RECEIVE, messages.Capacity)),
    stage("the first lease has come", (JOINING, AFTER, RECEIVE, messages.Lend)),
    stage("a result is there", (JOINING, BEFORE, UPLINK)),
    stage("a result is under way", (JOINING, BEFORE, UPLINK), (JOINING, AFTER, SEND_UP)),
    stage("the parent has a result", (PARENT, AFTER, RECEIVE, messages.Results)),
    stage(
        "the parent has passed the result on",
        (PARENT, AFTER, RECEIVE, messages.Results),
        (PARENT, AFTER, SEND_UP),
    ),
]

CONNECTING = [stage("it is about to connect", (JOINING, BEFORE, CONNECT))]
BY_WEBSOCKET = [*AT_THE_ROOT, *ASKING, *CONNECTING, *SHAKING_HANDS, *COMPUTING]


def by_webrtc(connection: str, steps: list[tuple[str, str]]) -> list[Stage]:
    """Return all stages where the link is a data channel.

    Args:
        connection: the class whose methods are an end's offer, answer and opening.
        steps: what happens until the channel is open: in words, and the function.
    """
    opening = [
        stage(f"{what} {verb} at the {who}", (who, when, target))
        for what, target in steps
        for when, verb in ((BEFORE, "begins"), (AFTER, "is done"))
        for who in (JOINING, PARENT)
    ]
    offering = [
        stage("it is about to make an offer", (JOINING, BEFORE, f"{connection}.make_offer")),
        stage("its offer is made", (JOINING, AFTER, f"{connection}.make_offer")),
    ]
    answering = [
        stage("the parent has its offer", (PARENT, BEFORE, ANSWER)),
        stage("the parent begins its answer", (PARENT, BEFORE, f"{connection}.make_answer")),
        stage("the parent's answer is made", (PARENT, AFTER, f"{connection}.make_answer")),
    ]
    taking = [
        stage("the answer is about to be taken", (JOINING, BEFORE, f"{connection}.accept_answer")),
        stage("the answer is taken", (JOINING, AFTER, f"{connection}.accept_answer")),
    ]
    return [
        *AT_THE_ROOT,
        *offering,
        *ASKING[:3],
        *answering,
        *ASKING[3:],
        *CONNECTING,
        *taking,
        *opening,
        stage("the channel is open at both ends", (JOINING, AFTER, f"{connection}.open")),
        *SHAKING_HANDS,
        *COMPUTING,
    ]


def plant(
    stage: Stage,
    who: Callable[[], str],
    reached: Callable[[], object],
    patch: Callable[[object, str, object], object] = setattr,
) -> None:
    """Have something happen once, when a stage is reached.

    Args:
        stage: which one.
        who: tells which node makes the call that is being made.
        reached: what happens.
        patch: replaces an attribute of a class.
    """
    to_come = list(stage.points)
    calls = 0

    def note(when: str, target: str, values: tuple[object, ...]) -> None:
        nonlocal calls
        if not to_come:
            return
        point = to_come[0]
        if (point.who, point.when, point.target) != (who(), when, target):
            return
        if point.kind is not None and not any(isinstance(each, point.kind) for each in values):
            return
        calls += 1
        if calls == point.nth:
            calls = 0
            del to_come[0]
            if not to_come:
                reached()

    for target in dict.fromkeys(point.target for point in stage.points):
        module, _, path = target.partition(":")
        owner, _, name = path.partition(".")
        kind = getattr(importlib.import_module(module), owner)
        patch(kind, name, _wrap(getattr(kind, name), functools.partial(note, target=target)))


def _wrap(function: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def wrapped(*arguments: Any, **options: Any) -> Any:
            note(BEFORE, values=arguments)
            result = await function(*arguments, **options)
            note(AFTER, values=(*arguments, result))
            return result

    else:

        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            note(BEFORE, values=arguments)
            result = function(*arguments, **options)
            note(AFTER, values=(*arguments, result))
            return result

    return wrapped
