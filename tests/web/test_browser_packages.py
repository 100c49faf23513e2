"""What a function needs in browsers, as the root finds it."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pando.web import browser_packages
from pando.web.browser_packages import NotInBrowsersError, find_packages


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # only what a test puts into a folder is found


def make_wheel(folder: Path, name: str, tag: str, requires: str = "") -> str:
    """A wheel without content, for a platform; its file name."""
    file = f"{name}-1.0-{tag}.whl"
    about = f"{name}-1.0.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}"
    with zipfile.ZipFile(folder / file, "w") as wheel:
        wheel.writestr(f"{about}/METADATA", metadata)
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
        wheel.writestr(f"{about}/RECORD", "")
    return file


def test_nothing_is_asked_where_nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *args, **rest: pytest.fail("pip was asked"))
    assert find_packages([]) == {}
    assert find_packages(["python>=3.11", "colorama; sys_platform == 'win32'"]) == {}


@pytest.mark.process
def test_wheels_for_browsers_are_found_with_all_that_they_need(tmp_path: Path) -> None:
    pure = make_wheel(tmp_path, "pure", "py3-none-any", "Requires-Dist: fast\n")
    fast = make_wheel(tmp_path, "fast", f"cp314-cp314-{browser_packages.PLATFORM}")
    found = find_packages(["pure>=1"], str(tmp_path))
    assert set(found) == {pure, fast}
    assert found[pure].data == (tmp_path / pure).read_bytes()


@pytest.mark.process
@pytest.mark.parametrize("tag", ["cp311-cp311-manylinux_2_17_x86_64", "cp313-cp313-win_amd64"])
def test_wheels_of_other_platforms_will_not_do(tag: str, tmp_path: Path) -> None:
    make_wheel(tmp_path, "native", tag)
    with pytest.raises(NotInBrowsersError, match="it needs native, which is not to be had"):
        find_packages(["native"], str(tmp_path))


@pytest.mark.process
def test_what_has_been_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path, "pure", "py3-none-any")
    first = find_packages(["pure"], str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *args, **rest: pytest.fail("pip was asked"))
    assert find_packages(["pure"], str(tmp_path)) == first


def test_the_python_in_browsers_is_one_version() -> None:
    with pytest.raises(NotInBrowsersError, match=r"needs python<3.13, and .* is 3\.14"):
        find_packages(["python<3.13"])


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("/usr/bin/python3: No module named pip", "there is no pip here"),
        ("ERROR: No matching distribution found for numpy", "it needs numpy, which is not"),
        ("something else", "it needs numpy, other, which is not to be had for browsers"),
    ],
)
def test_why_not_is_one_sentence(said: str, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **rest: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr=said)

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(NotInBrowsersError, match=sentence):
        find_packages(["numpy", "other"])
