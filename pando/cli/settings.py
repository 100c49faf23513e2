"""The options of the `pando` command, with their defaults, types and help texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..limits import (
    BOOTSTRAP_SECONDS,
    DEGREE,
    HEARTBEAT_TIMEOUT_SECONDS,
    MAX_BATCH_LIMIT,
    MAX_DEGREE,
    MAX_PROCESSES,
    MOST_SECONDS,
    PORT,
    REPORTING_SECONDS,
)
from ..running.serve_options import ServeOptions

ITEMS, COMPUTING, VOLUNTEERS, OTHER = "Items", "Computing", "Volunteers", "Other"
FILE_ONLY = ""
"""The group of what only config.json may hold: `ps` shows options to every user."""
MAX_TOKEN_LINE = 1000
"""Characters that are read of a file with a token; more are no token."""
UNNAMED, REFUSED = "unnamed", "refused"
"""Why an option is not documented: it is given under another's name, or is not implemented."""


def _option(
    default: Any,
    meaning: str,
    group: str,
    *,
    value: str = "",
    short: str = "",
    missing: str = "",
    why: str = "is not implemented yet",
) -> Any:
    return field(
        default=default,
        metadata={
            "meaning": meaning,
            "group": group,
            "value": value,
            "short": short,
            "missing": missing,
            "why": why,
        },
    )


BOUNDS = {
    "workers": (0, MAX_PROCESSES),
    "batch_size": (1, MAX_BATCH_LIMIT),
    "degree": (1, MAX_DEGREE),
}
"""The least and the most that an option may be."""


