"""Where what has been fetched or made once is kept for the next time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Pando's own folder in the user's cache; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pando"


@contextmanager
def make_whole(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes its place when it is done: there whole, or not at all.

    Raises:
        OSError: it cannot be made, or not put there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        yield made
        try:
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has been faster
                raise
