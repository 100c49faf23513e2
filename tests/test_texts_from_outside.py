"""Texts from other devices, filled with what a terminal obeys: how they are shown to a person.

`FIELDS` says of each text field of each message where it is shown, or that nobody sees it. It is
compared with the types of the messages, so that a new field must be said something of.
"""

from __future__ import annotations

import ast
import io
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect as types
import pytest
import trio

import pando
from pando import debug, errors, messages, notifier, values
from pando.cli import output
from pando.cli.watched_run import WatchedRun
from pando.errors import MAX_LINE, MAX_TEXT, FunctionError, ItemError, UsageError
from pando.net.relayed.frames import Ending
from pando.net.relayed.room_channel import RoomClosedError
from pando.reporting.live import Viewer, encode
from pando.reporting.monitor import Monitor
from pando.reporting.passing import Incoming
from pando.reporting.run_figures import RunFigures
from pando.reports.records import (
    MAX_NAME,
    MAX_WORD,
    Device,
    Interval,
    Introduction,
    Update,
)
from pando.running.streams import item_error
from pando.scheduler import AttemptsExhausted, ResultBatch
from pando.tree import admission
from pando.volunteering import Volunteer, VolunteerOptions
from pando.worker.virtual_environment import prepare_environment

from .net.clients import comes_true, serving
from .reporting import feed
from .running.test_logging import Pool
from .test_message_bounds import KINDS

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\npando: all is well\n\u202e\u2066\u200f\u2028\x85\t"
LONG = HOSTILE * 1000


def is_line(text: str) -> bool:
    """Whether a text is one short line of printable characters."""
    return text.isprintable() and 0 < len(text) <= MAX_LINE


def is_block(text: str) -> bool:
    """Whether no line of a text but its first could be taken for another message."""
    first, *others = text.split("\n")
    clean = all(line.replace("\t", "").isprintable() for line in (first, *others))
    return clean and all(line.startswith(" ") for line in others) and len(text) <= MAX_TEXT


# ---- where the fields are shown ----


async def failure_of(field: str) -> None:
    text = LONG[:MAX_TEXT]
    failure = msgspec.structs.replace(messages.Failure("ValueError", "no"), **{field: text})
    check_failure(item_error(ResultBatch(0, ["item"], [None], {0: failure}), 0))
    arguments = values.encode([HOSTILE])
    failure = msgspec.structs.replace(failure, type="ValueError", arguments=arguments)
    cause = item_error(ResultBatch(0, ["item"], [None], {0: failure}), 0).__cause__
    assert isinstance(cause, ValueError)
    assert str(cause).replace("\n", "").replace("\t", "").isprintable()


async def crash() -> None:
    failure = AttemptsExhausted(3, LONG[:MAX_TEXT])
    check_failure(item_error(ResultBatch(0, ["item"], [None], {0: failure}), 0))


def check_failure(error: ItemError) -> None:
    assert is_block(str(error))
    assert all(is_block(note) for note in getattr(error, "__notes__", []))
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", shown)
        output.report_item_error(error)
    *lines, end = shown.getvalue().split("\n")
    assert end == ""
    own = [line for line in lines if not line.startswith(" ")]
    assert len(own) == 1, "the rest is indented"
    assert own[0].startswith("pando: item 0 ('item'): ")


async def refused_by_a_device() -> None:
    said: list[str] = []
    async with serving() as served:
        served._say = said.append
        for _ in range(20):
            served.on_load_failed("tablet", "192.168.1.7", LONG[:MAX_TEXT])
        (event, *_) = served.monitoring.monitor.events.since(0)
    assert len(said) == 1, "no more than one a second"
    assert said[0].isprintable()
    assert len(said[0]) <= MAX_LINE + len("tablet cannot join: ")
    assert event.text.isprintable()


