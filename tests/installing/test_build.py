"""When the pages, and what runs in V8, are built again, and what is said where they cannot be."""

from __future__ import annotations

import importlib.util
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

HOOK = Path(__file__).parents[2] / "hatch_build.py"


@pytest.fixture
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", HOOK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def root(hook: Any, tmp_path: Path) -> Path:
    """A folder with sources, in which nothing is built."""
    for name in (hook.FRONTEND / "package.json", hook.NPM, hook.STAMP, hook.RUNTIME):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / hook.FRONTEND / "package.json").write_text("{}")
    (tmp_path / hook.NPM).write_text((HOOK.parent / hook.NPM).read_text())
    return tmp_path


@pytest.fixture
def built(hook: Any, root: Path) -> Path:
    """A folder in which all is built."""
    (root / hook.RUNTIME).touch()
    (root / hook.STAMP).write_text(hook.digest_of_sources(root))
    assert hook.is_built(root)
    return root


@pytest.fixture
def npm(hook: Any, root: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In the place of npm: what was run is kept, the build makes a file, `failing` fails."""
    fake = SimpleNamespace(ran=[], failing=None, OLDEST_NODE=(20, 19), PACKAGE="node", on_path=True)
    fake.npm_on_path = lambda oldest: fake.on_path
    fake.find_npm = lambda oldest: "npm"

    def run_npm(found: str, *arguments: str, folder: Path) -> SimpleNamespace:
        assert not (root / hook.STAMP).exists()
        fake.ran.append(arguments[0])
        if arguments[0] == "run":
            (root / hook.RUNTIME).touch()
        return SimpleNamespace(returncode=int(arguments[0] == fake.failing))

    fake.run_npm = run_npm
    monkeypatch.setattr(hook, "load_npm", lambda root: fake)
    monkeypatch.setattr(hook, "download_wheels", lambda frontend: None)
    return fake


def dependencies(hook: Any, root: Path) -> list[str]:
    made: Any = object.__new__(hook.FrontendHook)
    made._BuildHookInterface__root = str(root)
    found: list[str] = made.dependencies()
    return found


def test_what_is_missing_is_built(hook: Any, built: Path) -> None:
    (built / hook.RUNTIME).unlink()
    assert not hook.is_built(built)


@pytest.mark.parametrize("name", ["package.json", "tsconfig.json", "wheels.txt", "src/a.ts"])
def test_other_sources_build_again(hook: Any, built: Path, name: str) -> None:
    path = built / hook.FRONTEND / name
    path.parent.mkdir(exist_ok=True)
    path.write_text('{"scripts": {}}')
    assert not hook.is_built(built)


def test_a_build_says_what_it_was_built_from(hook: Any, root: Path, npm: SimpleNamespace) -> None:
    hook.build(root)
    assert npm.ran == ["ci", "run"]
    assert hook.is_built(root)


@pytest.mark.parametrize("failing", ["ci", "run"])
def test_a_build_that_fails_counts_as_none(
    hook: Any, built: Path, npm: SimpleNamespace, failing: str
) -> None:
    """Not even where the sources become again what was built before."""
    before = (built / hook.FRONTEND / "package.json").read_text()
    (built / hook.FRONTEND / "package.json").write_text("[]")
    npm.failing = failing
    with pytest.raises(RuntimeError, match=f"the pages cannot be built: npm {failing} fails"):
        hook.build(built)
    (built / hook.FRONTEND / "package.json").write_text(before)
    assert not hook.is_built(built)


def test_only_one_builds_at_a_time_and_the_other_finds_it_done(
    hook: Any, root: Path, npm: SimpleNamespace
) -> None:
    threads = [threading.Thread(target=hook.build, args=(root,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert npm.ran == ["ci", "run"]


def test_the_build_needs_the_package_with_node_only_where_path_has_none(
    hook: Any, root: Path, npm: SimpleNamespace
) -> None:
    assert dependencies(hook, root) == ["pip"]
    npm.on_path = False
    assert dependencies(hook, root) == ["pip", "node>=24"]
    hook.build(root)
    assert dependencies(hook, root) == []


def test_without_npm_a_sentence_says_what_to_install(
    hook: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(root))
    loaded = hook.load_npm(root)
    loaded.MODULE = "never_installed"
    monkeypatch.setattr(hook, "load_npm", lambda root: loaded)
    with pytest.raises(RuntimeError, match=r"without npm: install Node\.js, or the Python package"):
        hook.build(root)


def test_a_folder_that_cannot_be_written_is_named(hook: Any, root: Path) -> None:
    (root / hook.LOCK).mkdir()
    with pytest.raises(RuntimeError, match=r"frontend cannot be written into: .+ builds the pages"):
        hook.build(root)
