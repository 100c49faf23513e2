"""Native nodes that connect by WebRTC: real processes, at the root and below it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pando.net.webrtc.availability import MISSING

from .. import roots
from ..net.webrtc.stun import StunServer
from ..processes import environment, wait_until
from ..roots import Party, Root
from ..server.runs import SECRET, Scene

pytest.importorskip("aiortc")
pytestmark = [pytest.mark.process, pytest.mark.socket]


WITHOUT_AIORTC = """\
import importlib, importlib.util, sys
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name == "aiortc" else find(name, *more)
command = importlib.import_module(sys.argv.pop(1))
sys.exit(command.main())
"""
"""Runs the command whose module is the first argument, as where aiortc is not installed."""


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


def links(root: Root) -> dict[str, str]:
    """What carries each volunteer's link to its parent, by name."""
    return {name: volunteer["link"] for name, volunteer in root.volunteers().items()}


def round_trip(root: Root, name: str) -> float | None:
    """Milliseconds that a volunteer's link takes to its parent and back, as is monitored."""
    told: float | None = root.volunteers()[name]["roundTripTime"]
    assert told is None or 0 < told <= 60_000
    return told


def join(party: Party, root: Root, name: str, *options: str) -> subprocess.Popen[bytes]:
    return party.volunteer(root, name, *options, link=root.printed_link)


def test_a_volunteer_computes_for_the_root_over_a_data_channel(party: Party) -> None:
    root = party.root("--start-idle", items=2000, hold=True)
    volunteer = join(party, root, "device", "--protocol=webrtc", "--once")
    assert wait_until(lambda: links(root) == {"device": "webrtc"}), root.monitoring()
    assert wait_until(lambda: round_trip(root, "device") is not None), root.monitoring()
    root.release()
    root.finish()
    assert volunteer.wait(20) == 0
    assert "1 volunteer" not in party.said("device")


def test_it_changes_over_while_it_computes_and_nothing_is_lost(party: Party) -> None:
    root = party.root("--start-idle", "--protocol=webrtc", items=3000)
    join(party, root, "device")
    assert wait_until(lambda: links(root) == {"device": "webrtc"}), root.monitoring()
    assert root.lines() < 3000
    root.finish()


def test_a_chain_of_nodes_over_data_channels(party: Party) -> None:
    root = party.root("--start-idle", "--degree=1", items=1500, seconds=0.01, hold=True)
    for number in (1, 2, 3):
        join(party, root, f"device {number}", "--protocol=webrtc")
        assert wait_until(lambda: list(links(root).values()) == ["webrtc"] * number), links(root)
    assert root.monitoring()["root"]["childrenNb"] == 1
    root.release()
    root.finish()


def test_a_killed_parent_leaves_orphans_that_join_again(party: Party) -> None:
    root = party.root("--start-idle", "--degree=1", items=2000, seconds=0.01, hold=True)
    first = join(party, root, "first", "--protocol=webrtc")
    assert wait_until(lambda: links(root) == {"first": "webrtc"}), links(root)
    join(party, root, "second", "--protocol=webrtc")
    assert wait_until(lambda: len(links(root)) == 2), links(root)
    root.release()
    before = root.lines()
    assert wait_until(lambda: root.lines() > before + 50)
    first.kill()
    assert wait_until(lambda: links(root) == {"second": "webrtc"}), root.monitoring()
    root.finish()


def test_the_link_says_how_to_connect(party: Party) -> None:
    root = party.root("--start-idle", items=500, hold=True)
    party.volunteer(root, "device", link=f"{root.printed_link};protocol=webrtc")
    assert wait_until(lambda: links(root) == {"device": "webrtc"}), root.monitoring()
    root.release()
    root.finish()


@pytest.mark.parametrize(("of_root", "of_volunteer"), [("websocket", "webrtc"), ("auto", "auto")])
def test_a_volunteer_that_needs_no_data_channel_opens_none(
    party: Party, of_root: str, of_volunteer: str
) -> None:
    root = party.root("--start-idle", f"--protocol={of_root}", items=1000, hold=True)
    join(party, root, "device", f"--protocol={of_volunteer}")
    assert wait_until(lambda: links(root) == {"device": "websocket"}), root.monitoring()
    root.release()
    root.finish()


@pytest.mark.parametrize("who", ["root", "device"])
def test_where_one_side_lacks_the_extra_both_stay_with_websockets(
    party: Party, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    lacking = [sys.executable, "-c", WITHOUT_AIORTC]
    if who == "root":
        monkeypatch.setattr(roots, "ROOT", [*lacking, "pando.cli.main"])
    root = party.root("--start-idle", items=600, hold=True)
    if who == "device":
        monkeypatch.setattr(roots, "VOLUNTEER", [*lacking, "pando.cli.volunteer"])
    link = root.printed_link + ("" if who == "device" else ";protocol=webrtc")
    party.volunteer(root, "device", link=link)
    assert wait_until(lambda: links(root) == {"device": "websocket"}), root.monitoring()
    assert "Traceback" not in party.said("device")
    root.release()
    root.finish()


def test_what_is_missed_without_the_extra_is_said_in_a_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_AIORTC, "pando.cli.volunteer", "--protocol=webrtc", "a:1"],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"pando-volunteer: {MISSING}\n"


def test_the_run_names_the_stun_servers(party: Party) -> None:
    with StunServer() as server:
        options = ["--start-idle", "--protocol=webrtc", f"--ice-servers={server.url}"]
        root = party.root(*options, items=500, hold=True)
        join(party, root, "device")
        assert wait_until(lambda: links(root) == {"device": "webrtc"}), root.monitoring()
        assert server.asked.is_set()
        root.release()
        root.finish()


def test_behind_a_public_server_the_devices_find_each_other(tmp_path: Path) -> None:
    log = tmp_path / "monitoring"
    with Scene(tmp_path) as scene:
        server = scene.server()
        options = ["--start-idle", f"--monitoring-log={log}", "--reporting-interval=0.3"]
        host = f"localhost:{server.port}"
        run = scene.run(host, f"--secret={SECRET}", *options, items=range(600))
        volunteer = scene.volunteer(run.link)
        assert volunteer.says("computing")
        assert wait_until(lambda: '"link":"webrtc"' in log.read_text().replace('": "', '":"'))
        run.finish()
        assert volunteer.says("the run has ended"), volunteer.said
