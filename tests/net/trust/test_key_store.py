"""Links that last: kept for a user and a module, in whatever state the disk is."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pando.net.trust import key_store
from pando.net.trust.join_link import LinkSecret
from pando.net.trust.key_store import FOLDER, LIFETIME_SECONDS, KeyStore
from pando.net.trust.keys import RootKeys

DAY = 24 * 3600
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def store(home, clock):
    return KeyStore(home, clock)


@pytest.fixture
def script(tmp_path):
    script = tmp_path / "work.py"
    script.touch()
    return script


def use(store: KeyStore, module: Path | None, **options: bool):
    """Open a link and close it again."""
    link = store.open(module, **options)
    keys, was_kept, note = link.keys, link.is_kept, link.note
    link.close()
    return keys, was_kept, note


def kept_file(home: Path) -> Path:
    (path,) = (home / FOLDER).glob("*.json")
    return path


def test_a_link_lasts(store, script, home):
    link = store.open(script)
    assert link.is_kept
    assert not link.note
    link.remember(5001)
    link.close()
    again = store.open(script)
    assert again.keys == link.keys
    assert again.keys.port == 5001
    again.close()


def test_the_fingerprint_is_that_of_the_keys(store, script):
    keys, _, _ = use(store, script)
    assert RootKeys(keys.exchange, keys.signing).public.fingerprint == keys.fingerprint


def test_only_the_user_can_read_it(store, script, home):
    old = os.umask(0)
    try:
        keys, _, _ = use(store, script)
    finally:
        os.umask(old)
    folder = home / FOLDER
    for path in (folder, folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.secret.value.hex() not in repr(keys)
    assert repr(keys.exchange) not in repr(keys)


def test_each_module_has_its_link_and_names_of_one_file_have_the_same(store, script, tmp_path):
    first, _, _ = use(store, script)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "work.py"
    other.touch()
    assert use(store, other)[0] != first
    (tmp_path / "name.py").symlink_to(script)
    assert use(store, tmp_path / "name.py")[0] == first
    assert use(store, tmp_path / "other" / ".." / "work.py")[0] == first


def test_it_ends_30_days_after_its_last_use(store, script, clock):
    first, _, _ = use(store, script)
    for _ in range(3):
        clock.now += LIFETIME_SECONDS
        assert use(store, script)[0] == first
    clock.now += LIFETIME_SECONDS + 1
    later, was_kept, note = use(store, script)
    assert later != first
    assert was_kept
    assert not note
    assert later.fingerprint != first.fingerprint
    clock.now -= 1000 * DAY  # a clock that is set back ends no link
    assert use(store, script)[0] == later


def test_the_end_of_a_long_run_is_its_last_use(store, script, clock):
    link = store.open(script)
    clock.now += 100 * DAY
    link.close()
    clock.now += 29 * DAY
    assert use(store, script)[0] == link.keys


def test_a_new_link_replaces_it(store, script):
    first, _, _ = use(store, script)
    second, was_kept, note = use(store, script, new_link=True)
    assert second.secret != first.secret
    assert was_kept
    assert not note
    assert use(store, script)[0] == second
    # The root stays the same, and so can tell who has the old link that it has ended.
    assert second.fingerprint == first.fingerprint


def test_a_chosen_secret_is_used_and_not_written_down(store, script, home):
    first, _, _ = use(store, script)
    chosen = LinkSecret.choose("correct horse battery")
    for module in (script, None):
        link = store.open(module, chosen=chosen)
        link.remember(5003)
        assert link.secret == chosen
        link.close()
    link = store.open(script)
    assert (link.secret, link.keys.fingerprint) == (first.secret, first.fingerprint)
    link.close()
    assert "horse" not in kept_file(home).read_text()


def test_what_is_no_file_has_a_fresh_link(store, home):
    first, was_kept, note = use(store, None)
    assert use(store, None)[0] != first
    assert not was_kept
    assert not note
    assert not (home / FOLDER).exists()


def test_the_second_of_two_runs_at_once_has_another_link(store, script):
    first = store.open(script)
    second = store.open(script)
    assert second.keys.secret != first.keys.secret
    assert second.keys.fingerprint != first.keys.fingerprint
    assert not second.is_kept
    assert "another run of this module is under way" in second.note
    second.remember(5002)
    second.close()
    first.close()
    assert use(store, script)[0] == first.keys


@pytest.mark.process
def test_two_processes_at_once_and_one_after_the_other_s_death(store, script, home):
    code = (
        "import sys; from pathlib import Path; from pando.net.trust.key_store import KeyStore\n"
        "link = KeyStore(Path(sys.argv[1]), lambda: 1.8e9).open(Path(sys.argv[2]))\n"
        "print(link.is_kept, link.keys.secret, flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home), str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        is_kept, secret = process.stdout.readline().split()
        assert is_kept == "True"
        keys, was_kept, _ = use(store, script)
        assert not was_kept
        assert str(keys.secret) != secret
        process.kill()
    keys, was_kept, _ = use(store, script)
    assert was_kept
    assert str(keys.secret) == secret


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: b"\xff\xfe",
        lambda data: b"[]",
        lambda data: b"1" * 20_000,
        lambda data: data[:-20],
        lambda data: data.replace(b'"port": 0', b'"port": 1'),
        lambda data: data.replace(b'"version": 1', b'"version": 2'),
        lambda data: b"[" * 9_999,
    ],
)
def test_a_damaged_file_is_replaced(store, script, home, spoil):
    first, _, _ = use(store, script)
    path = kept_file(home)
    path.write_bytes(spoil(path.read_bytes()))
    second, was_kept, note = use(store, script)
    assert second != first
    assert was_kept
    assert "damaged" in note
    assert use(store, script) == (second, True, "")


@pytest.mark.parametrize("field", ["exchange", "signing", "fingerprint", "secret", "port"])
@pytest.mark.parametrize("value", ["", "AAAA", "=", None, [], 1.5, "x", -1, 70_000])
def test_a_file_of_somebody_who_knows_the_format_is_no_crash(store, script, home, field, value):
    use(store, script)
    path = kept_file(home)
    content = json.loads(path.read_text())
    del content["check"]
    content[field] = value
    path.write_text(json.dumps({**content, "check": key_store._check(content)}))
    keys, was_kept, _ = use(store, script)
    assert was_kept
    assert len(keys.exchange) == len(keys.signing) == 32
    assert len(keys.fingerprint) == len(keys.secret.value) == 16


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o666])
def test_a_file_that_others_could_read_or_change_is_replaced(store, script, home, mode):
    first, _, _ = use(store, script)
    kept_file(home).chmod(mode)
    second, was_kept, note = use(store, script)
    assert second != first
    assert was_kept
    assert "others could have" in note
    assert stat.S_IMODE(kept_file(home).stat().st_mode) == 0o600


@needs_root
def test_a_file_of_another_user_is_replaced(store, script, home):
    first, _, _ = use(store, script)
    os.chown(kept_file(home), 65_534, 65_534)
    second, was_kept, note = use(store, script)
    assert second != first
    assert was_kept
    assert "others could have" in note
    assert kept_file(home).stat().st_uid == os.geteuid()


@needs_root
def test_a_folder_of_another_user_is_left_alone(store, script, home):
    use(store, script)
    os.chown(home / FOLDER, 65_534, 65_534)
    before = sorted((home / FOLDER).iterdir())
    keys, was_kept, note = use(store, script)
    assert not was_kept
    assert "belongs to somebody else" in note
    assert use(store, script)[0] != keys
    assert sorted((home / FOLDER).iterdir()) == before


def test_a_folder_that_others_could_look_into_is_closed(store, script, home):
    first, _, _ = use(store, script)
    (home / FOLDER).chmod(0o755)
    assert use(store, script)[0] == first
    assert stat.S_IMODE((home / FOLDER).stat().st_mode) == 0o700


def test_links_to_files_elsewhere_are_not_followed(store, script, home, tmp_path):
    first, _, _ = use(store, script)
    path = kept_file(home)
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    second, was_kept, note = use(store, script)
    assert second != first
    assert was_kept
    assert "cannot be read" in note
    assert not path.is_symlink()
    (home / FOLDER).rename(tmp_path / "folder")
    (home / FOLDER).symlink_to(tmp_path / "folder")
    _, was_kept, note = use(store, script)
    assert not was_kept
    assert "belongs to somebody else" in note


def test_a_file_that_is_a_pipe(store, script, home):
    use(store, script)
    path = kept_file(home)
    path.unlink()
    os.mkfifo(path, 0o600)
    keys, was_kept, note = use(store, script)
    assert was_kept
    assert "damaged" in note
    assert use(store, script)[0] == keys


def test_a_file_that_is_a_folder(store, script, home):
    use(store, script)
    path = kept_file(home)
    path.unlink()
    path.mkdir()
    keys, was_kept, note = use(store, script)
    assert not was_kept
    assert "not kept" in note
    assert use(store, script)[0] != keys


def test_no_home(script, tmp_path, monkeypatch, clock):
    for home in (tmp_path / "missing" / "home", script):
        _, was_kept, note = use(KeyStore(home, clock), script)
        assert not was_kept
        assert "not kept for the next run" in note

    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    _, was_kept, note = use(KeyStore(clock=clock), script)
    assert not was_kept
    assert "Could not determine home directory" in note


@needs_root
@pytest.mark.process
def test_a_home_that_cannot_be_written():
    """As another user: root can write anywhere."""
    code = (
        "import os; from pathlib import Path; import pando.net.trust.keys\n"
        "from pando.net.trust.key_store import KeyStore\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "link = KeyStore(Path('/')).open(Path('/work.py'))\n"
        "print(link.is_kept, len(link.keys.exchange), link.note)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False 32 this link is not kept for the next run: Permission")


@pytest.mark.parametrize("function", ["write", "fsync", "replace"])
def test_a_full_disk(store, script, home, monkeypatch, function):
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill_disk(patch: pytest.MonkeyPatch) -> None:
        if function == "write":
            patch.setattr(key_store, "_encode", fail)
        else:
            patch.setattr(os, function, fail)

    with monkeypatch.context() as patch:
        fill_disk(patch)
        first, was_kept, note = use(store, script)
        assert not was_kept
        assert "No space left on device" in note
        assert use(store, script)[0] != first
    assert [path.suffix for path in (home / FOLDER).iterdir()] == [".lock"]
    kept, _, _ = use(store, script)
    with monkeypatch.context() as patch:  # a link that is there goes on
        fill_disk(patch)
        link = store.open(script)
        assert link.keys == kept
        assert link.is_kept
        link.remember(5005)
        link.close()
        # One that was to replace it does not, and is not said to be kept.
        _, was_kept, note = use(store, script, new_link=True)
        assert not was_kept
        assert "No space left on device" in note
    assert use(store, script)[0] == kept


def test_a_file_system_that_has_no_locks(store, script, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(key_store.fcntl, "flock", fail)
    _, was_kept, note = use(store, script)
    assert not was_kept
    assert os.strerror(errno.ENOLCK) in note


@pytest.mark.process
def test_a_kept_link_is_printed_without_cryptography(store, script, home):
    use(store, script)
    code = (
        "import sys; from pathlib import Path\n"
        "from pando.net.trust import join_link, key_store, peer_user\n"
        "keys = key_store.KeyStore(Path(sys.argv[1]), lambda: 1.8e9).open(Path(sys.argv[2])).keys\n"
        "print(join_link.JoinLink('host:1', False, keys.fingerprint, keys.secret))\n"
        "print(*sorted(m for m in sys.modules if m.startswith('cryptography')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(home), str(script)],
        capture_output=True,
        text=True,
        check=True,
    )
    link, loaded = done.stdout.splitlines()
    assert link.startswith("http://host:1/#")
    assert loaded == ""