async def refused_by_the_root() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "SENT_AWAY", LONG[:MAX_TEXT])
        patch.setattr(admission.Admission, "sent_away", Everybody(), raising=False)
        patch.setattr(Everybody, "__set__", lambda *_: None, raising=False)
        async with serving() as served:
            with pytest.raises(UsageError) as refused:
                await volunteer(served.links[0], [].append).run()
    assert is_line(str(refused.value))


class Everybody:
    """A descriptor in whose place there is a set of all nodes."""

    def __get__(self, *_: object) -> Everybody:
        return self

    def __contains__(self, node: object) -> bool:
        return True


async def name_of_the_function() -> None:
    said: list[str] = []
    async with serving(LONG[:MAX_TEXT]) as served, trio.open_nursery() as nursery:
        device = volunteer(served.links[0], said.append)
        nursery.start_soon(device.run)
        assert await comes_true(lambda: any(text.startswith("computing ") for text in said))
        assert is_line(repr(device))
        nursery.cancel_scope.cancel()
    assert all(map(is_line, said))


async def name_of_a_device() -> None:
    async with serving() as served, trio.open_nursery() as nursery:
        device = Volunteer(
            served.links[0],
            VolunteerOptions(workers=1, name="x"),
            lambda text: None,
            make_pool=Pool,
        )
        device._name = LONG[: messages.MAX_WORD]
        nursery.start_soon(device.run)
        assert await comes_true(lambda: bool(served.membership.children))
        (child,) = served.membership.children
        assert is_line(child.name)
        assert is_line(repr(child))
        nursery.cancel_scope.cancel()


def volunteer(link: str, say: Callable[[str], None]) -> Volunteer:
    return Volunteer(link, VolunteerOptions(workers=1, name="tablet"), say, make_pool=Pool)


async def requirements() -> None:
    for text in (HOSTILE, LONG, f"nothing_like_it; python_version > '{HOSTILE}'"):
        with pytest.raises(FunctionError) as refused:
            await prepare_environment([text[: messages.MAX_WORD]], install=False, say=[].append)
        assert str(refused.value).isprintable()
    with pytest.raises(FunctionError) as refused:
        missing = [f"no-such-package-{number}" for number in range(1000)]
        await prepare_environment(missing, install=False, say=[].append)
    assert len(str(refused.value)) < 3 * MAX_LINE


async def figures_of_a_device() -> None:
    short = HOSTILE[:MAX_WORD]
    device = msgspec.structs.replace(
        feed.device(), name=HOSTILE[:MAX_NAME], kind=short, version=short, link=short, units=short
    )
    shown = shown_of(device)
    assert len(shown["volunteers"]) == 1
    for text in texts_in(shown):
        assert text.isprintable()
        assert len(text) <= MAX_LINE


def shown_of(device: Device) -> Any:
    """What a monitoring page is sent of a device of which a child has told."""
    monitor = Monitor("square", feed.ROOT, 0.0, 3.0)
    update = Update(introductions=[Introduction(0, device, 0, [])], intervals=[Interval(0, 1, [1])])
    Incoming("child", monitor.ledger, feed.ROOT).take(feed.over_the_wire(update), 0.0)
    monitor.tick(RunFigures(), 3.0)
    state = Viewer(monitor).next()
    assert state is not None
    return json.loads(encode(state))


def texts_in(shown: Any) -> Iterator[str]:
    if isinstance(shown, str):
        yield shown
    elif isinstance(shown, dict):
        for key, each in shown.items():
            yield from (*texts_in(key), *texts_in(each))
    elif isinstance(shown, list | tuple):
        for each in shown:
            yield from texts_in(each)


Way = Callable[[], Awaitable[None]]


async def nobody_sees_it() -> None:
    """It is compared, connected to or computed with, and in no sentence."""


async def this_machine_sends_it() -> None:
    """Only between a node and its own workers."""


