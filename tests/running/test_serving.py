"""The shared server of a process: one port, one token, announcements and joining."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
import trio
import trio.testing

import pando
from pando.functions.serialized import as_received
from pando.net.addresses import own_addresses
from pando.running.opening import open_serialized_run
from pando.running.options import RunOptions

from ..net.clients import NO_FUNCTION
from ..processes import GENEROUS_SECONDS, environment, open_run_here, run_script, wait_until
from ..roots import VOLUNTEER

pytestmark = [pytest.mark.process, pytest.mark.socket]

TWO_MAPS = """\
import time, pando

def slow(x):
    time.sleep(0.4)
    return x

for _ in range(2):
    print(list(pando.map(slow, range(4), workers=1, serve={serve})))
"""


def square(x):
    return x * x


def get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=GENEROUS_SECONDS) as answer:
        return dict(json.load(answer))


# ---- what is said, and to whom the port is open ----


def test_a_short_map_opens_no_port(tmp_path):
    done = run_script(
        tmp_path / "script.py",
        "import pando, sys\n"
        "print(list(pando.map(abs, [-1], workers=1, serve='lan')))\n"
        "print(list(pando.map(abs, [-2], workers=1)))\n"
        "assert 'pando.running.server' not in sys.modules\n",
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[1]\n[2]\n", "")


@pytest.mark.parametrize("serve", ["None", "'lan'"])
def test_two_maps_have_one_port_and_one_link_which_is_said_once(serve, tmp_path):
    done = run_script(tmp_path / "script.py", TWO_MAPS.format(serve=serve))
    assert (done.returncode, done.stdout) == (0, "[0, 1, 2, 3]\n" * 2), done.stderr
    said = [line for line in done.stderr.splitlines() if "is taken" not in line]
    assert len(said) == 1
    if serve == "None":
        assert 'other devices can join with serve="lan"' in said[0]
        assert re.search(r"monitoring: http://localhost:\d+/monitoring ", said[0])
        assert "#" not in said[0]
    else:
        kept = r"( \(kept for later runs\))?"
        assert re.search(rf"volunteers join at http://[\w.:\[\]]+/#[\w-]+{kept} · ", said[0])
        assert re.search(r"monitoring: http://[\w.:\[\]]+/monitoring#[\w-]{16,} · ", said[0])
        assert re.search(r"devices away: http://[\w.:\[\]]+/monitoring#[\w-]{16,}$", said[0])


SERVING = """\
import sys, pando, time, itertools
serve = {serve}
results = pando.map(time.sleep, itertools.repeat(0.05), workers=1, serve=serve)
for _ in results:
    pass
"""


@pytest.mark.parametrize(("serve", "is_open"), [("None", False), ("True", True)])
def test_other_machines_reach_the_port_only_where_that_was_asked_for(serve, is_open, tmp_path):
    addresses = [address for address in own_addresses() if ":" not in address]
    if not addresses:
        pytest.skip("this machine has no network address")
    script = tmp_path / "script.py"
    script.write_text(SERVING.format(serve=serve))
    said = tmp_path / "said"
    with said.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, str(script)], stderr=errors, env=environment(tmp_path)
        )
    try:
        assert wait_until(lambda: "monitoring" in said.read_text())
        port = int(re.search(r":(\d+)/", said.read_text())[1])
        assert get(f"http://localhost:{port}/monitoring.json")["root"]["function"] == "sleep"
        with socket.socket() as stranger:
            stranger.settimeout(GENEROUS_SECONDS)
            assert (stranger.connect_ex((addresses[0], port)) == 0) == is_open
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def test_a_map_inside_of_the_function_does_not_serve():
    def nested(x):
        import pando
        from pando.running.serve_options import choose_serve_options

        return choose_serve_options(None), list(pando.map(abs, [-x], workers=1))

    assert list(pando.map(nested, [3], workers=1, serve=False)) == [(None, [3])]


# ---- several runs at one port ----


async def test_runs_at_once_share_a_port_and_its_volunteers():
    options = RunOptions(0, serve=pando.ServeOptions(port=0, listen="127.0.0.1"))
    async with (
        open_serialized_run(as_received(NO_FUNCTION), "first", options) as first,
        open_serialized_run(as_received(NO_FUNCTION), "second", options) as second,
    ):
        assert first.links == second.links
        shown = await trio.to_thread.run_sync(get, first.links[0].split("#")[0] + "monitoring.json")
        assert [root["function"] for root in shown["runs"]] == ["second", "first"]
        assert shown["root"]["function"] == "second"


async def test_the_port_is_closed_after_the_last_run_and_the_link_stays():
    options = RunOptions(0, serve=pando.ServeOptions(port=0, listen="127.0.0.1", degree=3))
    links = []
    for _ in range(2):
        async with open_serialized_run(as_received(NO_FUNCTION), "name", options) as run:
            links += run.links
        port = int(links[-1].split(":")[2].split("/")[0])
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert links[0] == links[1]


async def test_runs_with_other_ports_have_other_tokens():
    async def link(**chosen):
        serve = pando.ServeOptions(port=0, listen="127.0.0.1", **chosen)
        async with open_serialized_run(
            as_received(NO_FUNCTION), "name", RunOptions(0, serve=serve)
        ) as run:
            return run.links[0]

    assert "#" not in await link(open=True)
    assert "#" in await link()


async def test_a_run_that_must_serve_and_cannot_says_so():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        serve = pando.ServeOptions(port=port, any_port=False, listen="127.0.0.1")
        with pytest.raises(pando.UsageError, match=f"cannot listen on 127.0.0.1, port {port}"):
            async with pando.open_run(square, workers=0, serve=serve):
                pass
        with pytest.raises(pando.UsageError, match="cannot listen on"):
            list(pando.map(__import__("time").sleep, [600], workers=1, serve=serve))


async def test_a_run_that_was_not_asked_to_serve_goes_on_without(monkeypatch, capfd):
    async def fail(*args, **options):
        raise pando.UsageError("no sockets here")

    monkeypatch.setattr("pando.running.server.listen", fail)
    monkeypatch.setattr("pando.running.options.SERVE_AFTER_SECONDS", 0.01)
    async with pando.open_run(square, workers=1) as run:
        await trio.sleep(0.3)
        assert [result async for result in run.map([3])] == [9]
    assert capfd.readouterr().err == "pando: this run cannot be watched: no sockets here\n"


def test_a_volunteer_stays_from_one_map_to_the_next(tmp_path):
    serve = pando.ServeOptions(port=0, listen="127.0.0.1")
    volunteers = []
    try:
        for _ in range(2):
            with pando.run(square, workers=0, serve=serve) as run:
                if not volunteers:
                    with (tmp_path / "said").open("wb") as errors:
                        command = [*VOLUNTEER, run.links[0], "--workers=1"]
                        volunteers.append(
                            subprocess.Popen(command, stderr=errors, env=environment(tmp_path))
                        )
                assert list(run.map(range(100))) == [n * n for n in range(100)]
    finally:
        for volunteer in volunteers:
            volunteer.kill()
            volunteer.wait()


async def test_nothing_is_left_of_a_thousand_streams():
    async with open_run_here(square, workers=1) as run:
        for number in range(1000):
            assert [result async for result in run.map([number])] == [number**2]
        await trio.testing.wait_all_tasks_blocked()
        assert run.statistics().streams == []
        assert len(run._streams) == 0
        assert len(run._nursery.child_tasks) < 10
