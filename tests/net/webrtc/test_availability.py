"""How nodes connect: what options, link and run say together, and what is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pando.errors import UsageError
from pando.net.webrtc import availability
from pando.net.webrtc.availability import (
    MISSING,
    announced,
    answers_offers,
    check_protocol,
    choose_protocol,
)
from pando.running.serve_options import ServeOptions
from pando.volunteering import VolunteerOptions


@pytest.fixture(params=[True, False])
def is_installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    there = bool(request.param)
    monkeypatch.setattr(availability, "is_available", lambda: there)
    return there


@pytest.mark.parametrize(
    ("wanted", "run", "chosen"),
    [
        (None, "", "websocket"),
        ("webrtc", "", "websocket"),
        (None, "auto", "auto"),
        ("auto", "auto", "auto"),
        ("webrtc", "auto", "webrtc"),
        ("websocket", "auto", "websocket"),
        (None, "webrtc", "webrtc"),
        ("auto", "webrtc", "auto"),
        ("websocket", "webrtc", "websocket"),
    ],
)
def test_the_volunteer_chooses_before_the_run(
    wanted: str | None, run: str, chosen: str, is_installed: bool
) -> None:
    assert choose_protocol(wanted, run) == (chosen if is_installed else "websocket")


def test_a_run_announces_what_it_answers(is_installed: bool) -> None:
    for protocol in ("auto", "websocket", "webrtc"):
        answers = is_installed and protocol != "websocket"
        assert announced(protocol) == (protocol if answers else "")
        assert answers_offers(protocol) == answers


def test_what_is_missing_is_said(is_installed: bool) -> None:
    check_protocol("auto")
    check_protocol("websocket")
    if is_installed:
        check_protocol("webrtc")
    else:
        for options in (ServeOptions, VolunteerOptions):
            with pytest.raises(UsageError) as caught:
                options(protocol="webrtc")
            assert str(caught.value) == MISSING


@pytest.mark.parametrize("options", [ServeOptions, VolunteerOptions])
def test_another_protocol_is_refused(options: type) -> None:
    with pytest.raises(UsageError, match="auto, websocket or webrtc, not 'tcp'"):
        options(protocol="tcp")


@pytest.mark.process
@pytest.mark.parametrize("module", ["tree.membership", "volunteering.device"])
def test_aiortc_is_imported_only_with_the_first_connection(module: str) -> None:
    code = f"import pando.{module}, sys; print(*{{'aiortc', 'asyncio'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
