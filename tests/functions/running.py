"""Runs scripts that ship their cases, and what receives them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
INSTALLED = HERE / "fixtures" / "installed" / "site-packages"


def run_python(*arguments: str, cwd: Path | None = None, input: str = "") -> str:
    """What a script that ships its cases writes."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE), str(INSTALLED)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    ended = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=cwd,
        input=input,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def receive(shipped: str, cwd: Path, form: str = "portable") -> dict[str, list[str]]:
    """What the cases give in a fresh interpreter that has no path to the script's folder."""
    return json.loads(run_python("-P", str(HERE / "shipping.py"), form, cwd=cwd, input=shipped))
