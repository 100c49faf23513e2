"""Global monitoring as real processes: what devices tell the root beside the tree."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..processes import wait_until
from ..proxy import Proxy
from ..roots import Party, Root

pytestmark = [pytest.mark.process, pytest.mark.socket]


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


def named(root: Root, name: str) -> dict[str, Any]:
    """What is shown of a device; empty before it has reported."""
    volunteers = root.monitoring()["volunteers"].values()
    return next((dict(each) for each in volunteers if each["deviceName"] == name), {})


def globally(root: Root, name: str) -> dict[str, Any]:
    """What a device has told on its report link; empty before."""
    return dict(named(root, name).get("globalReport") or {})


def combined(root: Root) -> dict[str, Any]:
    return dict(root.monitoring()["root"]["globalReports"])


def chain(party: Party, root: Root) -> subprocess.Popen[bytes]:
    """Start two volunteers, one below the other, and return the upper one's process."""
    upper = party.volunteer(root, "upper")
    assert wait_until(lambda: len(root.volunteers()) == 1)
    party.volunteer(root, "lower")
    assert wait_until(lambda: len(root.volunteers()) == 2)
    known = root.volunteers()
    assert known["lower"]["parent"] == known["upper"]["id"]
    return upper


def test_a_subtree_that_stalls_is_seen_and_its_devices_are_heard(party: Party) -> None:
    root = party.root(
        "--start-idle",
        "--degree=1",
        "--global-monitoring",
        "--heartbeat=120000",
        items=400,
        seconds=0.02,
        hold=True,
    )
    upper = chain(party, root)
    assert wait_until(lambda: combined(root)["devices"] == 2)
    assert wait_until(lambda: globally(root, "lower").get("state") == "starved")
    root.release()
    assert wait_until(lambda: globally(root, "lower").get("totalItems", 0) > 0)
    os.kill(upper.pid, signal.SIGSTOP)
    assert wait_until(lambda: named(root, "lower")["state"] == "silent")
    told = named(root, "lower")
    assert told["globalReport"]["stalls"]
    assert told["globalReport"]["state"] != "silent"

    def goes_on() -> bool:
        now = named(root, "lower")
        is_heard = now["globalReport"]["heardAt"] > told["globalReport"]["heardAt"]
        return is_heard and now["heardAt"] == told["heardAt"]

    assert wait_until(goes_on)
    # The upper one itself is silent both ways: what stalls is all that goes through it.
    assert wait_until(lambda: globally(root, "upper")["state"] == "silent")
    assert combined(root)["stalled"] == 1
    os.kill(upper.pid, signal.SIGCONT)
    assert wait_until(lambda: not globally(root, "lower")["stalls"])
    root.finish()


def test_the_final_figures_say_that_the_run_is_over(party: Party, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    root = party.root(
        "--workers=1",
        "--degree=1",
        "--global-monitoring",
        f"--monitoring-log={log}",
        "--reporting-interval=1",
        items=300,
        seconds=0.02,
        hold=True,
    )
    chain(party, root)
    assert wait_until(lambda: combined(root)["devices"] == 2)
    root.release()
    root.finish()
    last = json.loads(log.read_text().splitlines()[-1])
    own, volunteers = last["root"]["own"], list(last["volunteers"].values())
    assert (last["root"]["state"], last["root"]["done"], last["root"]["lent"]) == ("over", 300, 0)
    assert {each["deviceName"] for each in volunteers} == {"upper", "lower"}
    for each in (own, *volunteers):
        assert (each["state"], each["held"], each["workers"]) == ("over", 0, 1)
    for each in volunteers:
        assert each["globalReport"]["state"] == "over"
        assert not each["globalReport"]["stalls"]
    assert last["root"]["workers"] == 3
    assert last["root"]["globalReports"]["devices"] == 2


def test_a_report_link_that_is_lost_comes_back_and_costs_nothing(party: Party) -> None:
    root = party.root("--start-idle", "--global-monitoring", items=300, seconds=0.01, hold=True)
    proxy = Proxy(root)
    try:
        party.volunteer(root, "one", link=f"http://localhost:{proxy.port}/")
        assert wait_until(lambda: combined(root)["devices"] == 1)
        assert len(proxy.connections) == 2, "its place, and its report link"
        before = named(root, "one")
        proxy.cut(1)
        assert wait_until(lambda: len(proxy.connections) == 3)
        heard = before["globalReport"]["heardAt"]
        assert wait_until(lambda: globally(root, "one")["heardAt"] > heard + 1)
        assert globally(root, "one")["state"] == "starved"
        assert named(root, "one")["since"] == before["since"]
        root.release()
        root.finish()
    finally:
        proxy.close()


def test_without_the_option_there_are_no_report_links(party: Party) -> None:
    root = party.root("--start-idle", items=10, hold=True)
    party.volunteer(root, "one")
    assert wait_until(lambda: len(root.volunteers()) == 1)
    shown = root.monitoring()
    assert shown["root"]["globalReports"] is None
    assert named(root, "one")["globalReport"] is None
    assert (shown["root"]["relayed"], shown["root"]["relayedBeyondDegree"]) == (0, 0)
    root.release()
    root.finish()