FIELDS: dict[str, Way] = {
    "Load.places": this_machine_sends_it,
    "FunctionReport.units": this_machine_sends_it,
    "Results.failures.type": lambda: failure_of("type"),
    "Results.failures.reason": lambda: failure_of("reason"),
    "Results.failures.traceback": lambda: failure_of("traceback"),
    "Results.failures.device": lambda: failure_of("device"),
    "ItemCrashed.reason": crash,
    "Ready.addresses": nobody_sees_it,
    "Ready.offer": nobody_sees_it,
    "LoadFailed.reason": refused_by_a_device,
    "LoadFailed.traceback": nobody_sees_it,
    "Hello.name": name_of_a_device,
    "Hello.run": nobody_sees_it,
    "Hello.fingerprint": nobody_sees_it,
    "JoinRejected.reason": refused_by_the_root,
    "RunInfo.run": nobody_sees_it,
    "RunInfo.name": name_of_the_function,
    "RunInfo.requirements": requirements,
    "RunInfo.versions": nobody_sees_it,
    "RunInfo.protocol": nobody_sees_it,
    "RunInfo.ice_servers": nobody_sees_it,
    "RunInfo.turn_servers.url": nobody_sees_it,
    "RunInfo.turn_servers.username": nobody_sees_it,
    "RunInfo.turn_servers.credential": nobody_sees_it,
    "AskPortable.reason": nobody_sees_it,
    "Redirect.addresses": nobody_sees_it,
    "Redirect.ticket": nobody_sees_it,
    "Redirect.answer": nobody_sees_it,
    "Unreachable.reason": nobody_sees_it,
    "Unreachable.offer": nobody_sees_it,
    "Join.offer": nobody_sees_it,
    "Offer.ticket": nobody_sees_it,
    "Offer.answer": nobody_sees_it,
    "Signal.description": nobody_sees_it,
    "Update.introductions.device.name": figures_of_a_device,
    "Update.introductions.device.kind": figures_of_a_device,
    "Update.introductions.device.version": figures_of_a_device,
    "Update.introductions.device.link": figures_of_a_device,
    "Update.introductions.device.units": figures_of_a_device,
}


def text_fields(hint: types.Type, where: str) -> Iterator[str]:
    """The fields of a type that are, or hold, text."""
    match hint:
        case types.StrType():
            yield where
        case types.ListType():
            yield from text_fields(hint.item_type, where)
        case types.DictType():
            yield from text_fields(hint.key_type, where)
            yield from text_fields(hint.value_type, where)
        case types.UnionType():
            for each in hint.types:
                yield from text_fields(each, where)
        case types.StructType():
            for field in hint.fields:
                yield from text_fields(field.type, f"{where}.{field.name}")


def test_it_is_known_of_each_text_field_where_it_is_shown() -> None:
    found = {name for kind in KINDS for name in text_fields(types.type_info(kind), kind.__name__)}
    assert found == FIELDS.keys()


SHOWN = {
    field: way
    for field, way in FIELDS.items()
    if way not in (nobody_sees_it, this_machine_sends_it)
}


@pytest.mark.socket
@pytest.mark.parametrize("field", SHOWN)
async def test_a_field_is_shown_as_nothing_that_a_terminal_obeys(field: str) -> None:
    await SHOWN[field]()


# ---- what is no field of a message ----


def test_the_sentence_of_a_server() -> None:
    assert is_line(str(RoomClosedError(Ending.AWAY, LONG)))


def test_a_message_of_an_unknown_kind() -> None:
    with pytest.raises(messages.MalformedMessageError) as refused:
        messages.decode(msgspec.msgpack.encode([LONG]))
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) <= MAX_LINE + len("not a message: ")


