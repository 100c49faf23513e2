"""The user's configuration file, ``~/.pando/config.json``: found and read, not yet understood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import UsageError

CONFIG_FILE = Path(".pando") / "config.json"


def read_config_file(home: Path | None = None) -> tuple[Path, dict[str, Any]]:
    """The file's path and its content; empty where there is no such file, or no home.

    A home that cannot be looked into is as good as none: a computation does not need it.

    Raises:
        UsageError: the file is there and cannot be read, or is not a JSON object.
    """
    try:
        path = (home or Path.home()) / CONFIG_FILE
        text = path.read_text("utf-8") if path.exists() else ""
    except (RuntimeError, PermissionError, NotADirectoryError):  # no home, or not one to look into
        return CONFIG_FILE, {}
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None
    if not text:
        return path, {}
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path} should hold one JSON object, with options as its keys")
    return path, content
