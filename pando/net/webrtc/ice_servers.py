"""STUN and TURN servers, by which devices behind routers find a way to each other, as URLs.

A STUN server tells a device its public address. A TURN server passes packets on, for those who
know a user and a password there. That password is either one for good, which only the root has, or
one for a limited time, made of a secret that root and TURN server share: `TurnSecret`.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...errors import UsageError
from ...messages import TurnServer

MAX_SERVERS = 4
"""Servers that a run may name."""
MAX_USERNAME = 500
"""Characters of a user or a password at a TURN server."""
CREDENTIAL_SECONDS = 24 * 3600
"""How long a password that is made of the secret is good; each join gives a device a new one."""
STUN_PORT, TURNS_PORT = 3478, 5349
_URL = re.compile(
    r"(stun|turns?):([A-Za-z0-9.-]{1,253})(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class IceServer:
    """A STUN or TURN server.

    Attributes:
        url: such as ``stun:HOST:PORT`` or ``turn:HOST:PORT?transport=tcp``.
        username, credential: for a TURN server; empty where they are not known.
    """

    url: str
    username: str = ""
    credential: str = field(default="", repr=False)

    @property
    def is_turn(self) -> bool:
        """Whether it passes packets on."""
        return self.url.startswith("turn")

    @property
    def has_tls(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.url.startswith("turns:")

    @property
    def address(self) -> tuple[str, int]:
        """Its host and its port."""
        match = _URL.fullmatch(self.url)
        assert match is not None, "it was checked when it was read"
        return match[2], int(match[3] or (TURNS_PORT if self.has_tls else STUN_PORT))

    @property
    def transport(self) -> str:
        """What it is spoken to over: ``udp`` or ``tcp``."""
        match = _URL.fullmatch(self.url)
        return (match and match[4]) or ("tcp" if self.has_tls else "udp")


@dataclass(frozen=True)
class TurnSecret:
    """A secret that is shared with TURN servers, and makes passwords for a limited time.

    The scheme is that of "A REST API For Access To TURN Services" (Uberti, 2013), which coturn
    calls ``use-auth-secret``.
    """

    text: str = field(repr=False)

    def sign(self, server: IceServer, name: str, now: float) -> IceServer:
        """Return a TURN server with a user and a password for `CREDENTIAL_SECONDS`.

        Args:
            server: the server.
            name: whom they are for, as the TURN server's log shows it.
            now: seconds since 1970.
        """
        username = f"{int(now) + CREDENTIAL_SECONDS}:{name}"
        digest = hmac.digest(self.text.encode(), username.encode(), "sha1")
        return replace(server, username=username, credential=base64.b64encode(digest).decode())


@dataclass(frozen=True)
class IceSettings:
    """The servers of a run, as its root knows them.

    Attributes:
        servers: all of them; TURN servers with a user and a password that are good for long, or
            with none where there is a secret.
        secret: makes those of the others; None without.
    """

    servers: tuple[IceServer, ...] = ()
    secret: TurnSecret | None = None

    def with_server(self, server: IceServer) -> IceSettings:
        """Return the same with one more server."""
        return replace(self, servers=(*self.servers, server))

    @property
    def stun_urls(self) -> list[str]:
        """The STUN servers."""
        return [server.url for server in self.servers if not server.is_turn]

    def for_root(self, now: float) -> tuple[IceServer, ...]:
        """Return what the root itself uses; `now` is in seconds since 1970."""
        return tuple(
            self.secret.sign(server, "root", now)
            if self.secret is not None and server.is_turn and not server.username
            else server
            for server in self.servers
        )

    def for_node(self, node: bytes, now: float) -> list[TurnServer]:
        """Return the TURN servers that a node is told: never with what is good for long.

        Args:
            node: its identifier.
            now: seconds since 1970.
        """
        secret = self.secret
        if secret is None:
            return []
        own = (server for server in self.servers if server.is_turn and not server.username)
        signed = (secret.sign(server, node.hex(), now) for server in own)
        return [TurnServer(each.url, each.username, each.credential) for each in signed]


def read_settings(
    given: Sequence[str | Mapping[str, object]],
    turn_secret: str | None = None,
    known: Sequence[Mapping[str, object]] = (),
) -> IceSettings:
    """Read the servers of a run.

    Args:
        given: URLs, or objects as browsers take them in ``iceServers``, with ``urls`` and, for TURN
            servers, ``username`` and ``credential``.
        turn_secret: makes passwords for those TURN servers that have none.
        known: further objects, by whose URLs users and passwords of the given URLs are found.

    Raises:
        UsageError: something is no server, there are too many, or a TURN server has no password.
    """
    users = {server.url: server for each in known for server in _read_object(each)}
    servers: list[IceServer] = []
    for each in given:
        if isinstance(each, str):
            servers.append(users.get(each) or parse_url(each))
        else:
            servers.extend(_read_object(each))
    if turn_secret is not None and not (isinstance(turn_secret, str) and turn_secret):
        raise UsageError("turn_secret must be the secret of a TURN server, as text")
    secret = None if turn_secret is None else TurnSecret(turn_secret)
    for server in servers:
        if server.is_turn and not server.username and secret is None:
            raise UsageError(
                f"{server.url} needs a user and a password: put it into iceServers in config.json, "
                "with username and credential, or the secret of the TURN server as turn-secret"
            )
    return IceSettings(_limited(servers), secret)


def with_stun(servers: Iterable[IceServer]) -> tuple[IceServer, ...]:
    """Return servers, with those added that TURN servers over UDP are besides: STUN servers."""
    own = tuple(servers)
    urls = {server.url for server in own if not server.is_turn}
    addresses = {parse_url(url).address for url in urls}
    more = {
        server.address: IceServer("stun:{}:{}".format(*server.address))
        for server in own
        if server.is_turn and server.transport == "udp" and server.address not in addresses
    }
    return (*own, *more.values())


def parse_servers(urls: Iterable[str]) -> tuple[IceServer, ...]:
    """Read the URLs of servers.

    Raises:
        UsageError: one is none, or there are too many.
    """
    return _limited([parse_url(url) for url in urls])


def parse_url(url: str) -> IceServer:
    """Read the URL of a server.

    Raises:
        UsageError: it is none.
    """
    match = _URL.fullmatch(url)
    if (
        match is None
        or not 0 < int(match[3] or STUN_PORT) < 2**16
        or (match[4] and match[1] == "stun")
        or (match[4] == "udp" and match[1] == "turns")
    ):
        raise UsageError(
            f"{url!r} is not a STUN or TURN server such as stun:192.0.2.1:3478, "
            "turn:turn.example.org or turns:turn.example.org:443?transport=tcp"
        )
    return IceServer(url)


def _limited(servers: list[IceServer]) -> tuple[IceServer, ...]:
    if len(servers) > MAX_SERVERS:
        raise UsageError(f"at most {MAX_SERVERS} ICE servers, not {len(servers)}")
    return tuple(servers)


def _read_object(given: Mapping[str, object]) -> list[IceServer]:
    """Read one object of ``iceServers``; what is not a password may be shown in an error."""
    if not isinstance(given, Mapping) or "urls" not in given:
        raise UsageError("an object of iceServers should have urls, and no value instead of it")
    unknown = given.keys() - {"urls", "username", "credential"}
    if unknown:
        raise UsageError(
            f"an object of iceServers has urls, username and credential, not {min(unknown)!r}"
        )
    urls = given["urls"]
    texts = [urls] if isinstance(urls, str) else urls
    if not isinstance(texts, list | tuple) or not all(isinstance(url, str) for url in texts):
        raise UsageError("urls of an object of iceServers should be a URL or a list of URLs")
    username, credential = given.get("username", ""), given.get("credential", "")
    if not (_is_word(username) and _is_word(credential)):
        raise UsageError(
            f"username and credential of an ICE server are texts of at most {MAX_USERNAME} "
            "characters"
        )
    if bool(username) != bool(credential):
        raise UsageError("an object of iceServers has both a username and a credential, or none")
    servers = [parse_url(str(url)) for url in texts]
    return [
        replace(server, username=str(username), credential=str(credential))
        if server.is_turn
        else server
        for server in servers
    ]


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_USERNAME