@dataclass(frozen=True)
class Settings:
    """The options of the `pando` command. An option's name is that of its field, with dashes."""

    stdin: bool = _option(False, "read items from standard input, one per line", ITEMS)
    null: bool = _option(
        False, "end items on standard input, and results, with NUL instead of a newline", ITEMS,
        short="-0",
    )  # fmt: skip
    json: bool = _option(False, "read JSON Lines, write JSON Lines", ITEMS)
    strings: bool = _option(False, "do not convert items to numbers", ITEMS)
    unordered: bool = _option(False, "print results as they complete", ITEMS)
    on_error: str = _option(
        "stop",
        "when an item fails: stop, skip (report it, omit its line) or null (report it, print "
        "an empty line)",
        ITEMS,
        value="stop|skip|null",
    )
    random_seed: int | None = _option(
        None, "seed `random` and NumPy's global generator for each item, repeatably", ITEMS,
        value="SEED",
    )  # fmt: skip
    sync_stdio: bool = _option(
        False, "a line protocol on standard input and output, for feedback loops", ITEMS,
        missing=REFUSED,
    )  # fmt: skip
    workers: int | None = _option(
        None, "worker processes on this machine (default: one per core)", COMPUTING, value="N"
    )
    timeout: float | None = _option(
        None, "fail items that take longer than SECONDS", COMPUTING, value="SECONDS"
    )
    local: bool = _option(
        False, "compute items one by one in this process, for debugging", COMPUTING
    )
    start_idle: bool = _option(False, "no workers on this machine: wait for volunteers", COMPUTING)
    speculate: bool = _option(
        True, "never compute an item twice because a device is slow with it", COMPUTING
    )
    batch_size: int | None = _option(
        None, "maximum items per batch (default: adaptive)", COMPUTING, value="N"
    )
    host: str | None = _option(
        None, "let volunteers join through the pando-server at HOST instead of serving here",
        VOLUNTEERS, value="HOST",
    )  # fmt: skip
    secret: str = _option(
        "INSECURE-SECRET", "secret of that server (better in PANDO_SECRET: `ps` shows it)",
        VOLUNTEERS, value="S",
    )  # fmt: skip
    cafile: str | None = _option(
        None, "trust the certificate authorities in FILE as well, for that server", VOLUNTEERS,
        value="FILE",
    )  # fmt: skip
    port: int = _option(
        PORT, "port to serve on; by default the next free one if it is taken", VOLUNTEERS,
        value="PORT",
    )  # fmt: skip
    serve: bool = _option(True, "do not serve: compute on this machine alone", VOLUNTEERS)
    listen: str | None = _option(
        None, "address to bind (default: all)", VOLUNTEERS, value="ADDRESS"
    )
    open: bool = _option(False, "no secret required to join: the address is enough", VOLUNTEERS)
    public_url: str | None = _option(
        None, "public base URL behind a reverse proxy", VOLUNTEERS, value="URL"
    )
    link_host: str | None = _option(
        None, "host name or address to put into the link (default: this machine's addresses)",
        VOLUNTEERS, value="NAME",
    )  # fmt: skip
    token: str | None = _option(
        None, "secret of the link, at least 12 characters (`ps` shows it; see --token-file)",
        VOLUNTEERS, value="TEXT",
    )  # fmt: skip
    token_file: str | None = _option(
        None, "read the secret of the link from the first line of FILE", VOLUNTEERS, value="FILE"
    )
    new_link: bool = _option(
        False, "replace the link that is kept for MODULE; the old one ends", VOLUNTEERS
    )
    ask_token: bool = _option(
        False, "ask your own programs on this machine for the link, too: for tunnels and proxies",
        VOLUNTEERS,
    )  # fmt: skip
    certfile: str | None = _option(
        None, "serve over TLS with this certificate", VOLUNTEERS, value="FILE"
    )
    keyfile: str | None = _option(
        None, "private key of the certificate, if not in the same file", VOLUNTEERS, value="FILE"
    )
    bootstrap_timeout: float = _option(
        BOOTSTRAP_SECONDS, "seconds to wait for a joining volunteer", VOLUNTEERS, value="T"
    )
    degree: int = _option(
        DEGREE, "maximum volunteers connected to one node; the others join below it", VOLUNTEERS,
        value="D",
    )  # fmt: skip
    heartbeat: float = _option(
        HEARTBEAT_TIMEOUT_SECONDS * 1000, "drop a volunteer after MS milliseconds of silence",
        VOLUNTEERS, value="MS",
    )  # fmt: skip
    seed: int | None = _option(
        None, "seed for node identifiers (reproducible trees)", VOLUNTEERS, value="SEED"
    )
    reporting_interval: float = _option(
        REPORTING_SECONDS, "seconds between two reports of a volunteer", VOLUNTEERS, value="I"
    )
    global_monitoring: bool = _option(
        False, "volunteers also report straight to the root, each over a connection of its own",
        VOLUNTEERS,
    )  # fmt: skip
    monitoring_log: str | None = _option(
        None, "append monitoring to FILE, a line of JSON each reporting interval", OTHER,
        value="FILE",
    )  # fmt: skip
    monitoring_token_file: str | None = _option(
        None, "file with the token for watching from other machines (default: a random one)",
        VOLUNTEERS, value="FILE",
    )  # fmt: skip
    management_token_file: str | None = _option(
        None, "file with the token for sending devices away, too (default: a random one)",
        VOLUNTEERS, value="FILE",
    )  # fmt: skip
    requester: str | None = _option(
        None, "your name, as volunteers see it (default: your full name)", VOLUNTEERS,
        value="NAME",
    )  # fmt: skip
    about: str | None = _option(
        None, "what the run is for, as volunteers see it (default: the first line of MODULE's "
        "docstring or comment)", VOLUNTEERS, value="TEXT",
    )  # fmt: skip
    network: bool = _option(False, "allow the function network access in browsers", VOLUNTEERS)
    wheels: str | None = _option(
        None, "directory of wheels for browsers, searched first", VOLUNTEERS, value="DIR"
    )
    protocol: str = _option(
        "auto", "how volunteers connect: by WebSocket, by WebRTC, or (auto) by WebRTC where a "
        "WebSocket is relayed or impossible", VOLUNTEERS, value="auto|websocket|webrtc",
    )  # fmt: skip
    ice_servers: str | None = _option(
        None, "STUN and TURN servers for WebRTC, comma-separated; empty for none (default: that "
        "of --host)", VOLUNTEERS, value="URLS",
    )  # fmt: skip
    ice_server_objects: tuple[Mapping[str, Any], ...] = _option(
        (), "the same as a list of objects, with users and passwords", FILE_ONLY, missing=UNNAMED
    )
    turn_secret: str | None = _option(
        None, "secret that TURN servers know, for passwords that are good for a day", FILE_ONLY
    )
    public: bool = _option(
        False, "announce the run on the bootstrap server", VOLUNTEERS, missing=REFUSED,
        why="would tell strangers of the run: send its link to those whom you invite",
    )  # fmt: skip
    headless: bool = _option(False, "ignored, for compatibility", OTHER)
    quiet: bool = _option(
        False, "print results and errors only: no progress, no links", OTHER
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, (least, most) in BOUNDS.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{dashed(name)} must be at least {least}, not {value}")
            if value is not None and value > most:
                raise UsageError(f"--{dashed(name)} must be at most {most}, not {value}")
        for name in ("timeout", "bootstrap_timeout", "reporting_interval", "heartbeat"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"--{dashed(name)} must be more than 0, not {value}")
            if value is not None and value > MOST_SECONDS:
                raise UsageError(f"--{dashed(name)} must be at most {MOST_SECONDS:g}, not {value}")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port must be between 0 and 65535, not {self.port}")
        if self.on_error not in ("stop", "skip", "null"):
            raise UsageError(f"--on-error must be stop, skip or null, not {self.on_error!r}")
        if self.protocol not in ("auto", "websocket", "webrtc"):
            raise UsageError(f"--protocol must be auto, websocket or webrtc, not {self.protocol!r}")
        if self.token is not None and self.token_file is not None:
            raise UsageError("--token and --token-file are mutually exclusive")
        if self.json and self.strings:
            raise UsageError("--json and --strings are mutually exclusive")

    def check_implemented(self, given: list[str]) -> None:
        """Check that no option is set that the run cannot do without, but that is not implemented.

        Args:
            given: the fields of the options on the command line; others are from config.json.

        Raises:
            UsageError: such an option is set.
        """
        for option in fields(self):
            is_set = getattr(self, option.name) != option.default
            if is_set and option.metadata["missing"] == REFUSED:
                name = f"--{dashed(option.name)}"
                if option.name not in given:
                    name = f"{dashed(option.name)!r} in config.json"
                raise UsageError(f"{name} {option.metadata['why']}; leave it out")

    def serve_options(self, given: list[str], module: str) -> ServeOptions | None:
        """Return the options for accepting volunteers; None with ``--no-serve``.

        Args:
            given: the fields of the options on the command line: a port that is given there is
                the only one, and with a host there is no port unless one is asked for there.
            module: the file that the link is kept for; empty if there is none.

        Raises:
            UsageError: the file with the token cannot be read, or options exclude each other.
        """
        if not self.serve and not ("host" in given and "serve" not in given):
            if "host" in given:
                raise UsageError("--no-serve and --host are mutually exclusive")
            return None
        return ServeOptions(
            host=self.host,
            secret=self.secret,
            cafile=self.cafile,
            serve_here=bool({"serve", "port", "listen"}.intersection(given)),
            port=self.port,
            any_port="port" not in given,
            listen=self.listen,
            open=self.open,
            public_url=self.public_url,
            link_host=self.link_host,
            certfile=self.certfile,
            keyfile=self.keyfile,
            degree=self.degree,
            bootstrap_timeout=self.bootstrap_timeout,
            heartbeat_timeout=self.heartbeat / 1000,
            reporting_interval=self.reporting_interval,
            global_monitoring=self.global_monitoring,
            seed=self.seed,
            monitoring_token=_read_short(self.monitoring_token_file),
            management_token=_read_short(self.management_token_file),
            requester=self.requester,
            about=self.about,
            network=self.network,
            wheels=self.wheels,
            token=self._read_token(),
            new_link=self.new_link,
            ask_token=self.ask_token,
            link_for=module,
            protocol=self.protocol,
            ice_servers=self._ice_servers(),
            ice_users=self.ice_server_objects,
            turn_secret=self.turn_secret,
        )

    def _ice_servers(self) -> tuple[str | Mapping[str, Any], ...] | None:
        """Return the STUN and TURN servers that are named; None where nothing is said of them."""
        if self.ice_servers is None:
            return self.ice_server_objects or None
        return tuple(filter(None, map(str.strip, self.ice_servers.split(","))))

    def _read_token(self) -> str | None:
        if self.token_file is None:
            return self.token
        try:
            with open(self.token_file, encoding="utf-8-sig") as file:
                return file.readline(MAX_TOKEN_LINE).rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(f"{self.token_file} cannot be read: {reason}") from None


def _read_short(path: str | None) -> str | None:
    """Return the text of a file with a token; None without a file."""
    if path is None:
        return None
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None


def dashed(name: str) -> str:
    """Return the name of a field's option."""
    return name.replace("_", "-")


def implemented_options() -> list[Field[Any]]:
    """Return the options to document: all that are implemented or accepted for compatibility."""
    return [option for option in fields(Settings) if not option.metadata["missing"]]


def value_type(name: str) -> type:
    """Return the type of an option's value, apart from None."""
    annotation = next(str(f.type) for f in fields(Settings) if f.name == name)
    kinds: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
    return kinds.get(annotation.partition(" ")[0], list)
