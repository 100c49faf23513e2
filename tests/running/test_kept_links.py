"""Links that last: which link a run has, on which port, and what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pando
from pando.net.trust.join_link import JoinLink
from pando.net.trust.key_store import FOLDER, KeyStore
from pando.running import kept_links
from pando.running.endpoint import Endpoint
from pando.running.kept_links import module_of, open_link_of
from pando.running.serve_options import ServeOptions

from ..processes import GENEROUS_SECONDS, environment, run_command, wait_until
from ..roots import Party, free_port

KEPT = " (kept for later runs)"


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    with Party(tmp_path) as party:
        yield party


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(kept_links, "KeyStore", lambda: KeyStore(home))
    return home


# ---- which link ----


def test_a_script_s_link_is_kept_and_others_are_fresh(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "script.py"
    script.touch()
    main = sys.modules["__main__"]
    monkeypatch.setattr(main, "__file__", str(script), raising=False)
    assert module_of(ServeOptions()) == script
    assert module_of(ServeOptions(link_for=tmp_path / "module.py")) == tmp_path / "module.py"
    assert module_of(ServeOptions(link_for="")) is None
    monkeypatch.setattr(main, "__file__", "<stdin>")
    assert module_of(ServeOptions()) is None
    monkeypatch.delattr(main, "__file__")  # as in a notebook's kernel, and with -c
    assert module_of(ServeOptions()) is None


def test_a_token_of_one_s_own_and_a_new_link(home: Path, tmp_path: Path) -> None:
    def link(**options: object) -> tuple[bytes, bytes]:
        held = open_link_of(ServeOptions(link_for=tmp_path / "m.py", **options))  # type: ignore[arg-type]
        held.close()
        return held.keys.fingerprint, held.secret.value

    first = link()
    assert link() == first
    assert link(token="correct horse") == (first[0], b"correct horse")
    assert link() == first
    replaced = link(new_link=True)
    assert replaced[0] == first[0], "the keys stay, so that it can be proved that a link has ended"
    assert replaced[1] != first[1]
    assert link() == replaced


@pytest.mark.parametrize("token", ["", "eleven char", "x" * 201, "two lines\nof text"])
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(pando.UsageError, match="a token must"):
        ServeOptions(token=token)


def test_a_token_and_an_open_run_exclude_each_other() -> None:
    with pytest.raises(pando.UsageError, match="exclude each other"):
        ServeOptions(token="correct horse", open=True)


def test_the_kept_port_counts_where_the_options_allow_it(home: Path, tmp_path: Path) -> None:
    held = open_link_of(ServeOptions(link_for=tmp_path / "m.py"))
    held.remember(5003)
    for options, expected in (
        (ServeOptions(), 5003),
        (ServeOptions(port=0), 5003),
        (ServeOptions(port=5003), 5003),
        (ServeOptions(port=6000), 0),
        (ServeOptions(port=5000, any_port=False), 0),
        (ServeOptions(listen="127.0.0.1"), 0),
        (ServeOptions(open=True), 0),
    ):
        endpoint = Endpoint(
            None if options.open else lambda: held, view_token="", management_token=""
        )
        assert endpoint.kept_port(options) == expected, options


# ---- the command ----


@pytest.mark.process
@pytest.mark.socket
def test_the_same_module_has_the_same_link_and_port_again(party: Party, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / ".pando").mkdir()
    (tmp_path / ".pando" / "config.json").write_text(json.dumps({"listen": "127.0.0.1"}))
    links = []
    for options in ((), (), ("--new-link",), ()):
        root = party.root("--link-host=localhost", *options, items=1, port=port, home=tmp_path)
        assert KEPT in root.errors.read_text()
        links.append(JoinLink.parse(root.printed_link))
        root.finish()
    assert links[0] == links[1]
    assert links[2] == links[3] != links[1]
    assert len({link.fingerprint for link in links}) == 1
    (kept,) = (tmp_path / FOLDER).glob("*.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert json.loads(kept.read_text())["port"] == port


@pytest.mark.process
@pytest.mark.socket
def test_two_runs_at_once_and_a_port_that_is_taken(party: Party, tmp_path: Path) -> None:
    """The second has a fresh link; later, a module whose port is taken says what that means."""
    first = party.root("--start-idle", items=1, hold=True, home=tmp_path)
    ends = [JoinLink.parse(first.printed_link)]
    second = party.root("--start-idle", items=1, hold=True, home=tmp_path)
    said = second.errors.read_text()
    assert "another run of this module is under way, so this one has a fresh link" in said
    assert KEPT not in said
    ends.append(JoinLink.parse(second.printed_link))
    assert ends[0].secret != ends[1].secret
    assert ends[0].fingerprint != ends[1].fingerprint
    first.end()
    second.end()
    holder = party.root("--start-idle", items=1, hold=True, port=first.port, name="other.py")
    program = SERVING.format(module=str(tmp_path / "module.py"), first=first.port - 1)
    sentence = f"port {first.port}, where devices wait for the next run, is taken: they will not"
    said = serve(program, tmp_path)
    assert sentence in said
    assert f":{first.port}/" not in said
    holder.end()
    said = serve(program, tmp_path)
    assert sentence not in said
    assert f":{first.port}/" in said, "who waits there has been waited for"


def serve(program: str, home: Path) -> str:
    """Return what a program prints that serves a run."""
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=environment(home),
        timeout=3 * GENEROUS_SECONDS,
        check=True,
    ).stdout


SERVING = """
import trio
from pando.running.serve_options import ServeOptions
from pando.running.shared_server import shared_server

