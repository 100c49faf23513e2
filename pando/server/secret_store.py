"""The server's secret: given, kept from last time, or made now."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError
from ..net.relayed.proof import check_secret

FILE = "server-secret"
SECRET_BYTES = 16


@dataclass(frozen=True)
class ServerSecret:
    """A secret, and where it comes from.

    Attributes:
        text: None where only the same user's runs on the same machine may register.
        is_new: whether it was made now, so that it must be told.
        kept_in: the file that keeps it; None where it is not kept.
    """

    text: str | None = field(repr=False)
    is_new: bool = False
    kept_in: Path | None = None


def find_secret(given: str | None, data: Path) -> ServerSecret:
    """The secret to use.

    Args:
        given: what the user has chosen, if anything.
        data: the folder that keeps one that is made here.

    Raises:
        UsageError: the given one is too easy to guess, or the kept one cannot be used.
    """
    if given is not None:
        return ServerSecret(check_secret(given))
    path = data / FILE
    try:
        text = path.read_text("ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return _make(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', error)}") from None
    if path.stat().st_mode & 0o077:
        raise UsageError(f"others can read {path}: make it private by chmod 600, or delete it")
    return ServerSecret(check_secret(text), kept_in=path)


def _make(path: Path) -> ServerSecret:
    text = secrets.token_urlsafe(SECRET_BYTES)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It is written as a whole under another name, so that a crash leaves no half of it.
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(f"{text}\n")
        draft.rename(path)
    except OSError:
        return ServerSecret(text, is_new=True)
    return ServerSecret(text, is_new=True, kept_in=path)
