"""The user's cache directory, and the atomic creation of folders in it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Return Pando's folder in the user's cache; it may not exist yet."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "pando"


@contextmanager
def atomic_directory(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, and rename it to `folder` when the block ends.

    So `folder` is either complete or missing. Where another process has created it in the
    meantime, that one is kept.

    Raises:
        OSError: the folder cannot be created or renamed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        content = Path(temporary) / "content"
        content.mkdir()
        yield content
        try:
            content.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process has created it
                raise
