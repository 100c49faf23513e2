"""Global monitoring through a public server: each volunteer has one more relayed connection."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..processes import wait_until
from ..roots import free_port
from .runs import SECRET, Run, Scene

pytestmark = pytest.mark.process


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as scene:
        yield scene


class WatchedRun:
    """A run at a server, without a port for volunteers but with one to watch it."""

    def __init__(self, scene: Scene, host: str, *options: str) -> None:
        self._port = free_port()
        self.run: Run = scene.run(
            host,
            f"--secret={SECRET}",
            "--start-idle",
            "--protocol=websocket",
            "--global-monitoring",
            "--reporting-interval=0.3",
            "--heartbeat=20000",
            f"--port={self._port}",
            *options,
            items=range(400),
            seconds=0.02,
        )

    def read(self) -> dict[str, Any]:
        with urllib.request.urlopen(
            f"http://localhost:{self._port}/monitoring.json", timeout=20
        ) as answer:
            return dict(json.load(answer))

    def root(self) -> dict[str, Any]:
        return dict(self.read()["root"])

    def named(self, name: str) -> dict[str, Any]:
        volunteers = self.read()["volunteers"].values()
        return next((dict(each) for each in volunteers if each["deviceName"] == name), {})

    def globally(self, name: str) -> dict[str, Any]:
        return dict(self.named(name).get("globalReport") or {})


def test_reports_are_relayed_beside_a_tree_that_stalls(scene: Scene) -> None:
    server = scene.server()
    watched = WatchedRun(scene, f"localhost:{server.port}", "--degree=1")
    upper = scene.volunteer(watched.run.link, name="upper")
    assert wait_until(lambda: watched.named("upper") != {})
    scene.volunteer(watched.run.link, name="lower")
    assert wait_until(lambda: watched.named("lower") != {})
    assert watched.named("lower")["parent"] == watched.named("upper")["id"]
    assert wait_until(lambda: watched.root()["globalReports"]["devices"] == 2)
    # The lower one is connected to the upper one directly; its reports alone are relayed.
    assert (watched.root()["relayed"], watched.root()["relayedBeyondDegree"]) == (1, 0)
    assert watched.named("upper")["link"] == "relay"
    assert watched.named("lower")["link"] == "websocket"
    os.kill(upper.process.pid, signal.SIGSTOP)
    assert wait_until(lambda: watched.globally("lower").get("stalls") is True)
    told = watched.named("lower")
    assert told["state"] == "silent"
    heard = told["globalReport"]["heardAt"]
    assert wait_until(lambda: watched.globally("lower")["heardAt"] > heard + 1)
    os.kill(upper.process.pid, signal.SIGCONT)
    assert wait_until(lambda: not watched.globally("lower")["stalls"])
    watched.run.finish()


def test_report_links_come_back_with_the_server(scene: Scene) -> None:
    server = scene.server()
    watched = WatchedRun(scene, f"localhost:{server.port}")
    volunteer = scene.volunteer(watched.run.link)
    assert wait_until(lambda: watched.globally("volunteer").get("totalItems", 0) > 0)
    device = watched.named("volunteer")["id"]
    server.kill()
    assert wait_until(lambda: watched.globally("volunteer")["state"] == "lost")
    scene.server(port=server.port)
    assert wait_until(lambda: watched.root()["globalReports"]["devices"] == 1)
    assert watched.named("volunteer")["id"] == device
    watched.run.finish()
    assert volunteer.process.poll() is None
