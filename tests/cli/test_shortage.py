"""Few files, little memory, absurd options: one true sentence each, or nothing is noticed."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pando.cli import shortage
from pando.cli.shortage import FILES, MEMORY, MIN_FILES, THREADS, describe_shortage

from ..processes import environment
from ..roots import ROOT, SQUARE, VOLUNTEER

LIMITED = [*ROOT, "module.py", "3", "4", "--port=0", "--quiet"]


def run_limited(
    folder: Path, limit: int, amount: int, command: list[str] = LIMITED
) -> subprocess.CompletedProcess[str]:
    (folder / "module.py").write_text(SQUARE.format(seconds=0))
    return subprocess.run(
        command,
        cwd=folder,
        preexec_fn=lambda: resource.setrlimit(limit, (amount, amount)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(folder),
    )


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.parametrize("files", [8, 12, 16, 20, 32, 39])
@pytest.mark.parametrize(
    "command", [LIMITED, [*VOLUNTEER, "http://localhost:1/"]], ids=["pando", "pando-volunteer"]
)
def test_few_files(tmp_path: Path, files: int, command: list[str]) -> None:
    done = run_limited(tmp_path, resource.RLIMIT_NOFILE, files, command)
    assert (done.returncode, done.stdout) == (1, "")
    needs = f"this program needs {MIN_FILES} file descriptors, and may have {files} (`ulimit -n`)\n"
    assert done.stderr.endswith(needs)
    assert done.stderr.count("\n") == 1


@pytest.mark.process
@pytest.mark.socket
@pytest.mark.parametrize("megabytes", [48, 64, 80, 96])
def test_little_memory(tmp_path: Path, megabytes: int) -> None:
    done = run_limited(tmp_path, resource.RLIMIT_AS, megabytes * 1024 * 1024)
    if done.returncode == 0:
        assert (done.stdout, done.stderr) == ("9\n16\n", "")
        return
    assert done.stdout in ("", "9\n", "9\n16\n")
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("pando: ")


@pytest.mark.process
@pytest.mark.parametrize("address", ["nonsense", "999.1.1.1", "no such host", "::x"])
def test_an_address_to_listen_on_that_is_none_is_said_at_once(tmp_path: Path, address: str) -> None:
    command = [*ROOT, "module.py", "3", "--listen", address]
    done = run_limited(tmp_path, resource.RLIMIT_CORE, 0, command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"pando: cannot listen on {address}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), MEMORY),
        (OSError(errno.EMFILE, "Too many open files"), FILES),
        (OSError(errno.ENFILE, "Too many open files"), FILES),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), MEMORY),
        (RuntimeError("can't start new thread"), THREADS),
        (ExceptionGroup("", [ValueError(), ExceptionGroup("", [MemoryError()])]), MEMORY),
        (OSError(errno.ENOENT, "No such file"), ""),
        (OSError("no number"), ""),
        (RuntimeError("another"), ""),
        (ExceptionGroup("", [ValueError()]), ""),
    ],
)
def test_what_is_short(error: BaseException, sentence: str) -> None:
    assert describe_shortage(error) == sentence


def test_enough_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for soft in (MIN_FILES, resource.RLIM_INFINITY):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, soft=soft: (soft, soft))
        assert shortage.describe_limits() == ""


@pytest.mark.parametrize(("called", "name"), [("/bin/pando-top", "pando-top"), ("-c", "pando")])
def test_who_complains(
    called: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    assert shortage.complain("no") == 1
    assert capsys.readouterr().err == f"{name}: no\n"
    monkeypatch.setattr(sys, "stderr", None)
    assert shortage.complain("no") == 1
