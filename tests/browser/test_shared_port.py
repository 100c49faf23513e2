"""Runs that share a port: a tab computes for the one that it is given, and shows that one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import pando

from ..processes import GENEROUS_SECONDS, wait_until
from .chromium import Chromium, Tab, link_of
from .functions import negate, square

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]


def test_two_tabs_that_were_opened_for_one_run_serve_both(chromium: Chromium) -> None:
    serve = pando.ServeOptions(port=0, listen="127.0.0.1")
    items = range(2000)
    with (
        ThreadPoolExecutor(2) as threads,
        pando.run(square, workers=0, serve=serve) as first,
        pando.run(negate, workers=0, serve=serve) as second,
    ):
        assert first.links == second.links
        link = first.links[0].partition("#")[0]
        tabs = [Tab(chromium.context(), link_of(link)) for _ in range(2)]
        try:
            assert all("square" in tab.page.inner_text("body") for tab in tabs)
            for tab in tabs:
                tab.set_workers(1)
                tab.start()
                assert tab.computes(0)
            maps: list[Callable[[], list[int]]] = [
                lambda: list(first.map(items)),
                lambda: list(second.map(items)),
            ]
            results = [threads.submit(each) for each in maps]
            assert results[0].result(3 * GENEROUS_SECONDS) == [x * x for x in items]
            assert results[1].result(3 * GENEROUS_SECONDS) == [-x for x in items]
            assert wait_until(lambda: "negate" in tabs[1].page.inner_text("body"))
        finally:
            for tab in tabs:
                tab.close()
