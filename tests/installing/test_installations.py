"""Pando is installed as strangers do it, without Node.js and with an empty home, and computes.

What is installed is what lies in this working tree. The checkout in a new folder is the one that
builds the pages; the wheel and the source distribution are packed from what it has built.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import environment_of

pytestmark = pytest.mark.install

ROOT = Path(__file__).parents[2]
ITEMS = [str(number) for number in range(1, 11)]
SQUARES = "".join(f"{number * number}\n" for number in range(1, 11))
NO_NPM = {"npm_config_registry": "http://127.0.0.1:9", "npm_config_cache": "/dev/null/none"}
"""With these a build of the pages fails."""
LOOK = """\
import json, re, sys
import pando
from pando.web.frontend_files import pyodide_assets, read_text, _built
assert not pando.__file__.startswith(sys.argv[1])
shown = re.findall(r'(?:src|href)="\\./([^"]+)"', read_text("index.html"))
assert shown and set(shown) - {"licences"} <= set(_built())
assets = pyodide_assets()
assert all(each.url in _built() for each in (assets.program, assets.wasm, assets.standard_library))
print(json.dumps(sorted(_built())))
"""
"""Shows which files volunteers would be served by an installation."""


@pytest.fixture(scope="session")
def environment(without_node: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A stranger's environment, in which only downloads are kept from one time to the next."""
    variables = environment_of(without_node, tmp_path_factory.mktemp("home") / "user")
    pip, npm = Path("~/.cache/pip").expanduser(), Path("~/.npm").expanduser()
    variables.setdefault("PIP_CACHE_DIR", str(pip))
    variables.setdefault("npm_config_cache", str(npm))
    need_registry(variables)
    return variables


def need_registry(variables: dict[str, str]) -> None:
    """Skip where the network has no package registry; in CI, go on and fail."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--retries=0"]
    with_time = [*command, "--timeout=15", f"--dest={variables['HOME']}/wheels", "hatchling"]
    done = subprocess.run(with_time, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"no package can be downloaded: {done.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone would have if all that is in this working tree were committed."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout, so that nothing says what belongs to it")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    folder = tmp_path_factory.mktemp("installed") / "a clone"
    for name in filter(None, listed.stdout.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file():  # and not removed since
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    return folder


def run(*command: str | Path, environment: dict[str, str], folder: Path, **variables: str) -> str:
    """What a command prints; it has to succeed."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def set_up(clone: Path, environment: dict[str, str]) -> Path:
    """The clone in which `bin/pando` was called twice at once, with its first words."""
    commands = [
        subprocess.Popen(
            ["bin/pando", "examples/square.py", *ITEMS],
            cwd=clone,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [command.communicate() for command in commands]
    assert [(command.returncode, output) for command, (output, _) in zip(commands, ended)] == (
        [(0, SQUARES)] * 2
    ), ended
    assert "pando: setting up" in ended[0][1] + ended[1][1]
    return clone


@pytest.fixture(scope="session")
def packed(set_up: Path, environment: dict[str, str]) -> dict[str, Path]:
    """The wheel and the source distribution, by the ends of their names."""
    command = [sys.executable, "-m", "hatchling", "build"]
    run(*command, environment=environment, folder=set_up, **NO_NPM)
    return {path.suffix: path for path in (set_up / "dist").iterdir()}


def static_files(
    python: Path, environment: dict[str, str], folder: Path, not_in: Path
) -> list[str]:
    found: list[str] = json.loads(
        run(python, "-c", LOOK, str(not_in), environment=environment, folder=folder)
    )
    return found


def test_a_clone_sets_itself_up_and_computes(set_up: Path, environment: dict[str, str]) -> None:
    said = run("bin/pando", "examples/square.js", "3", environment=environment, folder=set_up)
    assert said == "9\n"
    python = set_up / ".venv" / "bin" / "python"
    files = static_files(python, environment, set_up, Path("/nonexistent"))
    assert {"index.html", "sandbox.js", "python.json", "distribution.json"} <= set(files)


@pytest.mark.parametrize("kind", [".whl", ".gz"])
def test_what_is_packed_is_installed_and_computes(
    packed: dict[str, Path],
    kind: str,
    set_up: Path,
    environment: dict[str, str],
    tmp_path: Path,
) -> None:
    """Twice, since people do; neither time is anything built."""
    run("python3", "-m", "venv", "new", environment=environment, folder=tmp_path)
    pip = [tmp_path / "new" / "bin" / "pip", "install", "--quiet", packed[kind]]
    for again in ([], ["--force-reinstall", "--no-deps"]):
        run(*pip, *again, environment=environment, folder=tmp_path, **NO_NPM)
    programs = tmp_path / "new" / "bin"
    example = ROOT / "examples" / "square.py"
    alone = {"environment": {**environment, "PATH": str(programs)}, "folder": tmp_path}
    assert run(programs / "pando", example, *ITEMS, **alone) == SQUARES
    assert run(programs / "python", "-m", "pando", example, *ITEMS, **alone) == SQUARES
    assert "usage" in run(programs / "pando-volunteer", "--help", **alone).lower()
    files = static_files(programs / "python", environment, tmp_path, ROOT)
    assert files == static_files(set_up / ".venv/bin/python", environment, set_up, Path("/none"))
    program = "from importlib.resources import files; print(files('pando') / 'runtime' / 'v8.js')"
    assert Path(run(programs / "python", "-c", program, **alone).strip()).is_file()


def sources() -> Iterator[str]:
    """The package's own modules."""
    for path in (ROOT / "pando").rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        if "frontend/" not in name:
            yield name


def test_a_wheel_has_what_its_users_need_and_no_more(packed: dict[str, Path]) -> None:
    with zipfile.ZipFile(packed[".whl"]) as wheel:
        names = set(wheel.namelist())
    assert {*sources(), "pando/py.typed", "pando/runtime/v8.js"} <= names
    assert {"pando/web/static/index.html", "pando/web/static/licences.txt"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top.partition("-")[0] for top in tops} == {"pando", "pando_computing"}
    assert not [name for name in names if "node_modules" in name or "frontend/" in name]
    assert not [name for name in names if name.endswith((".lock", ".pyc", ".log"))]


def test_a_source_distribution_has_what_is_in_git_and_what_is_built(
    packed: dict[str, Path], clone: Path
) -> None:
    with tarfile.open(packed[".gz"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = run(
        *("git", "ls-files", "--cached", "--others", "--exclude-standard"),
        environment=dict(os.environ),
        folder=ROOT,
    )
    tracked = {name for name in listed.splitlines() if (ROOT / name).is_file()}
    built = {name for name in names if name.startswith("pando/web/static/")}
    assert tracked <= names
    assert names - tracked - built == {"PKG-INFO", "pando/runtime/v8.js"}
    assert "pando/web/static/built-from" in built
