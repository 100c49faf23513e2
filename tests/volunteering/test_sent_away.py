"""What a device that was sent away keeps, and what it makes of a file that is not its own."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pando.volunteering import sent_away
from pando.volunteering.sent_away import LIFETIME_SECONDS, SentAwayFiles

ROOT, OTHER_ROOT = b"f" * 32, b"g" * 32


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / ".pando" / "sent-away"
    monkeypatch.setattr(sent_away, "FOLDER", folder)
    return folder


def test_it_is_kept_for_its_root_and_its_user_alone(folder: Path) -> None:
    assert SentAwayFiles().read(ROOT) == ""
    SentAwayFiles().keep(ROOT, "secret")
    assert SentAwayFiles().read(ROOT) == "secret"
    assert SentAwayFiles().read(OTHER_ROOT) == ""
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_who_has_read_or_kept_it_forgets_it_and_nobody_else() -> None:
    SentAwayFiles().keep(ROOT, "secret")
    SentAwayFiles().forget(ROOT)  # another volunteer of this user, which was not sent away
    own = SentAwayFiles()
    assert own.read(ROOT) == "secret"
    own.forget(ROOT)
    assert SentAwayFiles().read(ROOT) == ""
    own.forget(ROOT)


def test_another_machine_with_the_same_home_is_another_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    SentAwayFiles().keep(ROOT, "secret")
    monkeypatch.setattr("socket.gethostname", lambda: "another machine")
    assert SentAwayFiles().read(ROOT) == ""


def test_a_file_that_others_could_have_written_counts_for_nothing(folder: Path) -> None:
    SentAwayFiles().keep(ROOT, "secret")
    (file,) = folder.iterdir()
    file.chmod(0o666)
    assert SentAwayFiles().read(ROOT) == ""
    file.unlink()
    file.symlink_to("/etc/hostname")
    assert SentAwayFiles().read(ROOT) == ""
    file.unlink()
    os.mkfifo(file)
    assert SentAwayFiles().read(ROOT) == ""


def test_it_ends_when_what_is_certified_does_and_old_files_go(folder: Path) -> None:
    SentAwayFiles().keep(ROOT, "secret")

    def later() -> float:
        return time.time() + LIFETIME_SECONDS + 60

    assert SentAwayFiles(later).read(ROOT) == ""
    SentAwayFiles(later).keep(OTHER_ROOT, "new")
    assert len(list(folder.iterdir())) == 1


def test_where_nothing_can_be_written_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent_away, "FOLDER", Path("/proc/nowhere"))
    SentAwayFiles().keep(ROOT, "secret")
    assert SentAwayFiles().read(ROOT) == ""
