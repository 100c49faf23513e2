"""How `bin/pando` sets up a checkout: once, whole, by one process, again where it has to."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..processes import wait_until

pytestmark = pytest.mark.process

BIN = Path(__file__).parents[2] / "bin"
PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "pando-computing"
version = "1"

[project.optional-dependencies]
javascript = []

[dependency-groups]
test = ["pando-computing"]
docs = []
"""
BACKEND = '''\
"""Builds a package of one command that shows its arguments."""
import os, pathlib, time, zipfile

def build_editable(folder, settings=None, metadata=None):
    with open("builds", "a") as builds:
        builds.write("built\\n")
    while os.path.exists("wait"):
        time.sleep(0.01)
    if os.path.exists("fail"):
        raise RuntimeError("the pages cannot be built: " + pathlib.Path("fail").read_text())
    about = "pando_computing-1.dist-info"
    name = "pando_computing-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        wheel.writestr("pando.py", "import sys\\ndef main(): print(sys.argv[1:])\\n")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\\nName: pando-computing\\n"
                                            "Version: 1\\nProvides-Extra: javascript\\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\\nGenerator: x\\n"
                                         "Root-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{about}/entry_points.txt", "[console_scripts]\\npando = pando:main\\n")
        wheel.writestr(f"{about}/RECORD", "")
    return name
'''


class Checkout:
    """A small checkout, whose package is built in no time and from nothing."""

    def __init__(self, root: Path, variables: dict[str, str]) -> None:
        self.root = root
        self.variables = variables
        (root / "bin" / "lib").mkdir(parents=True)
        for name in ("pando", "lib/environment.sh", "lib/set_up.py"):
            shutil.copy(BIN / name, root / "bin" / name)
        frontend = root / "pando" / "web" / "frontend"
        for folder in (frontend / "src", frontend / "build", root / "pando" / "runtime"):
            folder.mkdir(parents=True)
        for path in (
            root / "hatch_build.py",
            root / "pando" / "runtime" / "v8.js",
            root / "pando" / "web" / "static" / "built-from",
            *(frontend / name for name in ("index.html", "package.json", "package-lock.json")),
            *(frontend / name for name in ("tsconfig.json", "vite.config.ts", "wheels.txt")),
        ):
            path.parent.mkdir(exist_ok=True)
            path.touch()
        (root / "pyproject.toml").write_text(PROJECT)
        (root / "backend.py").write_text(BACKEND)

    @property
    def environment(self) -> Path:
        return self.root / ".venv"

    @property
    def builds(self) -> int:
        """How often the package was built."""
        file = self.root / "builds"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self.root / "bin" / "pando"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**self.variables, **variables},
            start_new_session=True,
        )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str, str]:
        """The status, what was printed, and what was said; names of places made short."""
        process = self.start(*arguments, **variables)
        output, said = process.communicate(timeout=120)
        return process.returncode, output, said.replace(str(self.environment), ".venv")

    def set_up(self, group: str) -> None:
        """Set up, with a group of dependencies, as `bin/test` does."""
        script = 'here="$0"; source "$here/bin/lib/environment.sh"; make_environment "$1"'
        command = ["bash", "-c", script, str(self.root), group]
        subprocess.run(command, env=self.variables, check=True, capture_output=True)

    def is_made(self, group: str = "", **variables: str) -> bool:
        """Whether the command would go on at once."""
        script = 'here="$0"; source "$here/bin/lib/environment.sh"; is_made "$1"'
        command = ["bash", "-c", script, str(self.root), group]
        return (
            subprocess.run(command, env={**self.variables, **variables}, check=False).returncode
            == 0
        )

    def load(self) -> Any:
        """The module that sets up."""
        path = self.root / "bin" / "lib" / "set_up.py"
        spec = importlib.util.spec_from_file_location("set_up", path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def works(self) -> bool:
        """Whether what is there would be kept, and not begun anew."""
        return bool(self.load().works())

    def mend(self) -> None:
        """Make it as after a set-up, where one has not gone so far as to harm anything."""
        (self.environment / ".unfinished").unlink()
        (self.environment / ".made").write_text(f"{self.root}\n\n")

    def change(self) -> None:
        """Change what the environment is made from."""
        later = time.time() + 1  # than the clock of the file system has been
        os.utime(self.root / "pyproject.toml", (later, later))

    def settle(self) -> None:
        """Undo `change`."""
        os.utime(self.root / "pyproject.toml", (0, 0))


SETTING_UP = "pando: setting up .venv, once; this takes a minute\n"
SET_UP = (0, "['1', 'b c']\n", SETTING_UP)
READY = (0, "['1', 'b c']\n", "")
ITEMS = ("1", "b c")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, without_node: Path) -> Checkout:
    """A checkout that has been set up, in a folder whose name has a space, without a home."""
    folder = tmp_path_factory.mktemp("a checkout")
    home = folder / "none"
    checkout = Checkout(folder / "it's [1] #2", {"PATH": str(without_node), "HOME": str(home)})
    assert checkout.run(*ITEMS) == SET_UP
    return checkout


