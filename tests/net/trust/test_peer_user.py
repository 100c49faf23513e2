"""Who is this: with real processes of this user and of another one, at both ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pando.net.trust import peer_user, socket_owner
from pando.net.trust.peer_user import find_peer_user, is_own_user

NOBODY = 65_534
HOLD = """
import os, socket, sys
if sys.argv[1] != "-":
    os.setgroups([])
    os.setgid(int(sys.argv[1]))
    os.setuid(int(sys.argv[1]))
what, host, port = sys.argv[2], sys.argv[3], int(sys.argv[4])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
held = socket.socket(family)
if what == "connect":
    held.connect((host, port))
else:
    if what == "dual":
        held.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    held.bind((host, port))
    held.listen()
    print(held.getsockname()[1], flush=True)
    held, _ = held.accept()
print("ready", flush=True)
sys.stdin.read()
"""

pytestmark = [
    pytest.mark.process,
    pytest.mark.socket,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's tables of sockets"),
]
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
USERS = [pytest.param("-", os.getuid(), id="own"), pytest.param(NOBODY, NOBODY, marks=needs_root)]


def refuse(*ends: object) -> None:
    raise OSError("a sandbox without netlink sockets")


@pytest.fixture(autouse=True, params=["kernel", "tables"])
def way(request, monkeypatch):
    """The kernel is asked, or cannot be, so that its tables are read."""
    if request.param == "tables":
        monkeypatch.setattr(peer_user, "find_owner", refuse)
    else:
        monkeypatch.setattr(peer_user, "TABLES", Path("/nowhere"))
    return request.param


@contextmanager
def holding(user: object, what: str, host: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds one end of a connection."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", HOLD, str(user), what, host, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


@pytest.mark.parametrize(("user", "expected"), USERS)
@pytest.mark.parametrize(
    ("listening", "connecting"),
    [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1"), ("::", "::ffff:127.0.0.1")],
)
def test_who_has_connected(user, expected, listening, connecting):
    with socket.create_server(
        (listening, 0),
        family=socket.AF_INET6 if ":" in listening else socket.AF_INET,
        dualstack_ipv6=listening == "::",
    ) as listener:
        port = listener.getsockname()[1]
        with (
            holding(user, "connect", connecting, port) as process,
            listener.accept()[0] as connection,
        ):
            ready(process)
            assert find_peer_user(connection) == expected
            assert is_own_user(find_peer_user(connection)) == (expected == os.getuid())


@pytest.mark.parametrize(("user", "expected"), USERS)
@pytest.mark.parametrize(
    ("listening", "connecting"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("::", "127.0.0.1")]
)
def test_who_has_accepted(user, expected, listening, connecting):
    what = "dual" if listening == "::" else "listen"
    with holding(user, what, listening, 0) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection((connecting, port)) as connection:
            ready(process)
            assert find_peer_user(connection) == expected


def test_who_has_not_accepted_yet_is_not_known():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connection,
    ):
        assert find_peer_user(connection) is None
        with listener.accept()[0] as accepted:
            assert find_peer_user(connection) == os.getuid()
            assert find_peer_user(accepted) == os.getuid()


def test_who_has_gone_is_not_known():
    """The kernel may give the sockets of those that have gone to root, which is nobody's proof."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with holding("-", "connect", "127.0.0.1", listener.getsockname()[1]) as process:
            connection, _ = listener.accept()
            ready(process)
        with connection:
            assert connection.recv(1) == b""
            assert find_peer_user(connection) is None
    assert find_peer_user(connection) is None  # nor of a socket that is closed here


def test_who_has_closed_its_half_is_not_known():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connection,
        listener.accept()[0] as accepted,
    ):
        connection.shutdown(socket.SHUT_WR)
        assert accepted.recv(1) == b""
        assert find_peer_user(accepted) is None


def test_nothing_is_known_of_other_kinds_of_connections_and_systems(way, monkeypatch, tmp_path):
    one, other = socket.socketpair()
    with one, other:
        assert find_peer_user(one) is None
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connection,
        listener.accept()[0],
    ):
        assert find_peer_user(connection) is not None
        monkeypatch.setattr(sys, "platform", "darwin")
        assert find_peer_user(connection) is None
        monkeypatch.setattr(sys, "platform", "linux")
        if way == "kernel":
            return
        monkeypatch.setattr(peer_user, "TABLES", tmp_path)
        assert find_peer_user(connection) is None
        (tmp_path / "tcp").write_bytes(b"\xff not a table")
        (tmp_path / "tcp6").write_text("  sl  local_address rem_address   st\n")
        assert find_peer_user(connection) is None


def test_the_user_whom_unknown_ones_look_like_is_nobody_s_own(monkeypatch):
    own = os.geteuid()
    assert is_own_user(own)
    assert not is_own_user(own + 1)
    assert not is_own_user(None)
    monkeypatch.setattr(peer_user, "_overflow_user", lambda: own)
    assert not is_own_user(own)


@pytest.mark.parametrize("found", [None, 7])
def test_the_tables_are_read_where_the_kernel_does_not_know_even_this_end(
    found, monkeypatch, tmp_path
):
    """As for connections that are bound to an interface, or without the kernel's module for TCP."""
    asked = []

    def find(local, remote):
        asked.append((local, remote))
        return found if len(asked) == 2 else None

    monkeypatch.setattr(peer_user, "find_owner", find)
    monkeypatch.setattr(peer_user, "TABLES", Path("/proc/net"))
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as connection,
        listener.accept()[0],
    ):
        assert find_peer_user(connection) == (os.getuid() if found is None else None)
    assert asked[0] == asked[1][::-1]


@pytest.mark.parametrize("length", [0, 3, 16, 40, 90])
def test_an_answer_that_is_cut_short_names_nobody(length):
    answer = socket_owner._header.pack(91, socket_owner.SOCK_DIAG_BY_FAMILY, 0, 1, 0) + bytes(75)
    assert socket_owner._read(answer[:length]) is None
    assert socket_owner._read(socket_owner._header.pack(36, 2, 0, 1, 0) + bytes(75)) is None
