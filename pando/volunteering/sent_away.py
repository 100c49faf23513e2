"""What a device that was sent away proves itself with: kept, so that it stays away.

A file for each root's keys lies in ``~/.pando/sent-away``, for its user alone (mode 600). Who
deletes it has a new device: sending away is obeyed, not enforced. A home may be shared by many
machines, so the machine's name belongs to what a file is kept for.
"""

from __future__ import annotations

import hashlib
import os
import socket
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

FOLDER = Path(".pando") / "sent-away"
LIFETIME_SECONDS = 30 * 24 * 3600
"""As long as what a root certifies is good."""
MAX_FILE_BYTES = 4096


class SentAwayFiles:
    """Where the identity of a device is kept that a root has sent away.

    Args:
        clock: gives the time in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._own: set[bytes] = set()

    def read(self, root: bytes) -> str:
        """Return what was kept; empty where nothing was, or where others could have changed it.

        Args:
            root: the key that the root signs with.
        """
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            with open(os.open(_find_path(root), flags), "rb") as file:
                found = os.fstat(file.fileno())
                is_ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
                is_fresh = self._clock() - found.st_mtime <= LIFETIME_SECONDS
                if not (is_ours and is_fresh and stat.S_ISREG(found.st_mode)):
                    return ""
                self._own.add(root)
                return file.read(MAX_FILE_BYTES).decode("ascii", "replace")
        except (OSError, RuntimeError):  # the latter: there is no home
            return ""

    def keep(self, root: bytes, identity: str) -> None:
        """Keep the identity of this device, where that is possible."""
        self._own.add(root)
        with suppress(OSError, RuntimeError):
            path = _find_path(root)
            path.parent.parent.mkdir(mode=0o700, exist_ok=True)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self._remove_old(path.parent)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".")
            with open(descriptor, "w", encoding="ascii") as file:  # only this user may read it
                file.write(identity)
            os.replace(temporary, path)

    def forget(self, root: bytes) -> None:
        """Keep this device's identity no more: it has been let back. Another one's stays."""
        if root in self._own:
            self._own.discard(root)
            with suppress(OSError, RuntimeError):
                _find_path(root).unlink()

    def _remove_old(self, folder: Path) -> None:
        for each in folder.iterdir():
            if self._clock() - each.lstat().st_mtime > LIFETIME_SECONDS:
                each.unlink()


def _find_path(root: bytes) -> Path:
    place = root + os.fsencode(socket.gethostname())
    return Path.home() / FOLDER / hashlib.sha256(place).hexdigest()[:32]
