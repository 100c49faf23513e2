"""The page about security names limits as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pando import buffers, errors, limits, messages, notifier
from pando.limits import Limits
from pando.net import keepalive, request_policy, websocket
from pando.net.webrtc import answerer, gathering, ice_servers, turns
from pando.net.webrtc import channel as data_channel
from pando.reporting import report_link
from pando.reports import records
from pando.running.serve_options import ServeOptions
from pando.scheduler import credit
from pando.server import limits as server_limits
from pando.tree import admission, children, membership, overlay, placement
from pando.volunteering import second_link
from pando.web import pace

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
MODULES = (
    buffers,
    errors,
    notifier,
    limits,
    messages,
    request_policy,
    websocket,
    keepalive,
    admission,
    children,
    membership,
    placement,
    overlay,
    credit,
    records,
    answerer,
    turns,
    second_link,
    data_channel,
    report_link,
    gathering,
    ice_servers,
    server_limits,
    pace,
)
STATED = sorted(set(re.findall(r"`([A-Z_]+)` = ([0-9.]+[0-9]|[0-9])", PAGE)))
NEEDED = {
    "MAX_CONNECTIONS",
    "MAX_CONNECTIONS_PER_ADDRESS",
    "HEAD_SECONDS",
    "MAX_HEAD_BYTES",
    "PAGE_SECONDS",
    "FIRST_MESSAGE_SECONDS",
    "FIRST_MESSAGE_BYTES",
    "MAX_MESSAGE_BYTES",
    "MAX_BUNDLED",
    "MAX_JOINING",
    "BOOTSTRAP_SECONDS",
    "HEARTBEAT_TIMEOUT_SECONDS",
    "SEND_SECONDS",
    "MAX_UNVERIFIED_WORKERS",
}


@pytest.mark.parametrize(("name", "stated"), STATED)
def test_a_limit_that_the_page_names_is_there_with_its_default(name: str, stated: str) -> None:
    found = {getattr(module, name) for module in MODULES if hasattr(module, name)}
    assert found == {float(stated)}


def test_the_limits_that_must_be_named_are() -> None:
    assert {name for name, _ in STATED} >= NEEDED
    assert set(re.findall(r"`([A-Z]+_[A-Z_]+)`", PAGE)) == {
        name for name, _ in STATED if "_" in name
    }


def test_the_limits_are_the_defaults() -> None:
    options = ServeOptions()
    assert options.limits == Limits(
        limits.MAX_CONNECTIONS,
        limits.MAX_CONNECTIONS_PER_ADDRESS,
        limits.HEAD_SECONDS,
        limits.PAGE_SECONDS,
    )
    assert options.heartbeat_timeout == limits.HEARTBEAT_TIMEOUT_SECONDS
    assert options.bootstrap_timeout == limits.BOOTSTRAP_SECONDS
    assert not options.open
