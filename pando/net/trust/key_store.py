"""The keys and secrets of links that last: kept for each user and module, in ``~/.pando/links``.

A file holds a root's private keys, the secret of its link and the port it was served on. It is for
its user alone (mode 600 in a folder of mode 700), and is written as a whole or not at all. It is
locked as long as a run uses it: a second run at the same time has a fresh link. A file that is
damaged, or that others could read or have written, is replaced.

Where nothing can be kept, the keys are made anew and live as long as the process.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .join_link import FINGERPRINT_BYTES, SECRET_BYTES, LinkSecret, from_base64, to_base64

if TYPE_CHECKING:
    from .keys import RootKeys

FOLDER = Path(".pando") / "links"
LIFETIME_SECONDS = 30 * 24 * 3600
"""A link ends so long after its last use."""
MAX_FILE_BYTES = 10_000
VERSION = 1
_KEY_BYTES = 32


@dataclass(frozen=True)
class LinkKeys:
    """What a link stands for.

    Attributes:
        exchange, signing: the root's private keys.
        fingerprint: of its public keys; kept, so that a link can be printed without cryptography.
        secret: what invites.
        port: where it was served last; 0 where it was not.
    """

    exchange: bytes = field(repr=False)
    signing: bytes = field(repr=False)
    fingerprint: bytes
    secret: LinkSecret
    port: int = 0

    @staticmethod
    def generate() -> LinkKeys:
        from .keys import RootKeys

        keys = RootKeys.generate()
        fingerprint = keys.public.fingerprint
        return LinkKeys(keys.exchange, keys.signing, fingerprint, LinkSecret.generate())

    def root_keys(self) -> RootKeys:
        """The keys, to shake hands and to sign with."""
        from .keys import RootKeys

        return RootKeys(self.exchange, self.signing)


class HeldLink:
    """A link that a run uses, until `close`.

    Attributes:
        keys: what is kept, see `LinkKeys`.
        secret: what invites: the one that is kept, or the one that was chosen.
        note: why it is another one than last time or will not be kept, for the person who runs
            this; empty where there is nothing to say.
    """

    def __init__(
        self, keys: LinkKeys, chosen: LinkSecret | None, note: str = "", file: _File | None = None
    ) -> None:
        self.keys = keys
        self.secret = chosen or keys.secret
        self.note = note
        self._file = file

    @property
    def is_kept(self) -> bool:
        """Whether it will be there for the next run."""
        return self._file is not None

    def remember(self, port: int) -> None:
        """Keep the port, and that the link is in use now."""
        self.keys = replace(self.keys, port=port)
        if self._file is not None:
            self._file.write_if_possible(self.keys)

    def close(self) -> None:
        """The run is over: its link may be used by another one."""
        if self._file is not None:
            self._file.write_if_possible(self.keys)
            self._file.unlock()
            self._file = None


class KeyStore:
    """Where links are kept.

    Args:
        home: the user's home folder; None is the one of this process's user.
        clock: gives the time in seconds since 1970.
    """

    def __init__(self, home: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._home = home
        self._clock = clock

    def open(
        self,
        module: Path | None,
        *,
        chosen: LinkSecret | None = None,
        new_link: bool = False,
    ) -> HeldLink:
        """The link of a module: the one that is kept, or a new one.

        Args:
            module: the file that is run; None where it is none, such as in a notebook.
            chosen: the secret that the person who runs it has chosen; it is not written down.
            new_link: replace the secret that is kept. The keys stay, so that the root can tell
                those who have the old link, and prove it, that the link has ended.
        """
        if module is None:
            return HeldLink(LinkKeys.generate(), chosen)
        try:
            file = _File(self._folder(), module.resolve(), self._clock)
        except _NotKeptError as error:
            return HeldLink(LinkKeys.generate(), chosen, str(error))
        except (OSError, RuntimeError) as error:
            return HeldLink(LinkKeys.generate(), chosen, _describe(error))
        kept, note = file.read()
        keys = kept or LinkKeys.generate()
        if new_link:
            keys = replace(keys, secret=LinkSecret.generate())
        try:
            file.write(keys)
        except OSError as error:
            if keys != kept:
                file.unlock()
                return HeldLink(LinkKeys.generate(), chosen, _describe(error))
        return HeldLink(keys, chosen, note, file)

    def _folder(self) -> Path:
        """The folder, for this user alone.

        Raises:
            OSError, RuntimeError: there is no home, or nothing can be written there.
        """
        folder = (self._home or Path.home()) / FOLDER
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise _NotKeptError(f"this link is not kept: {folder} belongs to somebody else")
        if found.st_mode & 0o077:
            folder.chmod(0o700)
        return folder


class _NotKeptError(Exception):
    """Why a link is not kept, in a sentence."""


class _File:
    """The file of a module, locked."""

    def __init__(self, folder: Path, module: Path, clock: Callable[[], float]) -> None:
        name = hashlib.sha256(os.fsencode(module)).hexdigest()[:32]
        self._path = folder / f"{name}.json"
        self._module = module
        self._clock = clock
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._lock = os.open(folder / f"{name}.lock", flags, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.unlock()
            if isinstance(error, BlockingIOError):
                raise _NotKeptError(
                    "another run of this module is under way, so this one has a fresh link"
                ) from None
            raise

    def unlock(self) -> None:
        os.close(self._lock)

    def read(self) -> tuple[LinkKeys | None, str]:
        """What is kept, if it is good; else why there is a new link, where that is worth a word."""
        try:
            found, data = self._read_file()
        except FileNotFoundError:
            return None, ""
        except OSError:
            return None, "the file of the link cannot be read, so there is a new link"
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            return None, "others could have read or changed the link, so there is a new one"
        try:
            keys, last_use = _decode(data)
        except (ValueError, RecursionError):
            return None, "the file of the link is damaged, so there is a new link"
        return (keys, "") if self._clock() - last_use <= LIFETIME_SECONDS else (None, "")

    def _read_file(self) -> tuple[os.stat_result, bytes]:
        # Not blocking: a pipe in its place would wait for a writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags)
        try:
            return os.fstat(descriptor), os.read(descriptor, MAX_FILE_BYTES)
        finally:
            os.close(descriptor)

    def write(self, keys: LinkKeys) -> None:
        """Keep this, used now.

        Raises:
            OSError: it cannot be kept; what was kept before still is.
        """
        data = _encode(keys, self._module, self._clock())
        descriptor, temporary = tempfile.mkstemp(dir=self._path.parent, prefix=".")
        try:
            with open(descriptor, "wb") as file:  # which only this user may read
                file.write(data)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, self._path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def write_if_possible(self, keys: LinkKeys) -> None:
        """Keep this; what was kept before is good as well."""
        with suppress(OSError):
            self.write(keys)


def _encode(keys: LinkKeys, module: Path, now: float) -> bytes:
    content = {
        "version": VERSION,
        "module": str(module).encode(errors="replace").decode(),
        "exchange": to_base64(keys.exchange),
        "signing": to_base64(keys.signing),
        "fingerprint": to_base64(keys.fingerprint),
        "secret": to_base64(keys.secret.value),
        "port": keys.port,
        "last_use": int(now),
    }
    return json.dumps({**content, "check": _check(content)}, indent=1).encode() + b"\n"


def _decode(data: bytes) -> tuple[LinkKeys, int]:
    """What `_encode` was given.

    Raises:
        ValueError: this is something else.
    """
    content = json.loads(data)
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise ValueError("not a file of a link")
    check = content.pop("check", "")
    if not isinstance(check, str) or not secrets.compare_digest(
        check.encode(), _check(content).encode()
    ):
        raise ValueError("changed by something else")
    try:
        values = [from_base64(content[n]) for n in ("exchange", "signing", "fingerprint", "secret")]
        port, last_use = int(content["port"]), int(content["last_use"])
    except (KeyError, TypeError) as error:
        raise ValueError("incomplete") from error
    if [len(value) for value in values] != [
        _KEY_BYTES,
        _KEY_BYTES,
        FINGERPRINT_BYTES,
        SECRET_BYTES,
    ]:
        raise ValueError("a key of a wrong length")
    if not 0 <= port < 2**16:
        raise ValueError("no port")
    exchange, signing, fingerprint, secret = values
    return LinkKeys(exchange, signing, fingerprint, LinkSecret(secret), port), last_use


def _check(content: dict[str, Any]) -> str:
    """Tells a damaged file; who can write it can write this as well."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _describe(error: Exception) -> str:
    why = getattr(error, "strerror", None) or str(error)
    return f"this link is not kept for the next run: {why}"
