"""The `pando-server` command, as a process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from pando.cli import server_command
from pando.cli.server_command import make_parser, read_options
from pando.errors import UsageError

from ..net.clients import comes_true
from .serving import SECRET, new_key, node_at, root_at

pytestmark = pytest.mark.process


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A server that listens, or has said why it does not."""

    def __init__(self, home, *options, environment=None):
        self.port = free_port()
        self.log = home / f"log{self.port}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pando.server", *options],
                stderr=log,
                stdout=log,
                env={
                    **os.environ,
                    "HOME": str(home),
                    "PORT": str(self.port),
                    **(environment or {}),
                },
            )
        until = time.monotonic() + 60
        while not self.said.endswith("\n") and time.monotonic() < until:
            time.sleep(0.02)

    @property
    def said(self):
        return self.log.read_text()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(60)
        return self.said


@pytest.fixture
def start(tmp_path):
    started = []

    def start(*options, **environment):
        started.append(Process(tmp_path, *options, environment=environment))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.wait()


async def test_it_ends_in_order_with_roots_and_nodes_connected(start):
    server = start("--secret", SECRET)
    assert f"serving at http://localhost:{server.port}" in server.said
    key, said = new_key(), []
    async with (
        root_at(server.port, key=key, say=said.append),
        node_at(server.port, key.room) as node,
    ):
        await node.send(b"x")
        assert await node.receive() == b"x"
        text = server.end()
        assert server.process.returncode == 0
        assert await comes_true(lambda: bool(said))
        assert said[0].endswith("the server is being restarted")
        assert SECRET not in text
        assert key.room not in text
        assert "127.0.0.1" not in text


def test_ctrl_c_ends_it_by_that_signal(start):
    server = start("--secret", SECRET)
    server.end(signal.SIGINT)
    assert server.process.returncode == -signal.SIGINT


def test_a_secret_is_made_once_and_kept(start, tmp_path):
    server = start()
    text = server.end()
    made = re.search(r"the secret for runs is ([\w-]{22}) \(kept in (.*)\)", text)
    path = Path(made[2])
    assert path == tmp_path / ".pando" / "server-secret"
    assert path.read_text().strip() == made[1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = start().end()
    assert made[1] not in text
    assert str(path) in text
    path.chmod(0o644)
    assert "others can read" in start().said


def test_where_nothing_can_be_kept_a_secret_is_only_told(start, tmp_path):
    (tmp_path / "file").write_text("")
    text = start("--data", str(tmp_path / "file" / "folder")).end()
    assert "not kept" in text


async def test_addresses_are_logged_where_that_is_asked(start):
    server = start("--secret", SECRET, "--log-addresses")
    async with root_at(server.port):
        pass
    assert "is here (127.0.0.1)" in server.end()


def test_the_seeds_secret_protects_nothing_and_it_says_so(start):
    assert "INSECURE-SECRET protects nothing" in start("--secret", "INSECURE-SECRET").end()


async def test_a_run_of_the_same_user_on_the_same_machine_needs_no_secret(start):
    server = start("--secret", "INSECURE-SECRET")
    key = new_key()
    async with (
        root_at(server.port, key=key, secret=None),
        node_at(server.port, key.room) as node,
    ):
        await node.send(b"x")
        assert await node.receive() == b"x"


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("curl"), reason="needs another user")
async def test_another_user_of_the_machine_is_nobody_special(start):
    server = start("--secret", "INSECURE-SECRET")

    async def ask(user):
        # Nobody can read the interpreter's folder, so a program of the system asks.
        address = f"http://localhost:{server.port}/"
        done = await trio.run_process(["curl", "-s", address], capture_stdout=True, user=user)
        return done.stdout.decode()

    key = new_key()
    async with root_at(server.port, key=key, secret=None):
        assert key.room in await ask(os.geteuid())
        page = await ask(65_534)
        assert "Pando server" in page
        assert key.room not in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--secret", "short"], "12 to 200 characters"),
        (["--port", "99999"], "--port must be a port number"),
        (["--behind-proxy", "me"], "--behind-proxy takes"),
        (["--public-url", "x"], "--public-url takes"),
        (["--certfile", "/nowhere"], "/nowhere: not a certificate"),
        (["--keyfile", "/nowhere"], "--keyfile needs --certfile"),
        (["--secrte", "x"], "did you mean --secret"),
        (["here"], "takes no arguments"),
        (["--port"], "expected one argument"),
    ],
)
def test_wrong_use_is_one_sentence(arguments, words, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))

    class NoSignals:
        pass

    assert server_command.run_command(arguments, NoSignals()) == 2
    errors = capfd.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1


def test_a_port_that_is_taken_is_one_sentence(start, tmp_path):
    first = start("--secret", SECRET)
    second = start("--secret", SECRET, "--port", str(first.port))
    assert second.process.wait(20) == 2
    assert "Address already in use" in second.said


def test_the_environment_stands_for_options_and_options_win(tmp_path):
    environment = {"PORT": "1234", "PANDO_SECRET": "from the environment"}
    given = ["--data", str(tmp_path)]
    options, secret = read_options(make_parser().parse_args(given), environment)
    assert (options.port, secret.text) == (1234, "from the environment")
    given += ["--port", "1", "--secret", "from the options"]
    options, secret = read_options(make_parser().parse_args(given), environment)
    assert (options.port, secret.text) == (1, "from the options")
    with pytest.raises(UsageError, match="PORT must be a port number"):
        read_options(make_parser().parse_args([]), {"PORT": "x"})
    assert "from the" not in repr((options, secret))


def test_help_version_completion_and_manual(capfd):
    for arguments, words in (
        (["-h"], "--behind-proxy"),
        (["-v"], "pando "),
        (["--print-completion", "bash"], "pando-server"),
        (["--print-man"], ".TH"),
    ):
        assert server_command.run_command(arguments, None) == 0
        assert words in capfd.readouterr().out
