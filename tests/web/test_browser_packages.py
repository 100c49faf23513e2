"""What a function needs in browsers, as the root finds it."""

from __future__ import annotations

import functools
import hashlib
import http.server
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from pando.errors import PandoError
from pando.web import browser_packages
from pando.web.browser_packages import BrowserUnsupportedError, find_packages
from pando.web.pyodide_distribution import Distribution, Package, read_distribution


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # Only what a test puts somewhere itself is found.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    empty = Distribution("http://nowhere.invalid/", {})
    monkeypatch.setattr(browser_packages, "read_distribution", lambda: empty)


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
    with pytest.raises(BrowserUnsupportedError, match="it needs native, which is not to be had"):
        find_packages(["native"], str(tmp_path))


@pytest.fixture
def distribution(tmp_path: Path) -> Iterator[Distribution]:
    """Pyodide's distribution, on this machine: two packages, one of which needs the other."""
    folder = tmp_path / "distribution"
    folder.mkdir()
    native = f"cp314-cp314-{browser_packages.PLATFORM}"
    files = {name: make_wheel(folder, name, native) for name in ("fast", "faster")}
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    digests = {n: hashlib.sha256((folder / f).read_bytes()).hexdigest() for n, f in files.items()}
    yield Distribution(
        f"http://127.0.0.1:{server.server_port}/",
        {
            "fast": Package(files["fast"], digests["fast"], "1.0", []),
            "faster": Package(files["faster"], digests["faster"], "1.0", ["fast"]),
            "spoilt": Package(files["fast"], "0" * 64, "1.0", []),
            "library": Package("library.zip", "0" * 64, "1.0", []),
            "middle": Package(files["fast"], digests["fast"], "1.0", ["library"]),
            "on-library": Package(files["faster"], digests["faster"], "1.0", ["middle"]),
            "on-nothing": Package(files["fast"], digests["fast"], "1.0", ["nothing"]),
        },
    )
    server.shutdown()
    thread.join()
    server.server_close()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.mark.process
@pytest.mark.socket
def test_what_pip_does_not_find_may_be_in_pyodide_s_distribution(
    distribution: Distribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_packages, "read_distribution", lambda: distribution)
    make_wheel(tmp_path, "pure", "py3-none-any", "Requires-Dist: faster>=1\n")
    found = find_packages(["pure", "fast==1.0"], str(tmp_path))
    assert [name.partition("-")[0] for name in found] == ["fast", "faster", "pure"]


WANTED_IN_VAIN = ["fast>=2", "library", "spoilt", "unheard-of", "on-library", "on-nothing"]


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.parametrize("wanted", WANTED_IN_VAIN)
def test_the_distribution_has_not_everything(
    wanted: str, distribution: Distribution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_packages, "read_distribution", lambda: distribution)
    with pytest.raises(BrowserUnsupportedError, match=f"it needs {wanted}, which is not to be had"):
        find_packages([wanted])


def test_the_distribution_that_belongs_here_has_numpy() -> None:
    package = read_distribution().find(Requirement("numpy>=2"))
    assert package
    assert browser_packages.PLATFORM in package.file
    assert read_distribution().url.startswith("https://")


def test_names_in_the_distribution_may_be_written_in_any_way() -> None:
    package = read_distribution().find(Requirement("Jinja2"))
    assert package
    assert "markupsafe" in package.depends


def test_packages_that_need_each_other_are_found() -> None:
    one, other = Package("a.whl", "", "1.0", ["b"]), Package("b.whl", "", "1.0", ["a"])
    packages = Distribution("http://nowhere.invalid/", {"a": one, "b": other})
    assert packages.find(Requirement("a")) == one


class CutShort(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"not so many")

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.mark.process
@pytest.mark.socket
def test_a_distribution_that_breaks_off_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), CutShort)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    cut = {"fast": Package("fast-1.0-py3-none-any.whl", "0" * 64, "1.0", [])}
    distribution = Distribution(f"http://127.0.0.1:{server.server_port}/", cut)
    monkeypatch.setattr(browser_packages, "read_distribution", lambda: distribution)
    with pytest.raises(BrowserUnsupportedError, match="it needs fast, which is not to be had"):
        find_packages(["fast"])
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_cache_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BrowserUnsupportedError, match=r"needs pure, .* be looked for: .*file"):
        find_packages(["pure"])


def test_pages_that_were_not_built_are_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Distribution:
        raise PandoError("this installation lacks its pages")

    def run(command: list[str], **rest: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="distribution found for pure")

    monkeypatch.setattr(browser_packages, "read_distribution", fail)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(
        BrowserUnsupportedError, match="cannot be looked for: this installation lacks"
    ):
        find_packages(["pure"])


def test_nothing_is_kept_of_a_search_that_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(command: list[str], **rest: Any) -> None:
        target = next(word for word in command if word.startswith("--dest="))
        (Path(target.removeprefix("--dest=")) / "half.whl").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", cut_off)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            find_packages(["pure"])
    assert not list((tmp_path / "cache").rglob("*.whl"))


@pytest.mark.process
def test_what_has_been_found_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(tmp_path, "pure", "py3-none-any")
    first = find_packages(["pure"], str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *args, **rest: pytest.fail("pip was asked"))
    assert find_packages(["pure"], str(tmp_path)) == first


def test_the_python_in_browsers_is_one_version() -> None:
    with pytest.raises(BrowserUnsupportedError, match=r"needs python<3.13, and .* is 3\.14"):
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
    with pytest.raises(BrowserUnsupportedError, match=sentence):
        find_packages(["numpy", "other"])
