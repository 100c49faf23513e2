"""Devices that are sent away by whoever watches over a run, as real processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from pando.tree.admission import SENT_AWAY

from ..processes import wait_until
from ..roots import Party, Root

pytestmark = [pytest.mark.process, pytest.mark.socket]


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


def ask(root: Root, kind: str, device: str) -> None:
    """Ask a root for something, as the page does."""
    with connect(f"ws://localhost:{root.port}/monitoring/live", proxy=None) as live:
        live.send("")
        while json.loads(live.recv())["type"] != "rights":
            pass
        live.send(json.dumps({"type": kind, "id": device}))


def sent_away(root: Root) -> list[str]:
    return [each["deviceName"] for each in root.monitoring()["root"]["sentAway"]]


def chain(party: Party, root: Root) -> tuple[dict[str, Any], dict[str, Any]]:
    """Start two volunteers, one below the other; return what is known of them."""
    party.volunteer(root, "upper")
    assert wait_until(lambda: len(root.volunteers()) == 1)
    party.volunteer(root, "lower")
    assert wait_until(lambda: len(root.volunteers()) == 2)
    known = root.volunteers()
    assert known["lower"]["parent"] == known["upper"]["id"]
    return known["upper"], known["lower"]


def test_its_items_go_to_others_and_its_subtree_joins_again(party: Party) -> None:
    root = party.root("--start-idle", "--degree=1", items=600, seconds=0.02, hold=True)
    upper, lower = chain(party, root)
    root.release()
    assert wait_until(lambda: root.volunteers()["upper"]["held"] > 0)
    ask(root, "send away", upper["id"])
    assert party.processes[1].wait(60) == 2
    assert SENT_AWAY in party.said("upper")
    own = root.monitoring()["root"]["own"]["id"]
    assert wait_until(lambda: root.volunteers().get("lower", {}).get("parent") == own)
    assert root.volunteers()["lower"]["id"] == lower["id"]
    assert wait_until(lambda: sent_away(root) == ["upper"])
    assert root.monitoring()["volunteers"][upper["id"]]["state"] == "left"
    root.finish()


def test_one_below_another_is_told_by_the_root_itself(party: Party) -> None:
    root = party.root("--start-idle", "--degree=1", items=600, seconds=0.01, hold=True)
    _, lower = chain(party, root)
    ask(root, "send away", lower["id"])
    assert party.processes[2].wait(60) == 2
    assert SENT_AWAY in party.said("lower")
    assert wait_until(lambda: root.counter("refused_after_being_sent_away") == 1)
    assert wait_until(lambda: list(root.volunteers()) == ["upper"])
    root.release()
    root.finish()


def test_an_item_that_it_was_running_is_lent_again_and_it_may_be_let_back(party: Party) -> None:
    root = party.root("--start-idle", items=1, seconds=4)
    party.volunteer(root, "first")
    assert wait_until(lambda: root.volunteers().get("first", {}).get("held") == 1)
    device = root.volunteers()["first"]["id"]
    ask(root, "send away", device)
    assert party.processes[1].wait(60) == 2
    ask(root, "send away", device)
    assert wait_until(lambda: sent_away(root) == ["first"])
    ask(root, "let back", device)
    assert wait_until(lambda: sent_away(root) == [])
    party.volunteer(root, "second")
    root.finish()


def test_a_volunteer_that_is_started_anew_stays_away_until_it_is_let_back(
    party: Party, tmp_path: Path
) -> None:
    home = tmp_path / "home of the device"
    home.mkdir()
    root = party.root("--start-idle", items=600, seconds=0.01, hold=True)
    party.volunteer(root, "first", home=home)
    assert wait_until(lambda: list(root.volunteers()) == ["first"])
    device = root.volunteers()["first"]["id"]
    ask(root, "send away", device)
    assert party.processes[1].wait(60) == 2
    (kept,) = (home / ".pando" / "sent-away").iterdir()
    assert kept.stat().st_mode & 0o077 == 0

    anew = party.volunteer(root, "anew", home=home)
    assert anew.wait(60) == 2
    assert SENT_AWAY in party.said("anew")
    other = party.volunteer(root, "of another user")
    assert wait_until(lambda: "of another user" in root.volunteers())
    assert kept.exists()

    ask(root, "let back", device)
    assert wait_until(lambda: sent_away(root) == [])
    party.volunteer(root, "back", home=home)
    assert wait_until(lambda: "back" in root.volunteers())
    assert root.volunteers()["back"]["id"] == device, "it is the same device as before"
    assert not kept.exists()
    assert other.poll() is None
    root.release()
    root.finish()
