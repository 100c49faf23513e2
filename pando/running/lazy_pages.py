"""The pages of a server, which are imported when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import trio

from ..net.listener import Pages, PageStream

PAGES_AFTER_SECONDS = 0.5
"""Seconds after which the pages are loaded; shorter runs are spared the work."""


class LazyPages:
    """Loads the pages once, in a thread.

    Args:
        make: imports and creates them.
    """

    def __init__(self, make: Callable[[], Pages]) -> None:
        self._make = make
        self._pages: Pages | None = None
        self._loading = trio.Lock()

    async def serve(self, stream: PageStream) -> None:
        """Serve the pages to one connection."""
        await (await self._load()).serve(stream)

    async def prepare(self) -> None:
        """Load the pages before they are requested."""
        await trio.sleep(PAGES_AFTER_SECONDS)
        with suppress(ImportError):  # reported when a page is requested
            await self._load()

    async def _load(self) -> Pages:
        async with self._loading:
            if self._pages is None:
                self._pages = await trio.to_thread.run_sync(self._make, abandon_on_cancel=True)
            return self._pages
