"""Links of a user's own runs, for that user's own server on the same machine.

A run writes its link into a file that only its user can read, and takes it away at its end. So a
server of the same user can lead that user's browser to the run, and nobody else learns anything:
the link is sent over no connection. A volunteer of the same user finds it there as well.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from .proof import ROOM

FOLDER = Path(".pando") / "rooms"
MAX_BYTES = 4096
_FRAGMENT = re.compile(r"[A-Za-z0-9_.~%-]+")


class OwnLink:
    """What follows the ``#`` of a run's link, kept for this user until `remove`.

    It is not kept where there is no home, or where nothing can be written.

    Args:
        room: the run's room, as `pando.net.relayed.proof.ROOM` allows it.
        fragment: what follows the ``#``.
        url: of the server, at this machine.
    """

    def __init__(self, room: str, fragment: str, url: str) -> None:
        self._path: Path | None = None
        with suppress(OSError, RuntimeError):
            folder = Path.home() / FOLDER
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(dir=folder, prefix=".")
            with open(descriptor, "w", encoding="ascii") as file:
                file.write(f"{fragment}\n{url}\n")
            os.replace(draft, folder / room)
            self._path = folder / room

    def remove(self) -> None:
        """Keep it no longer."""
        if self._path is not None:
            with suppress(OSError):
                self._path.unlink()
            self._path = None


def find_own_link(room: str) -> str:
    """What follows the ``#`` of the link of this user's run in a room; empty if there is none."""
    return _read(room)[0]


def find_own_room(url: str) -> tuple[str, str] | None:
    """The room of this user's newest run at a server of this machine, and what follows its ``#``.

    Args:
        url: the server's, as a run there was told to reach it.
    """
    try:
        places = [each for each in (Path.home() / FOLDER).iterdir() if ROOM.fullmatch(each.name)]
        places.sort(key=lambda place: place.lstat().st_mtime, reverse=True)
    except (OSError, RuntimeError):
        return None
    for place in places:
        fragment, server = _read(place.name)
        if fragment and _place_of(server) == _place_of(url):
            return place.name, fragment
    return None


def _place_of(url: str) -> tuple[str, int | None]:
    """What tells servers of this machine apart: the names of its own address differ."""
    parts = urlsplit(url)
    return parts.scheme, parts.port


def _read(room: str) -> tuple[str, str]:
    """What follows the ``#``, and the server; empty where this user keeps no such file."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(Path.home() / FOLDER / room, flags)
    except (OSError, RuntimeError):
        return "", ""
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        is_private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
        if not (stat.S_ISREG(found.st_mode) and is_private):
            return "", ""
        text = file.read(MAX_BYTES).decode("ascii", "replace")
    fragment, _, rest = text.partition("\n")
    return (fragment, rest.strip()) if _FRAGMENT.fullmatch(fragment) else ("", "")