async def main():
    options = ServeOptions(port={first}, link_for={module!r})
    for _ in range(2):
        async with shared_server(options, print) as server:
            print(server.links)

trio.run(main)
"""


@pytest.mark.process
@pytest.mark.socket
def test_a_volunteer_ends_in_order_when_its_link_has_ended(party: Party, tmp_path: Path) -> None:
    """And while the link lasts it waits for the next run, which it then computes."""
    options = ("--start-idle", "--listen=127.0.0.1", "--ask-token")
    root = party.root(*options, items=7, hold=True, home=tmp_path)
    volunteer = party.volunteer(root, "tablet", link=root.printed_link)
    root.release()
    root.finish()
    assert wait_until(lambda: "waiting for the next one" in party.said("tablet"))
    again = party.root(*options, items=5, port=root.port, home=tmp_path)
    again.finish()
    replaced = party.root(*options, "--new-link", items=1, port=root.port, home=tmp_path, hold=True)
    assert volunteer.wait(2 * GENEROUS_SECONDS) == 0, party.said("tablet")
    assert "this link has ended" in party.said("tablet")
    assert "delivered 12 results" in party.said("tablet")
    replaced.end()


@pytest.mark.process
@pytest.mark.socket
def test_nothing_is_said_of_a_next_run_where_the_link_does_not_last(
    party: Party, tmp_path: Path
) -> None:
    no_folder = tmp_path / "home"
    no_folder.touch()
    root = party.root("--start-idle", "--ask-token", items=7, home=no_folder)
    assert "this link is not kept for the next run" in root.errors.read_text()
    assert KEPT not in root.errors.read_text()
    volunteer = party.volunteer(root, "tablet", link=root.printed_link)
    root.finish()
    assert wait_until(lambda: "the run has ended" in party.said("tablet"))
    assert "waiting for the next one" not in party.said("tablet")
    assert volunteer.poll() is None


@pytest.mark.process
@pytest.mark.socket
def test_a_token_from_a_file(party: Party, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("\ufeffcorrect horse battery\nanother line\n")
    root = party.root("--start-idle", f"--token-file={file}", "--ask-token", items=3, hold=True)
    link = JoinLink.parse(root.printed_link)
    assert link.secret is not None
    assert link.secret.value == b"correct horse battery"
    party.volunteer(root, "tablet", link=root.printed_link)
    root.release()
    root.finish()


@pytest.mark.process
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--token=short"], "a token must have 12 to 200 characters"),
        (["--token=x", "--token-file=y"], "--token and --token-file are mutually exclusive"),
        (["--token-file=/dev/null/x"], "/dev/null/x cannot be read: Not a directory"),
        (["--token=correct horse", "--open"], "token and open exclude each other"),
    ],
)
def test_what_is_wrong_is_one_sentence(options: list[str], sentence: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text("def pando(x):\n    return x\n")
    done = run_command(module, "--serve", *options, "1")
    assert done.returncode == 2
    assert done.stderr.decode().startswith(f"pando: {sentence}")
