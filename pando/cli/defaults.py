"""The user's defaults of options, from config.json and the environment."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..config import read_config_file
from ..deprecation import OPTIONS, describe_rename
from ..errors import UsageError
from ..running.serve_options import (
    ENVIRONMENT_VALUES,
    ENVIRONMENT_VARIABLE,
    LOCALHOST,
    SECRET_VARIABLE,
    check_ice_objects,
)
from .output import say
from .settings import Settings, dashed, implemented_options, value_type

OLD_NAMES = {"iceServers": "ice_servers", "limit": "batch_size"}
"""Keys of config.json that old files have for some options."""
TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def read_defaults(home: Path | None = None) -> dict[str, Any]:
    """Return the defaults by field; the environment takes precedence over config.json.

    Raises:
        UsageError: config.json or the environment variable is invalid.
    """
    defaults = read_config(home)
    if secret := os.environ.get(SECRET_VARIABLE, ""):
        defaults["secret"] = secret
    text = os.environ.get(ENVIRONMENT_VARIABLE, "")
    if not text:
        return defaults
    if text not in ENVIRONMENT_VALUES:
        raise UsageError(
            f"the environment variable {ENVIRONMENT_VARIABLE} must be 0, local or lan, not {text!r}"
        )
    if ENVIRONMENT_VALUES[text] == "lan" and defaults.get("listen") == LOCALHOST:
        del defaults["listen"]
    return {**defaults, **_serve_defaults(ENVIRONMENT_VALUES[text])}


def read_config(home: Path | None = None) -> dict[str, Any]:
    """Return the defaults in ``$HOME/.pando/config.json`` by field; empty if there is no file.

    Raises:
        UsageError: the file is not JSON, a key is unknown, or a value has the wrong type or is out
            of range. The message names the file and the key.
    """
    path, content = read_config_file(home)
    checked = dict(_checked(content, path))
    try:
        Settings(**checked)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return checked


def _checked(content: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    names = {f.name for f in fields(Settings)}
    for key, value in content.items():
        name = OLD_NAMES.get(key, key.replace("-", "_"))
        if name in OPTIONS:
            say(describe_rename(f"{path}: {key!r}", repr(OPTIONS[name])))
            name = OPTIONS[name]
        positive = name.removeprefix("no_")
        if name == "serve" and value in ("local", "lan"):
            yield from _serve_defaults(value).items()
            continue
        is_negated = name not in names and positive in names and value_type(positive) is bool
        if is_negated:
            name = positive
        if name == "ice_servers" and isinstance(value, list):
            try:
                yield "ice_server_objects", check_ice_objects(value)
            except UsageError as error:
                raise UsageError(f"{path}: {key!r}: {error}") from None
            continue
        if name not in names or name == "ice_server_objects":
            raise UsageError(f"{path}: {key!r} is not an option{_suggestion(key)}")
        kind = value_type(name)
        fitting = (int, float) if kind is float else kind
        if value is None:
            continue
        if not isinstance(value, fitting) or (isinstance(value, bool) and kind is not bool):
            found = json.dumps(value)
            raise UsageError(f"{path}: {key!r} should be {TYPE_NAMES[kind]}, not {found}")
        yield name, not value if is_negated else kind(value)


def _serve_defaults(serve: object) -> dict[str, Any]:
    """Translate the library's `serve` to options of the command."""
    return {"serve": True, "listen": LOCALHOST} if serve == "local" else {"serve": serve == "lan"}


def _suggestion(key: str) -> str:
    import difflib

    known = [dashed(option.name) for option in implemented_options()]
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def describe_config() -> str:
    """Return a Markdown table of the keys of config.json."""
    rows = ["| key | value | default | what it sets |", "|---|---|---|---|"]
    for option in implemented_options():
        kind = value_type(option.name)
        key, meaning = dashed(option.name), option.metadata["meaning"]
        default: Any = option.default
        if default is True:  # the help page has the negated option, too
            key, default = f"no-{key}", False
        shown = "" if default is None else f"`{json.dumps(_whole(default))}`"
        choices = option.metadata["value"] if "|" in option.metadata["value"] else ""
        value = " or ".join(f'`"{choice}"`' for choice in choices.split("|") if choice)
        rows.append(f"| `{key}` | {value or TYPE_NAMES[kind]} | {shown} | {meaning} |")
    return "\n".join(rows) + "\n"


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
