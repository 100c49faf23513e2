"""What can be set for the `pando` command: each option once, with its default and its type."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from typing import Any

from ..errors import UsageError
from ..limits import BOOTSTRAP_SECONDS, DEGREE, PORT, REPORTING_SECONDS, SILENCE_SECONDS
from ..running.serve_options import ServeOptions

ITEMS, COMPUTING, VOLUNTEERS, OTHER = "Items", "Computing", "Volunteers", "Other"
IGNORED, REFUSED = "ignored", "refused"
"""What becomes of an option that is not implemented: the run does without, or does not begin."""


def _option(
    default: Any, meaning: str, group: str, *, value: str = "", short: str = "", missing: str = ""
) -> Any:
    return field(
        default=default,
        metadata={
            "meaning": meaning,
            "group": group,
            "value": value,
            "short": short,
            "missing": missing,
        },
    )


@dataclass(frozen=True)
class Settings:
    """The options of the `pando` command. A field's name, with dashes, is the option's."""

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
    batch_size: int | None = _option(
        None, "maximum items per batch (default: adaptive)", COMPUTING, value="N"
    )
    host: str | None = _option(
        None, "use the bootstrap server at HOST or HOST:PORT instead of serving here",
        VOLUNTEERS, value="HOST", missing=REFUSED,
    )  # fmt: skip
    port: int = _option(
        PORT, "port to serve on; by default the next free one if it is taken", VOLUNTEERS,
        value="PORT",
    )  # fmt: skip
    serve: bool = _option(True, "do not serve: compute on this machine alone", VOLUNTEERS)
    listen: str | None = _option(
        None, "address to bind (default: all)", VOLUNTEERS, value="ADDRESS"
    )
    open: bool = _option(False, "no token required to join: the address is enough", VOLUNTEERS)
    public_url: str | None = _option(
        None, "public base URL behind a reverse proxy", VOLUNTEERS, value="URL"
    )
    certfile: str | None = _option(
        None, "serve over TLS with this certificate", VOLUNTEERS, value="FILE"
    )
    keyfile: str | None = _option(
        None, "private key of the certificate, if not in the same file", VOLUNTEERS, value="FILE"
    )
    secret: str = _option(
        "INSECURE-SECRET", "what proves to the bootstrap server that this is the root",
        VOLUNTEERS, value="S", missing=IGNORED,
    )  # fmt: skip
    bootstrap_timeout: float = _option(
        BOOTSTRAP_SECONDS, "seconds to wait for a joining volunteer", VOLUNTEERS, value="T"
    )
    degree: int = _option(
        DEGREE, "maximum volunteers connected to one node; the others join below it", VOLUNTEERS,
        value="D",
    )  # fmt: skip
    heartbeat: float = _option(
        SILENCE_SECONDS * 1000, "drop a volunteer after MS milliseconds of silence", VOLUNTEERS,
        value="MS",
    )  # fmt: skip
    seed: int | None = _option(
        None, "seed for node identifiers (reproducible trees)", VOLUNTEERS, value="SEED"
    )
    reporting_interval: float = _option(
        REPORTING_SECONDS, "seconds between reports of a volunteer", VOLUNTEERS, value="I"
    )
    global_monitoring: bool = _option(
        False, "volunteers report to the bootstrap server directly", VOLUNTEERS, missing=IGNORED
    )
    asker: str | None = _option(
        None, "your name, as volunteers see it (default: your user name)", VOLUNTEERS,
        value="NAME",
    )  # fmt: skip
    network: bool = _option(False, "allow the function network access in browsers", VOLUNTEERS)
    wheels: str | None = _option(
        None, "directory of wheels for browsers, searched first", VOLUNTEERS, value="DIR"
    )
    ice_servers: str | None = _option(
        None, "servers that help browsers to connect, comma-separated", VOLUNTEERS,
        value="URLS", missing=IGNORED,
    )  # fmt: skip
    public: bool = _option(
        False, "announce the run on the bootstrap server", VOLUNTEERS, missing=IGNORED
    )
    headless: bool = _option(False, "ignored, for compatibility", OTHER)
    quiet: bool = _option(
        False, "print results and errors only: no progress, no links", OTHER
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, least in {"workers": 0, "batch_size": 1, "degree": 1}.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"--{dashed(name)} must be at least {least}, not {value}")
        for name in ("timeout", "bootstrap_timeout", "reporting_interval", "heartbeat"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"--{dashed(name)} must be more than 0, not {value}")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port must be between 0 and 65535, not {self.port}")
        if self.on_error not in ("stop", "skip", "null"):
            raise UsageError(f"--on-error must be stop, skip or null, not {self.on_error!r}")
        if self.json and self.strings:
            raise UsageError("--json and --strings are mutually exclusive")

    def check_implemented(self, given: list[str]) -> None:
        """See whether a run can be what was asked for.

        Args:
            given: the options on the command line, by field; others are from config.json.

        Raises:
            UsageError: an option is set without which it would be another run, and which is not
                implemented.
        """
        for option in fields(self):
            is_set = getattr(self, option.name) != option.default
            if is_set and option.metadata["missing"] == REFUSED:
                name = f"--{dashed(option.name)}"
                if option.name not in given:
                    name = f"{dashed(option.name)!r} in config.json"
                raise UsageError(f"{name} is not implemented yet; leave it out")

    def serve_options(self, *, port_given: bool) -> ServeOptions | None:
        """How volunteers are let in; None where they are not.

        Args:
            port_given: whether the user chose the port, so that no other one will do.
        """
        if not self.serve:
            return None
        return ServeOptions(
            port=self.port,
            any_port=not port_given,
            listen=self.listen,
            open=self.open,
            public_url=self.public_url,
            certfile=self.certfile,
            keyfile=self.keyfile,
            degree=self.degree,
            bootstrap_timeout=self.bootstrap_timeout,
            silence=self.heartbeat / 1000,
            reporting_interval=self.reporting_interval,
            seed=self.seed,
            asker=self.asker,
            network=self.network,
            wheels=self.wheels,
        )


def dashed(name: str) -> str:
    """A field's name as the option is written."""
    return name.replace("_", "-")


def implemented_options() -> list[Field[Any]]:
    """The options that do something, or are accepted for compatibility: those to document."""
    return [option for option in fields(Settings) if not option.metadata["missing"]]


def value_type(name: str) -> type:
    """The type of an option's value, whether or not it may be missing."""
    annotation = next(str(f.type) for f in fields(Settings) if f.name == name)
    kinds: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
    return kinds[annotation.partition(" ")[0]]
