"""The join link: what a root prints, and what others open or join with.

What follows ``#`` never leaves the browser: the fingerprint of the root's keys, the secret, and
words for the page, separated by ``;``. A secret that Pando has made is 16 random bytes, and the two
together are 44 characters of URL-safe base64. One that a person has chosen follows a dot,
percent-encoded. The link of a run at a public server names its room there::

    http://192.168.1.7:5000/#bS1ob3ctbG9uZy1pcy10aQYWxsLWtub3ctdGhhdC1ieQ;device=my%20phone
    http://192.168.1.7:5000/#bS1ob3ctbG9uZy1pcy10aQ.correct-horse-battery
    https://pando.example.org/r/YW5vdGhlciByb29tIG5hbQ#bS1ob3ctbG9uZy1pcy10aQYWxsLWtub3ctdGhhdC1ieQ
"""

from __future__ import annotations

import base64
import re
import secrets
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit

from ...errors import UsageError
from ...limits import PORT
from ..addresses import join_address

FINGERPRINT_BYTES = 16
SECRET_BYTES = 16
MAX_LINK = 4096
"""Characters of a link."""
MIN_CHOSEN = 12
MAX_CHOSEN = 200
"""Characters of a secret that a person chooses."""

INCOMPLETE = (
    "the link is not complete, or has been changed: copy it as a whole, with all that follows its "
    "# sign"
)

_PART = "[A-Za-z0-9_-]{22}"
_CREDENTIALS = re.compile(rf"({_PART})(?:({_PART})|\.([A-Za-z0-9_.~%-]+))")
_ROOM = re.compile(_PART)
_OLD_TOKEN = re.compile(r"[A-Za-z0-9_-]{16}")


@dataclass(frozen=True)
class LinkSecret:
    """The secret of a link.

    Attributes:
        value: random bytes, or the UTF-8 of the text that was chosen.
        is_chosen: whether a person has chosen it.
    """

    value: bytes = field(repr=False)
    is_chosen: bool = False

    @staticmethod
    def generate() -> LinkSecret:
        return LinkSecret(secrets.token_bytes(SECRET_BYTES))

    @staticmethod
    def choose(text: str) -> LinkSecret:
        """A secret of one's own.

        Raises:
            UsageError: it is too short, too long, or not text of one line.
        """
        text = unicodedata.normalize("NFC", text)
        if not MIN_CHOSEN <= len(text) <= MAX_CHOSEN:
            raise UsageError(f"a token must have {MIN_CHOSEN} to {MAX_CHOSEN} characters")
        try:
            encoded = text.encode()
        except UnicodeEncodeError:
            encoded = b""
        if not encoded or any(unicodedata.category(c) == "Cc" for c in text):
            raise UsageError("a token must be text of one line")
        return LinkSecret(encoded, is_chosen=True)

    def __str__(self) -> str:
        return f".{quote(self.value, safe='')}" if self.is_chosen else to_base64(self.value)


@dataclass(frozen=True)
class JoinLink:
    """A link, taken apart; `str` puts it together.

    Attributes:
        address: ``HOST:PORT`` of the root.
        tls: whether the connection is by https.
        fingerprint: of the root's public keys; None where the root lets everybody join, or this
            user's other programs on the same machine.
        secret: what invites; None where there is no fingerprint.
        options: words for the page, such as ``start`` and ``device``, and ``certificate``.
        room: the run's room at a public server; empty where the address is the root's.
    """

    address: str
    tls: bool = False
    fingerprint: bytes | None = None
    secret: LinkSecret | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    room: str = ""

    @staticmethod
    def parse(link: str) -> JoinLink:
        """Take a link apart. Without ``http://`` the port is Pando's own, unless it is given.

        Raises:
            UsageError: it is no such link, is not complete, or an older Pando has made it.
        """
        mistake = UsageError(f"{link!r} is not a link such as http://192.168.1.7:5000/#…")
        if len(link) > MAX_LINK:
            raise UsageError(f"a link has at most {MAX_LINK:,} characters, not {len(link):,}")
        link = link.strip()
        is_bare = "//" not in link.partition("#")[0]
        try:
            parts = urlsplit(f"http://{link}" if is_bare else link)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise mistake from None
        if parts.scheme not in ("http", "https") or not host or re.search(r"\s", host):
            raise mistake
        tls = parts.scheme == "https"
        usual = PORT if is_bare else 443 if tls else 80
        fingerprint, secret, options = parse_fragment(parts.fragment)
        address = join_address(host, usual if port is None else port)
        room = _parse_room(parts.path)
        if room and fingerprint is None:
            raise UsageError(INCOMPLETE)
        return JoinLink(address, tls, fingerprint, secret, options, room)

    @property
    def certificate(self) -> str:
        """The fingerprint of the root's TLS certificate; empty where authorities vouch for it."""
        return self.options.get("certificate", "")

    def __str__(self) -> str:
        words = []
        if self.fingerprint is not None and self.secret is not None:
            words.append(format_credentials(self.fingerprint, self.secret))
        for name, value in self.options.items():
            words.append(f"{name}={quote(value, safe='')}" if value else name)
        fragment = f"#{';'.join(words)}" if words else ""
        path = f"r/{self.room}" if self.room else ""
        return f"{'https' if self.tls else 'http'}://{self.address}/{path}{fragment}"


def format_credentials(fingerprint: bytes, secret: LinkSecret) -> str:
    """The credentials, as they are in a link's fragment."""
    return f"{to_base64(fingerprint)}{secret}"


def parse_fragment(fragment: str) -> tuple[bytes | None, LinkSecret | None, dict[str, str]]:
    """The fingerprint, the secret and the options of what follows ``#``.

    Raises:
        UsageError: it is not complete, or an older Pando has made it.
    """
    words = [word for word in re.split("[;&]", fragment) if word]
    options = {}
    credentials = ""
    for word in words:
        name, is_option, value = word.partition("=")
        if is_option or word == "start":
            options[name] = unquote(value)
        elif not credentials:
            credentials = word
    if not credentials:
        return None, None, options
    return *_parse_credentials(credentials), options


def _parse_credentials(text: str) -> tuple[bytes, LinkSecret]:
    if _OLD_TOKEN.fullmatch(text):
        raise UsageError(
            "an older version of Pando has made this link, and it does not prove whose run it is: "
            "update Pando there, and use the link that it prints then"
        )
    match = _CREDENTIALS.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        fingerprint = from_base64(match[1])
        if match[2] is not None:
            return fingerprint, LinkSecret(from_base64(match[2]))
        return fingerprint, LinkSecret.choose(unquote(match[3], errors="strict"))
    except (ValueError, UsageError):
        raise UsageError(INCOMPLETE) from None


def _parse_room(path: str) -> str:
    """The room in a link's path; empty where there is none.

    Raises:
        UsageError: it names a room by what is no name.
    """
    if not path.startswith("/r/"):
        return ""
    room = path.removeprefix("/r/").removesuffix("/")
    if room.endswith("/monitoring"):
        raise UsageError("this link is for watching a run: volunteers join by the other one")
    if not _ROOM.fullmatch(room):
        raise UsageError(INCOMPLETE)
    return room


def to_base64(data: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def from_base64(text: str) -> bytes:
    """What `to_base64` was given.

    Raises:
        ValueError: it would not have written this.
    """
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if to_base64(data) != text:
        raise ValueError("this is not base64 as it is written here")
    return data