def test_what_pando_top_is_told() -> None:
    from rich.console import Console

    message = shown_of(feed.device())
    assert len(message["volunteers"]) == 1
    message["root"]["function"] = HOSTILE
    for each in message["volunteers"].values():
        each.update(deviceName=HOSTILE, state=HOSTILE)
        each["throughputStats"]["average"] = HOSTILE
    message["events"] = [{"at": 0.0, "name": HOSTILE, "kind": HOSTILE, "text": HOSTILE}]
    run = WatchedRun()
    run.take(message)
    run.problem = HOSTILE
    shown = io.StringIO()
    Console(file=shown, width=200, color_system=None).print(run.render(200, 40, whole=True))
    lines = shown.getvalue().split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("pando: all is well") for line in lines)


@pytest.mark.parametrize(
    "say", [output.say, lambda text: output.say(text, "pando-server"), notifier.to_standard_error]
)
def test_whatever_is_said(say: Callable[[str], None], capsys: pytest.CaptureFixture[str]) -> None:
    say(HOSTILE)
    shown = capsys.readouterr().err
    assert is_block(shown.rstrip("\n"))
    assert shown.startswith("pando")


def test_logs_that_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.Logger("pando.tree")
    stream = io.StringIO()
    monkeypatch.setenv(debug.VARIABLE, "pando:*")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, "getLogger", lambda *_: logger)
        logger.parent = None
        patch.setattr(debug.logging.StreamHandler, "__init__", stream_handler(stream))
        root = logging.Logger("root")
        patch.setattr(logging, "getLogger", lambda name=None: logger if name else root)
        debug.write_logs()
    logger.info("lost %s", HOSTILE)
    assert is_block(stream.getvalue().rstrip("\n"))


def stream_handler(stream: io.StringIO) -> Callable[..., None]:
    original = logging.StreamHandler.__init__
    return lambda self, *_: original(self, stream)


PUT_TOGETHER = {("pauses.py", "text"), ("incoming_results.py", "reason")}
"""Sentences of the scheduler's own, in which `one_line` has been used."""
OUTSIDE = {"error", "problem", "reason", "text", "why", "sentence", "exception", "failure"}


def test_nothing_from_outside_is_logged_as_it_came() -> None:
    """An argument of this name goes through `one_line`, wherever it is logged."""
    found = 0
    for path in Path(pando.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                continue
            owner = call.func.value
            if not (isinstance(owner, ast.Name) and owner.id == "logger" and call.args):
                continue
            found += 1
            for argument in call.args[1:]:
                name = argument.attr if isinstance(argument, ast.Attribute) else None
                name = argument.id if isinstance(argument, ast.Name) else name
                if (path.name, name) not in PUT_TOGETHER:
                    assert name not in OUTSIDE, f"{path.name}, line {call.lineno}"
    assert found > 30


# ---- the functions themselves ----


@pytest.mark.parametrize("text", [HOSTILE, LONG, "", "a", "a" * 201, "\x1b" * 1000, "é\u0301ü"])
def test_one_line(text: str) -> None:
    shown = errors.one_line(text)
    assert shown.isprintable()
    assert len(shown) <= MAX_LINE
    assert shown == errors.one_line(shown)


@pytest.mark.parametrize("text", [HOSTILE, LONG, "", "a", "\n\n", "x" * 100_000, "\x1b\n" * 9999])
def test_a_block(text: str) -> None:
    shown = errors.printable_block(text)
    assert all(line.replace("\t", "").isprintable() for line in shown.split("\n"))
    assert all(not line or line.startswith("    ") for line in shown.split("\n"))
    assert len(shown) <= MAX_TEXT


def test_what_one_source_causes_is_told_once_a_second_and_counted() -> None:
    now, said = 0.0, list[str]()
    sparing = notifier.SparingNotifier(said.append, lambda: now)
    for _ in range(20):
        sparing.say("a", "refused")
    sparing.say("b", "refused as well")
    now = 1.0
    sparing.say("a", "refused again")
    assert said == ["refused", "refused as well", "refused again (and 19 more from there)"]
    for number in range(3 * notifier.MAX_SOURCES):
        sparing.say(str(number), "refused")
    assert len(sparing._told) <= notifier.MAX_SOURCES
