"""What can be set for the `pando` command: each option once, with its default and its type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..limits import BOOTSTRAP_SECONDS, DEGREE, PORT, REPORTING_SECONDS, SILENCE_SECONDS
from ..running.serve_options import ServeOptions

CONFIG_FILE = Path(".pando") / "config.json"
OLD_NAMES = {"iceServers": "ice_servers", "limit": "batch_size"}
"""What config.json calls some options for the sake of old files."""


def _option(default: Any, meaning: str, group: str, *, value: str = "", built: bool = True) -> Any:
    return field(
        default=default,
        metadata={"meaning": meaning, "group": group, "value": value, "built": built},
    )


ITEMS, COMPUTING, VOLUNTEERS, OTHER = "Items", "Computing", "Volunteers", "Other"


@dataclass(frozen=True)
class Settings:
    """The options of the `pando` command. A field's name, with dashes, is the option's."""

    stdin: bool = _option(False, "read items from standard input, one a line", ITEMS)
    json: bool = _option(False, "each line is a JSON value, each result a JSON line", ITEMS)
    strings: bool = _option(False, "items stay strings, even those that are numbers", ITEMS)
    unordered: bool = _option(False, "print results as they come", ITEMS)
    on_error: str = _option(
        "stop",
        "what to do when an item fails: stop, skip (report it, leave its line out) or null "
        "(report it, print an empty line)",
        ITEMS,
        value="stop|skip|null",
    )
    workers: int | None = _option(
        None, "processes that compute on this machine; one for each core by default",
        COMPUTING, value="N",
    )  # fmt: skip
    timeout: float | None = _option(
        None, "seconds that an item may take before it fails", COMPUTING, value="SECONDS"
    )
    local: bool = _option(
        False, "compute items one by one in this very process, for debugging", COMPUTING
    )
    start_idle: bool = _option(
        False, "do not compute on this machine; wait for volunteers", COMPUTING
    )
    batch_size: int | None = _option(
        None, "the most items that are sent to a worker at once; chosen by speed otherwise",
        COMPUTING, value="N",
    )  # fmt: skip
    host: str | None = _option(
        None, "use the bootstrap server at HOST or HOST:PORT instead of serving here",
        VOLUNTEERS, value="HOST", built=False,
    )  # fmt: skip
    port: int = _option(PORT, "port to serve on; the next free one if it is taken", VOLUNTEERS,
        value="PORT")  # fmt: skip
    serve: bool = _option(True, "do not serve: compute on this machine alone", VOLUNTEERS)
    listen: str | None = _option(
        None, "the only address to listen on; all of them otherwise", VOLUNTEERS, value="ADDRESS"
    )
    open: bool = _option(
        False, "let everybody join who has the address, without the link's # part", VOLUNTEERS
    )
    public_url: str | None = _option(
        None, "what the link begins with, where a proxy stands in front", VOLUNTEERS, value="URL"
    )
    certfile: str | None = _option(
        None, "serve over TLS with this certificate", VOLUNTEERS, value="FILE"
    )
    keyfile: str | None = _option(None, "the certificate's key", VOLUNTEERS, value="FILE")
    secret: str = _option(
        "INSECURE-SECRET", "what proves to the bootstrap server that this is the root",
        VOLUNTEERS, value="S", built=False,
    )  # fmt: skip
    bootstrap_timeout: float = _option(
        BOOTSTRAP_SECONDS, "seconds a new volunteer may take to connect", VOLUNTEERS, value="T"
    )
    degree: int = _option(
        DEGREE, "volunteers connected to one node before it delegates newcomers", VOLUNTEERS,
        value="D",
    )  # fmt: skip
    heartbeat: float = _option(
        SILENCE_SECONDS * 1000,
        "milliseconds of silence after which a volunteer is lost",
        VOLUNTEERS,
        value="MS",
    )
    random_seed: int | None = _option(
        None,
        "seed `random` and NumPy's global generator for each item, repeatably",
        ITEMS,
        value="SEED",
    )
    seed: int | None = _option(
        None, "makes the identifiers of nodes repeatable", VOLUNTEERS, value="SEED"
    )
    reporting_interval: float = _option(
        REPORTING_SECONDS, "seconds between the volunteers' reports", VOLUNTEERS, value="I"
    )
    global_monitoring: bool = _option(
        False, "volunteers report to the bootstrap server directly", VOLUNTEERS, built=False
    )
    asker: str | None = _option(
        None, "who asks for help, as volunteers are told", VOLUNTEERS, value="NAME"
    )
    network: bool = _option(False, "let the function use the internet in browsers, too", VOLUNTEERS)
    wheels: str | None = _option(
        None, "a folder with packages for browsers, looked for there first", VOLUNTEERS,
        value="DIR",
    )  # fmt: skip
    ice_servers: str | None = _option(
        None, "servers that help browsers to connect, comma-separated", VOLUNTEERS,
        value="URLS", built=False,
    )  # fmt: skip
    public: bool = _option(
        False, "announce the run on the bootstrap server", VOLUNTEERS, built=False
    )
    sync_stdio: bool = _option(
        False, "a line protocol on standard input and output, for feedback loops", ITEMS,
        built=False,
    )  # fmt: skip
    headless: bool = _option(False, "accepted and not needed: no window is opened", OTHER)
    quiet: bool = _option(
        False, "show nothing but results and errors: no progress line, and no links", OTHER
    )

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
            raise UsageError("--json and --strings exclude each other")

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


def value_type(name: str) -> type:
    """The type of an option's value, whether or not it may be missing."""
    annotation = next(str(f.type) for f in fields(Settings) if f.name == name)
    kinds: dict[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
    return kinds[annotation.partition(" ")[0]]


def read_config(home: Path | None = None) -> dict[str, Any]:
    """The defaults in ``$HOME/.pando/config.json``, by field; empty where there is no such file.

    Raises:
        UsageError: the file is not JSON, or a key is unknown or of the wrong type. The message
            names the file and the key. So it does where a value is out of its range.
    """
    path = (home or Path.home()) / CONFIG_FILE
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} should hold one JSON object, with options as its keys")
    checked = dict(_checked(content, path))
    try:
        Settings(**checked)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return checked


def _checked(content: Mapping[str, Any], path: Path) -> list[tuple[str, Any]]:
    known = {f.name for f in fields(Settings)}
    checked = []
    for key, value in content.items():
        name = OLD_NAMES.get(key, key.replace("-", "_"))
        if name not in known:
            raise UsageError(f"{path}: {key!r} is not an option")
        kind = value_type(name)
        fitting = (int, float) if kind is float else kind
        if value is not None and (
            not isinstance(value, fitting) or (isinstance(value, bool) and kind is not bool)
        ):
            words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
            raise UsageError(f"{path}: {key!r} should be {words[kind]}, not {json.dumps(value)}")
        if value is not None:
            checked.append((name, kind(value)))
    return checked
