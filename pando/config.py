"""The user's configuration file, ``~/.pando/config.json``: find, read and parse it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .errors import UsageError

CONFIG_FILE = Path(".pando") / "config.json"


def read_config_file(home: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """Return the file's path and its content, which is empty if there is no file or no home.

    A home that cannot be accessed counts as missing, since a computation does not need it.

    Raises:
        UsageError: the file exists, but cannot be read or is not a JSON object.
    """
    try:
        path = (home or Path.home()) / CONFIG_FILE
        text = path.read_text("utf-8") if path.exists() else ""
    except (RuntimeError, PermissionError, NotADirectoryError):  # no home, or no access to it
        return CONFIG_FILE, {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not text:
        return path, {}
    import json  # only here: most have no such file, and wait for the start of a run

    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} should hold one JSON object, with options as its keys")
    return path, content