@pytest.fixture
def checkout(made: Checkout) -> Iterator[Checkout]:
    """The same, which works again after each test."""
    made.settle()
    yield made
    for name in ("wait", "fail"):
        (made.root / name).unlink(missing_ok=True)
    made.settle()
    assert made.run(*ITEMS)[:2] == READY[:2]
    assert made.run(*ITEMS) == READY


def test_it_is_set_up_once(checkout: Checkout) -> None:
    before = checkout.builds
    assert checkout.run(*ITEMS) == READY
    assert checkout.builds == before


def test_without_the_variable_home(checkout: Checkout) -> None:
    variables = {name: value for name, value in checkout.variables.items() if name != "HOME"}
    command = [str(checkout.root / "bin" / "pando"), "1"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['1']\n", "")


def test_it_is_set_up_again_when_something_has_changed(checkout: Checkout) -> None:
    kept = checkout.environment / "installed-by-the-user"
    kept.touch()
    checkout.change()
    assert checkout.run(*ITEMS)[2] == SETTING_UP
    assert kept.exists()


def test_a_group_is_set_up_beside_the_others(checkout: Checkout) -> None:
    for group in ("test", "docs"):
        checkout.set_up(group)
        assert checkout.is_made(group)
    assert checkout.is_made("test")
    checkout.change()
    assert not checkout.is_made("test")
    assert checkout.run(*ITEMS) == SET_UP
    checkout.settle()
    assert checkout.is_made("test")
    assert checkout.is_made("docs")


def test_what_the_old_name_has_installed_is_removed(checkout: Checkout) -> None:
    """Else both names would own the command, and removing one would break it."""
    packages = next(checkout.environment.glob("lib/*/site-packages"))
    old = packages / "pando-0.1.0.dist-info"
    old.mkdir()
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: pando\nVersion: 0.1.0\n")
    (old / "RECORD").write_text(
        "pando-0.1.0.dist-info/METADATA,,\npando-0.1.0.dist-info/RECORD,,\n"
    )
    checkout.change()
    assert checkout.run(*ITEMS) == SET_UP
    assert not old.exists()
    assert list(packages.glob("pando_computing-*.dist-info"))


def test_what_fails_is_said_in_a_sentence_and_is_not_done(checkout: Checkout) -> None:
    (checkout.root / "fail").write_text("npm ci fails")
    checkout.change()
    status, output, said = checkout.run(*ITEMS)
    assert (status, output) == (2, "")
    assert said == SETTING_UP + (
        "pando: .venv cannot be set up: the pages cannot be built: npm ci fails "
        "(.venv/set-up.log has it all)\n"
    )
    checkout.settle()
    assert not checkout.is_made()
    checkout.mend()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_what_was_interrupted_is_not_done(checkout: Checkout, how: signal.Signals) -> None:
    before = checkout.builds
    (checkout.root / "wait").touch()
    checkout.change()
    process = checkout.start(*ITEMS)
    assert wait_until(lambda: checkout.builds > before)
    os.killpg(process.pid, how)
    output, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert output == ""
    assert "Traceback" not in said
    checkout.settle()
    assert not checkout.is_made()
    checkout.mend()


def test_what_was_not_done_is_begun_anew(checkout: Checkout) -> None:
    """By one of two commands that are started at once."""
    (checkout.environment / ".made").unlink()
    (checkout.environment / ".unfinished").touch()
    (checkout.environment / "half-installed").mkdir()
    before = checkout.builds
    commands = [checkout.start(*ITEMS) for _ in range(2)]
    for command in commands:
        assert command.communicate(timeout=120)[0] == READY[1]
        assert command.returncode == 0
    assert checkout.builds == before + 1
    assert not (checkout.environment / "half-installed").exists()
    assert not (checkout.environment / ".unfinished").exists()


def test_two_at_once_set_up_once(checkout: Checkout) -> None:
    before = checkout.builds
    (checkout.root / "wait").touch()
    checkout.change()
    first = checkout.start(*ITEMS)
    assert wait_until(lambda: checkout.builds > before)
    os.utime(checkout.root / "pyproject.toml", (0, 0))
    second = checkout.start(*ITEMS)
    assert second.stderr
    assert second.stderr.readline().startswith("pando: waiting for another command, which sets up")
    (checkout.root / "wait").unlink()
    for process in (first, second):
        assert process.communicate(timeout=60)[0] == "['1', 'b c']\n"
        assert process.returncode == 0
    assert checkout.builds == before + 1


def test_an_environment_without_its_python_is_begun_anew(checkout: Checkout) -> None:
    assert checkout.is_made()
    assert checkout.works()
    python = checkout.environment / "bin" / "python"
    target = python.readlink()
    try:
        for other in ("/nonexistent/python3", "/bin/false"):
            python.unlink()
            python.symlink_to(other)
            assert not checkout.works()
        python.unlink()
        assert not checkout.is_made()
        assert not checkout.works()
    finally:
        python.symlink_to(target)


def test_an_environment_that_was_moved_is_begun_anew(checkout: Checkout) -> None:
    """Its programs begin with the path of its Python in the old place."""
    before = checkout.root
    try:
        checkout.root = before.rename(before.with_name("moved"))
        assert not checkout.is_made()
        assert not checkout.works()
    finally:
        checkout.root = checkout.root.rename(before)


def test_another_python_that_is_asked_for_begins_anew(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not checkout.is_made(PYTHON="python3.99")
    monkeypatch.setenv("PYTHON", "python3.99")
    assert checkout.works()
    monkeypatch.setattr(sys, "version_info", (3, 99))
    assert not checkout.works()


def test_an_environment_that_the_user_has_made_is_kept(checkout: Checkout) -> None:
    for stamp in checkout.environment.glob(".made*"):
        stamp.unlink()
    own = checkout.environment / "own"
    own.touch()
    assert checkout.run(*ITEMS) == SET_UP
    assert own.exists()


def test_what_cannot_be_written_is_used_as_it_is(checkout: Checkout) -> None:
    lock = checkout.root / ".venv.lock"
    lock.unlink()
    lock.mkdir()  # as good as a file system that is mounted to be read only, for the superuser too
    try:
        checkout.change()
        assert checkout.run(*ITEMS) == READY
        (checkout.environment / ".made").unlink()
        status, _, said = checkout.run(*ITEMS)
        assert status == 2
        assert said == (
            "pando: .venv cannot be set up: Is a directory: .venv.lock; "
            "make the folder writable, or install Pando elsewhere with pip\n"
        )
    finally:
        lock.rmdir()


def test_the_python_that_is_asked_for_is_used_or_refused(
    checkout: Checkout, tmp_path: Path
) -> None:
    wrong = tmp_path / "python3.9"
    wrong.write_text("#!/bin/sh\nexit 1\n")
    wrong.chmod(0o755)
    for python in (str(wrong), "no-such-python"):
        assert checkout.run(*ITEMS, PYTHON=python) == (
            *(2, ""),
            f"pando: PYTHON is {python}, which is no Python 3.11 or newer: "
            "set it to one, or to nothing\n",
        )
    assert checkout.run(*ITEMS, PYTHON=sys.executable) == SET_UP
    assert checkout.run(*ITEMS, PYTHON=sys.executable) == READY


def test_where_there_is_no_python_a_sentence_says_so(checkout: Checkout, tmp_path: Path) -> None:
    checkout.change()
    for name in ("bash", "env", "dirname", "readlink", "find"):
        (tmp_path / name).symlink_to(str(shutil.which(name)))
    assert checkout.run(*ITEMS, PATH=str(tmp_path)) == (
        *(2, ""),
        "pando: needs Python 3.11 or newer: install one, or set PYTHON to its program\n",
    )


def test_a_python_without_venv_is_a_sentence(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up = checkout.load()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert set_up.main("") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.endswith("or set PYTHON to another")
    assert "install its venv (`apt-get install python3-venv`" in said


@pytest.mark.parametrize(
    ("log", "reason"),
    {
        "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching\n": (
            "no package index can be reached"
        ),
        "  ERROR: Could not find\n  ERROR: No matching distribution found for a>=9\nnote: This\n": (
            "No matching distribution found for a>=9"
        ),
        "ERROR: No space left.\nRuntimeError: the pages cannot be built: x\nERROR: failed\n": (
            "the pages cannot be built: x"
        ),
        "that failed\n": "that failed",
        "": "its program does not say why",
    }.items(),
)
def test_the_reason_is_the_sentence_that_tells_most(
    checkout: Checkout, log: str, reason: str
) -> None:
    assert checkout.load().why(log) == reason
