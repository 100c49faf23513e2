"""How a run lets volunteers in, and who chooses it: argument, environment or configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ..config import read_config_file
from ..errors import UsageError
from ..limits import (
    BOOTSTRAP_SECONDS,
    DEGREE,
    PORT,
    REPORTING_SECONDS,
    SILENCE_SECONDS,
    Limits,
)

LOCALHOST = "127.0.0.1"
ENVIRONMENT_VARIABLE = "PANDO_SERVE"
ENVIRONMENT_VALUES = {"0": False, "local": "local", "lan": "lan"}


@dataclass(frozen=True)
class ServeOptions:
    """How a run lets volunteers in.

    Attributes:
        port: the port to serve on; 0 lets the operating system choose.
        any_port: whether to try the next ports if it is taken.
        listen: the only address to listen on; all of them by default.
        open: whether everybody may join who has the address, without the token.
        public_url: the link's beginning, where a proxy stands in front.
        certfile: a certificate, for TLS.
        keyfile: its private key, if not in `certfile`.
        degree: children of each node before it delegates.
        bootstrap_timeout: seconds a joining volunteer may take to connect.
        silence: seconds after which a silent volunteer is lost.
        reporting_interval: seconds between the volunteers' figures.
        seed: makes the identifiers of nodes repeatable.
        asker: who asks for help, as volunteers are told; this machine's user by default.
        network: whether the function may use the internet in browsers.
        wheels: a folder with packages for browsers, which are looked for there first.
        limits: what is let in at once.

    Raises:
        UsageError: a value is of the wrong type or out of its range.
    """

    port: int = PORT
    any_port: bool = True
    listen: str | None = None
    open: bool = False
    public_url: str | None = None
    certfile: str | os.PathLike[str] | None = None
    keyfile: str | os.PathLike[str] | None = None
    degree: int = DEGREE
    bootstrap_timeout: float = BOOTSTRAP_SECONDS
    silence: float = SILENCE_SECONDS
    reporting_interval: float = REPORTING_SECONDS
    seed: int | None = None
    asker: str | None = None
    network: bool = False
    wheels: str | os.PathLike[str] | None = None
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if type(self.port) is not int or not 0 <= self.port <= 65535:
            raise UsageError(f"port must be a whole number between 0 and 65535, not {self.port!r}")
        if type(self.degree) is not int or self.degree < 1:
            raise UsageError(f"degree must be a whole number of at least 1, not {self.degree!r}")
        for name in ("bootstrap_timeout", "silence", "reporting_interval"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not value > 0:
                raise UsageError(f"{name} must be a positive number of seconds, not {value!r}")
        for name in ("any_port", "open", "network"):
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"{name} must be True or False, not {getattr(self, name)!r}")
        for name in ("listen", "public_url", "asker"):
            if not isinstance(getattr(self, name), str | None):
                raise UsageError(f"{name} must be a string, not {getattr(self, name)!r}")
        for name in ("certfile", "keyfile", "wheels"):
            if not isinstance(getattr(self, name), str | os.PathLike | None):
                raise UsageError(f"{name} must be a path, not {getattr(self, name)!r}")
        if not isinstance(self.seed, int | None):
            raise UsageError(f"seed must be a whole number, not {self.seed!r}")
        self._check_places()

    def _check_places(self) -> None:
        if self.keyfile is not None and self.certfile is None:
            raise UsageError("a key file needs a certificate file")
        if self.wheels is not None and not Path(self.wheels).is_dir():
            raise UsageError(f"{self.wheels} is not a folder with wheels")
        if self.public_url is not None:
            parts = urlsplit(self.public_url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise UsageError(f"{self.public_url!r} is not a URL such as https://example.org/")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return self.listen in (LOCALHOST, "::1", "localhost")


LOCAL = ServeOptions(listen=LOCALHOST)
Serve = Literal["local", "lan"] | bool | ServeOptions | None
"""What the argument `serve` of `pando.map` and its like may be."""


def choose_serve_options(serve: object) -> ServeOptions | None:
    """How to serve, or None where nothing is to be served.

    The argument comes first, then the environment variable ``PANDO_SERVE`` (``0``, ``local`` or
    ``lan``), then ``serve`` in config.json. Where none of them says anything, only this machine
    can connect: a library does not open a port to the network unasked.

    Args:
        serve: `True` and ``"lan"`` are for the network, ``"local"`` for this machine alone,
            `False` for nobody, None for what environment or configuration say.

    Raises:
        UsageError: it is none of these.
    """
    if isinstance(serve, ServeOptions):
        return serve
    if serve is None:
        serve = _choice_of_user()
    if serve is False:
        return None
    if serve is True or serve == "lan":
        return ServeOptions()
    if serve is None or serve == "local":
        return LOCAL
    raise UsageError(f'serve must be True, False, "local", "lan" or ServeOptions(…), not {serve!r}')


def _choice_of_user() -> object:
    """What the environment says, or else config.json; None where neither does."""
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
