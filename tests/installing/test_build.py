"""When the pages, and what runs in V8, are built again."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest

HOOK = Path(__file__).parent.parent / "hatch_build.py"


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The build hook, without the build tool that calls it."""
    interface: Any = types.ModuleType("interface")
    interface.BuildHookInterface = dict  # whatever can be subscripted
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    for name in ("hatchling", *(f"hatchling.{n}" for n in ("builders", "builders.hooks"))):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    plugin = "hatchling.builders.hooks.plugin"
    monkeypatch.setitem(sys.modules, plugin, types.ModuleType(plugin))
    spec = importlib.util.spec_from_file_location("hatch_build", HOOK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def built(hook: Any, tmp_path: Path) -> Path:
    """A folder in which all is built."""
    for name in (hook.FRONTEND / "package.json", hook.RUNTIME, hook.STAMP):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / hook.STAMP).write_text(hook.digest_of_sources(tmp_path))
    assert hook.is_built(tmp_path)
    return tmp_path


def test_what_is_missing_is_built(hook: Any, built: Path) -> None:
    (built / hook.RUNTIME).unlink()
    assert not hook.is_built(built)


def test_another_build_command_builds_again(hook: Any, built: Path) -> None:
    (built / hook.FRONTEND / "package.json").write_text('{"scripts": {}}')
    assert not hook.is_built(built)
