"""Options for accepting volunteers, from an argument, the environment or config.json."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from ..config import read_config_file
from ..deprecation import accept_former_attributes
from ..errors import UsageError
from ..limits import (
    BOOTSTRAP_SECONDS,
    DEGREE,
    HEARTBEAT_TIMEOUT_SECONDS,
    LEAST_SECONDS,
    MAX_DEGREE,
    MOST_SECONDS,
    PORT,
    REPORTING_SECONDS,
    Limits,
)
from ..net.webrtc.availability import AUTO, check_protocol

if TYPE_CHECKING:
    from ..net.webrtc.ice_servers import IceSettings

LOCALHOST = "127.0.0.1"
ENVIRONMENT_VARIABLE = "PANDO_SERVE"
TOKEN_VARIABLES = {
    "monitoring_token": "PANDO_MONITORING_TOKEN",
    "management_token": "PANDO_MANAGEMENT_TOKEN",
}
"""Environment variables from which tokens are read that no argument gives."""
MIN_TOKEN = 12
MAX_TOKEN = 200
SECRET_VARIABLE = "PANDO_SECRET"
FLAGS = (
    "any_port",
    "open",
    "network",
    "new_link",
    "ask_token",
    "serve_here",
    "global_monitoring",
)
"""Options that are true or false."""
ENVIRONMENT_VALUES = {"0": False, "local": "local", "lan": "lan"}


@accept_former_attributes
@dataclass(frozen=True)
class ServeOptions:
    """Options for accepting volunteers.

    Attributes:
        port: the port to serve on; 0 for any free port.
        any_port: whether to try the next ports if it is taken.
        listen: the address to bind (default: all).
        open: whether to accept volunteers without the link's secret.
        public_url: public base URL behind a reverse proxy.
        link_host: host name or address in the link (default: this machine's addresses).
        certfile: the certificate to serve over TLS with.
        keyfile: its private key, if not in `certfile`.
        degree: maximum children of each node; others join below them.
        bootstrap_timeout: seconds a joining volunteer may take to connect.
        heartbeat_timeout: seconds of silence after which a volunteer counts as lost.
        reporting_interval: seconds between two reports of a volunteer.
        global_monitoring: whether each volunteer also reports straight to the root, over a
            connection of its own, so that a part of the tree that stalls is seen.
        seed: seed for node identifiers (reproducible trees).
        requester: name shown to volunteers (default: the user's full name).
        about: what the run is for, shown to volunteers (default: the first line of the docstring
            or comment of the function's module).
        network: whether the function has network access in browsers.
        wheels: folder of wheels for browsers, searched first.
        limits: connection limits.
        token: secret of the link, at least 12 characters (default: random).
        new_link: whether to replace the link that is kept, so that the old one ends.
        ask_token: whether programs of the same user on this machine must know the link, too.
        link_for: file that the link is kept for (default: the script); empty to keep none.
        monitoring_token: the secret of those who may watch the run from other machines (default:
            the environment variable ``PANDO_MONITORING_TOKEN``, or else a random one).
        management_token: the secret of those who may also send devices away (default: the
            environment variable ``PANDO_MANAGEMENT_TOKEN``, or else a random one).
        host: public server to register at, such as ``pando.example.org``, in place of serving here.
        secret: secret of that server (default: the environment variable ``PANDO_SECRET``).
        cafile: file of certificate authorities to trust as well, for that server.
        serve_here: whether to serve on a port of this machine as well, where there is a host.
        protocol: how volunteers connect: ``webrtc``, ``websocket``, or ``auto``: by WebSocket, and
            by WebRTC where that is relayed or not possible.
        ice_servers: STUN and TURN servers, for WebRTC: URLs such as ``stun:192.0.2.1:3478`` and
            ``turn:192.0.2.1``, or dicts with ``urls``, ``username`` and ``credential`` as browsers
            take them. None stands for the STUN server of `host`, an empty sequence for none.
        ice_users: such dicts, in which user and password of a URL in `ice_servers` are found.
        turn_secret: what TURN servers without a password share with this run, which makes passwords
            that are good for a day. Volunteers are told these alone.

    Raises:
        UsageError: a value has the wrong type or is out of range.
    """

    port: int = PORT
    any_port: bool = True
    listen: str | None = None
    open: bool = False
    public_url: str | None = None
    link_host: str | None = None
    certfile: str | os.PathLike[str] | None = None
    keyfile: str | os.PathLike[str] | None = None
    degree: int = DEGREE
    bootstrap_timeout: float = BOOTSTRAP_SECONDS
    heartbeat_timeout: float = HEARTBEAT_TIMEOUT_SECONDS
    reporting_interval: float = REPORTING_SECONDS
    global_monitoring: bool = False
    seed: int | None = None
    requester: str | None = None
    about: str | None = None
    network: bool = False
    wheels: str | os.PathLike[str] | None = None
    limits: Limits = field(default_factory=Limits)
    token: str | None = field(default=None, repr=False)
    new_link: bool = False
    ask_token: bool = False
    link_for: str | os.PathLike[str] | None = None
    monitoring_token: str | None = field(default=None, repr=False)
    management_token: str | None = field(default=None, repr=False)
    host: str | None = None
    secret: str | None = field(default=None, repr=False)
    cafile: str | os.PathLike[str] | None = None
    serve_here: bool = False
    protocol: str = AUTO
    ice_servers: Sequence[str | Mapping[str, object]] | None = field(default=None, repr=False)
    ice_users: Sequence[Mapping[str, object]] = field(default=(), repr=False)
    turn_secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if type(self.port) is not int or not 0 <= self.port <= 65535:
            raise UsageError(f"port must be a whole number between 0 and 65535, not {self.port!r}")
        if type(self.degree) is not int or not 1 <= self.degree <= MAX_DEGREE:
            raise UsageError(
                f"degree must be a whole number between 1 and {MAX_DEGREE:,}, not {self.degree!r}"
            )
        for name in ("bootstrap_timeout", "heartbeat_timeout", "reporting_interval"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not value > 0:
                raise UsageError(f"{name} must be a positive number of seconds, not {value!r}")
            if not LEAST_SECONDS <= value <= MOST_SECONDS:
                raise UsageError(
                    f"{name} must be between {LEAST_SECONDS:g} and {MOST_SECONDS:g} seconds, "
                    f"not {value!r}"
                )
        for name in FLAGS:
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"{name} must be True or False, not {getattr(self, name)!r}")
        for name in ("listen", "public_url", "link_host", "requester", "about", "host"):
            if not isinstance(getattr(self, name), str | None):
                raise UsageError(f"{name} must be a string, not {getattr(self, name)!r}")
        for name in ("certfile", "keyfile", "wheels", "link_for", "cafile"):
            if not isinstance(getattr(self, name), str | os.PathLike | None):
                raise UsageError(f"{name} must be a path, not {getattr(self, name)!r}")
        if not isinstance(self.seed, int | None):
            raise UsageError(f"seed must be a whole number, not {self.seed!r}")
        self._check_monitoring_tokens()
        self._check_token()
        self._check_paths()
        self._check_host()
        check_protocol(self.protocol)
        if isinstance(self.ice_servers, str) or not isinstance(self.ice_servers, Sequence | None):
            raise UsageError(f"ice_servers must be a list of URLs, not {self.ice_servers!r}")
        if self.ice_servers or self.ice_users or self.turn_secret is not None:
            self.ice_settings()

    def ice_settings(self) -> IceSettings:
        """Return the STUN and TURN servers that are named.

        Raises:
            UsageError: one is none, or has no password.
        """
        from ..net.webrtc.ice_servers import read_settings

        return read_settings(self.ice_servers or (), self.turn_secret, self.ice_users)

    def _check_monitoring_tokens(self) -> None:
        for name, variable in TOKEN_VARIABLES.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, os.environ.get(variable) or None)
            token, words = getattr(self, name), name.replace("_", " ")
            if token is not None and not _is_token(token):
                raise UsageError(
                    f"a {words} must have at least {MIN_TOKEN} characters, each of them a "
                    "letter, a digit or one of -._~"
                )
        if self.monitoring_token is not None and self.monitoring_token == self.management_token:
            raise UsageError("the monitoring token and the management token must differ")

    def _check_token(self) -> None:
        if self.token is None:
            return
        if not isinstance(self.token, str):
            raise UsageError("token must be a string")
        if self.open:
            raise UsageError("token and open exclude each other: with open, nobody needs a token")
        from ..net.trust.join_link import LinkSecret

        LinkSecret.choose(self.token)

    def _check_host(self) -> None:
        if not isinstance(self.secret, str | None):
            raise UsageError("secret must be a string")
        if self.host is None:
            return
        from ..net.relayed.proof import check_secret
        from ..net.relayed.server_address import ServerAddress

        ServerAddress.parse(self.host)
        if self.secret is not None:
            check_secret(self.secret)
        if self.open:
            raise UsageError("open and host exclude each other: anybody could join by the server")

    def _check_paths(self) -> None:
        if self.keyfile is not None and self.certfile is None:
            raise UsageError(
                "keyfile needs certfile: a private key is of no use without its certificate"
            )
        if self.wheels is not None and not Path(self.wheels).is_dir():
            raise UsageError(f"{self.wheels} is not a folder with wheels")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise UsageError(f"{self.public_url!r} is not a URL such as https://example.org/")
        if self.link_host is not None:
            from ..net.addresses import is_host

            if not is_host(self.link_host):
                raise UsageError(
                    f"{self.link_host!r} is not a host name or an address such as laptop.local"
                )

    @property
    def serves_here(self) -> bool:
        """Whether there is a port on this machine."""
        return self.host is None or self.serve_here

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return self.listen in (LOCALHOST, "::1", "localhost")


def _is_token(token: object) -> bool:
    return (
        isinstance(token, str)
        and MIN_TOKEN <= len(token) <= MAX_TOKEN
        and token.isascii()
        and all(character.isalnum() or character in "-._~" for character in token)
    )


def check_ice_objects(given: Sequence[object]) -> tuple[Mapping[str, object], ...]:
    """Return STUN and TURN servers that are given as browsers take them, once they are checked.

    Raises:
        UsageError: they are something else; no password is shown.
    """
    objects = tuple(each for each in given if isinstance(each, Mapping))
    if len(objects) < len(given):
        raise UsageError('it should be text, or a list of objects such as {"urls": "stun:HOST"}')
    from ..net.webrtc.ice_servers import read_settings

    read_settings(objects, turn_secret="of another key")
    return objects


LOCAL = ServeOptions(listen=LOCALHOST)
Serve = Literal["local", "lan"] | bool | ServeOptions | None
"""The type of the argument `serve` of `pando.map`, `amap`, `run` and `open_run`."""


def choose_serve_options(serve: object) -> ServeOptions | None:
    """Return the options to serve with, or None for no server.

    The argument takes precedence over the environment variable ``PANDO_SERVE`` (``0``, ``local``
    or ``lan``), and that over ``serve`` in config.json. By default only this machine can connect:
    a library must not open a port to the network unasked.

    Args:
        serve: `True` or ``"lan"`` for the network, ``"local"`` for this machine only, `False` for
            no server, None for what environment or config.json say.

    Raises:
        UsageError: `serve`, the environment variable or config.json is invalid.
    """
    if isinstance(serve, ServeOptions):
        return serve
    if serve is None:
        serve = _user_default()
    if serve is False:
        return None
    if serve is True or serve == "lan":
        return ServeOptions()
    if serve is None or serve == "local":
        return LOCAL
    raise UsageError(f'serve must be True, False, "local", "lan" or ServeOptions(…), not {serve!r}')


def _user_default() -> object:
    """Return the choice in the environment or in config.json, or None if there is none."""
    text = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if text:
        if text not in ENVIRONMENT_VALUES:
            raise UsageError(
                f"the environment variable {ENVIRONMENT_VARIABLE} must be 0, local or lan, "
                f"not {text!r}"
            )
        return ENVIRONMENT_VALUES[text]
    path, content = read_config_file()
    config = {key.replace("_", "-"): value for key, value in content.items()}
    refuses, serve = config.get("no-serve"), config.get("serve")
    if not isinstance(refuses, bool | None):
        raise UsageError(f'{path}: "no-serve" should be true or false, not {refuses!r}')
    if not isinstance(serve, bool | None) and serve not in ("local", "lan"):
        raise UsageError(f'{path}: "serve" should be true, false, "local" or "lan", not {serve!r}')
    return False if refuses else serve
