"""`pando.volunteer` in programs: interrupted, stopped by another thread, and for one run only."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import pando

from ..processes import GENEROUS_SECONDS, all_gone, environment, wait_until
from ..roots import Party, children_of

pytestmark = [pytest.mark.process, pytest.mark.socket]


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


def test_it_returns_with_its_run(party: Party) -> None:
    root = party.root("--start-idle", items=100)
    said: list[str] = []
    pando.volunteer(root.link, workers=1, once=True, say=said.append)
    root.finish()
    assert said[0].startswith("computing module for ")


def test_another_thread_stops_it(party: Party) -> None:
    root = party.root("--start-idle", items=400, seconds=0.01)
    stop = threading.Event()
    thread = threading.Thread(
        target=pando.volunteer, args=[root.link], kwargs={"workers": 1, "stop": stop}
    )
    thread.start()
    assert wait_until(lambda: root.lines() > 10)
    stop.set()
    thread.join(GENEROUS_SECONDS)
    assert not thread.is_alive()
    lines = root.lines()
    assert lines < 400
    pando.volunteer(root.link, workers=2, once=True)
    root.finish()


def test_one_that_is_to_stop_already_does_nothing() -> None:
    stop = threading.Event()
    stop.set()
    pando.volunteer("http://localhost:1/", stop=stop)


INTERRUPTED = """\
import signal, sys
import pando
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
try:
    pando.volunteer(sys.argv[1], workers=1, say=lambda text: print(text, flush=True))
except BaseException as error:
    print(repr(error), repr(error.__cause__), flush=True)
"""


@pytest.mark.parametrize("is_computing", [True, False])
def test_ctrl_c_is_a_bare_interrupt(party: Party, is_computing: bool) -> None:
    root = party.root("--start-idle", items=4000, seconds=0.01)
    link = root.link if is_computing else "http://localhost:1/"
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, link],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as program:
        assert (b"computing" if is_computing else b"trying again") in program.stdout.readline()
        assert not is_computing or wait_until(lambda: root.lines() > 2)
        workers = children_of(program.pid)
        program.send_signal(signal.SIGINT)
        output, errors = program.communicate(timeout=GENEROUS_SECONDS)
    assert (output, errors, program.returncode) == (b"KeyboardInterrupt() None\n", b"", 0)
    assert all_gone(workers)


async def test_a_trio_program_is_told_what_to_do() -> None:
    with pytest.raises(pando.UsageError, match="run it in a thread"):
        pando.volunteer("http://localhost:1/")
    stop = threading.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            trio.to_thread.run_sync, lambda: pando.volunteer("http://localhost:1/", stop=stop)
        )
        stop.set()


def test_threads_that_gevent_has_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkey = types.ModuleType("gevent.monkey")
    monkey.is_module_patched = lambda name: name == "threading"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    with pytest.raises(pando.UsageError, match="gevent has replaced"):
        pando.volunteer("http://localhost:1/")


@pytest.mark.parametrize("link", ["ftp://x", "", "http://"])
def test_a_wrong_link_is_refused(link: str) -> None:
    with pytest.raises(pando.UsageError, match="is not a link"):
        pando.volunteer(link)
