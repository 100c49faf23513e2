"""The asyncio loop beside Trio's: how both threads share Python."""

from __future__ import annotations

import sys

import pytest

from pando.net.webrtc.event_loop import SWITCH_SECONDS, use_event_loop


async def test_both_threads_let_each_other_run_soon_while_there_are_two() -> None:
    before = sys.getswitchinterval()
    async with use_event_loop(), use_event_loop():
        assert sys.getswitchinterval() == pytest.approx(SWITCH_SECONDS, abs=2e-6)
    assert sys.getswitchinterval() == pytest.approx(before, abs=2e-6)


async def test_who_has_chosen_to_switch_sooner_keeps_that() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS / 5)
    chosen = sys.getswitchinterval()  # in whole microseconds
    try:
        async with use_event_loop():
            assert sys.getswitchinterval() == pytest.approx(chosen, abs=2e-6)
    finally:
        sys.setswitchinterval(before)
