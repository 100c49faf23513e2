"""A parent is killed, or stopped, at a stage of joining it: real processes, sockets and WebRTC.

All stages are in `test_killed_parent.py`; these are those at which real connections differ from
links in memory.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .. import roots
from ..processes import wait_until
from ..roots import Party, Root
from .stages import BY_WEBSOCKET, JOINING, PARENT, Stage, by_webrtc

pytestmark = [pytest.mark.process, pytest.mark.socket]

BY_WEBRTC = by_webrtc(
    "pando.net.webrtc.connection:Connection",
    [
        ("ICE", "aioice.ice:Connection.connect"),
        ("DTLS", "aiortc.rtcdtlstransport:RTCDtlsTransport.start"),
        ("SCTP", "aiortc.rtcsctptransport:RTCSctpTransport.start"),
    ],
)
STAGES = {"websocket": BY_WEBSOCKET, "webrtc": BY_WEBRTC}
KILL, STOP = "SIGKILL", "SIGSTOP"
CHOSEN = [
    ("websocket", STOP, "the place has come"),
    ("websocket", KILL, "the ticket is used up"),
    ("websocket", KILL, "the parent has a result"),
    ("webrtc", KILL, "the parent's answer is made"),
    ("webrtc", KILL, "ICE is done at the joining node"),
    ("webrtc", KILL, "DTLS begins at the parent"),
    ("webrtc", KILL, "the channel is open at both ends"),
    ("webrtc", STOP, "both have proved who they are"),
    ("webrtc", KILL, "the first lease has come"),
]
SECONDS = 60.0
"""For everything: silence is noticed after 4 s, and the machine may be busy."""

BOOT = """\
import os, signal, sys
from tests.joining.stages import plant
from tests.joining.test_killed_processes import find_stage

protocol, name, me, victim, how, mark = (sys.argv.pop(1) for _ in range(6))

def reached():
    open(mark, "x").close()
    os.kill(int(victim) or os.getpid(), getattr(signal, how))

plant(find_stage(protocol, name), lambda: me, reached)
from pando.cli.volunteer import main
sys.exit(main())
"""
"""A volunteer that ends or stops itself, or another process, when it reaches a stage."""


def find_stage(protocol: str, name: str) -> Stage:
    return next(each for each in STAGES[protocol] if each.name == name)


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


def names(root: Root) -> set[str]:
    return set(root.volunteers())


def udp_sockets(process: subprocess.Popen[bytes]) -> int:
    """Count the UDP sockets of a process."""
    inodes: set[str] = set()
    for path in ("udp", "udp6"):
        lines = Path(f"/proc/{process.pid}/net/{path}").read_text().splitlines()[1:]
        inodes.update(line.split()[9] for line in lines)
    folder = f"/proc/{process.pid}/fd"
    targets = []
    for entry in os.listdir(folder):
        try:
            targets.append(os.readlink(f"{folder}/{entry}"))
        except FileNotFoundError:  # closed meanwhile
            continue
    return sum(each.removeprefix("socket:[").rstrip("]") in inodes for each in targets)


@pytest.mark.parametrize(
    ("protocol", "how", "name"), CHOSEN, ids=[f"{p}, {how}: {name}" for p, how, name in CHOSEN]
)
def test_the_joining_node_goes_to_the_root(
    party: Party,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    protocol: str,
    how: str,
    name: str,
) -> None:
    if protocol == "webrtc":
        pytest.importorskip("aiortc")
    who = find_stage(protocol, name).points[-1].who
    mark = tmp_path / "mark"
    root = party.root(
        "--start-idle",
        "--degree=1",
        "--heartbeat=3000",
        items=400,
        seconds=0.01,
        hold=True,
    )

    def start(me: str, victim: int) -> subprocess.Popen[bytes]:
        planted = [protocol, name, me, str(victim), how, str(mark)]
        monkeypatch.setattr(roots, "VOLUNTEER", [sys.executable, "-c", BOOT, *planted])
        return party.volunteer(root, me, f"--protocol={protocol if me == JOINING else 'auto'}")

    parent = start(PARENT, 0)
    assert wait_until(lambda: names(root) == {PARENT}), party.said(PARENT)
    joining = start(JOINING, parent.pid)
    assert wait_until(lambda: mark.exists() or names(root) == {PARENT, JOINING}, SECONDS)
    root.release()
    assert wait_until(mark.exists, SECONDS), f"the {who} never reached this stage"
    assert wait_until(lambda: names(root) == {JOINING}, SECONDS), party.said(JOINING)
    assert root.monitoring()["root"]["childrenNb"] == 1
    assert wait_until(lambda: udp_sockets(joining) == 0, SECONDS)
    root.finish(SECONDS)
    assert "Traceback" not in party.said(JOINING)
