"""What tests of installations share: programs without Node.js, and environments of strangers."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

NEEDED = (
    *("bash", "sh", "env", "uname", "find", "dirname", "readlink"),
    *("cat", "rm", "mkdir"),
)
"""What `bin/pando`, pip, npm and the programs that they install call."""
PRIVATE = ("HOME", "PATH", "PYTHON", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@pytest.fixture(scope="session")
def without_node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is all of PATH: links to what is needed, without node and npm."""
    folder = tmp_path_factory.mktemp("programs")
    for name in NEEDED:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    (folder / "python3").symlink_to(getattr(sys, "_base_executable", sys.executable))
    return folder


@pytest.fixture
def stranger(without_node: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a user with an empty home and without Node.js."""
    return environment_of(without_node, tmp_path / "home")


def environment_of(path: Path, home: Path) -> dict[str, str]:
    """This machine's environment, for a user with an empty home."""
    home.mkdir(exist_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in PRIVATE and not name.startswith(("XDG_", "PANDO_"))
    }
    return {**kept, "PATH": str(path), "HOME": str(home)}
