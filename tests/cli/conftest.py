"""Fixtures of the tests of the commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def python_module(tmp_path: Path) -> Callable[..., Path]:
    """Write a module and return its path."""

    def write(text: str, name: str = "my_module.py") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write
