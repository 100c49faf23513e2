"""What a server writes, with all that its libraries log: no tokens, and no addresses unasked."""

from __future__ import annotations

import re
import socket
import sys
from contextlib import suppress

import pytest
import trio
from websockets.exceptions import InvalidHandshake, InvalidState

from pando.channel import ChannelClosedError

from ..processes import wait_until
from ..roots import free_port
from .runs import SECRET, Said, Scene
from .serving import HOME, node_at

pytestmark = pytest.mark.process

SERVER_AT_DEBUG = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
logging.getLogger("pando.server").debug("everything is logged")
from pando.cli.server import main
sys.exit(main())
"""
STRANGER = "203.0.113.9"


class LoggingServer(Said):
    """A server all of whose loggers are at DEBUG."""

    def __init__(self, scene: Scene, *options: str) -> None:
        port = free_port()
        log = scene.folder / "server.log"
        log.write_text("")
        command = [sys.executable, "-c", SERVER_AT_DEBUG, "--port", str(port), *options]
        super().__init__(command, log, scene.folder, PANDO_SECRET=SECRET)
        self.port = port
        scene.add(self)
        assert self.says("serving at"), self.said


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


def annoy(port, room):
    """What strangers send: wrong paths, garbage, too much, and addresses that they invent."""
    for request in (
        b"GET /nowhere?token=a-token-of-somebody HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000,
        b"\0" * 100,
    ):
        with suppress(OSError), socket.create_connection((HOME, port)) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(100)

    async def join():
        for wanted in (room, "x" * 22):
            with suppress(ChannelClosedError, InvalidHandshake, InvalidState):
                async with node_at(port, wanted, X_Forwarded_For=STRANGER) as node:
                    await node.send_part(b"no part")
                    await node.ending()

    trio.run(join)


@pytest.mark.parametrize("asked", [False, True])
def test_logs_name_no_tokens_and_addresses_only_where_asked(scene, asked):
    server = LoggingServer(scene, f"--behind-proxy={HOME}", *(["--log-addresses"] if asked else []))
    run = scene.run(f"localhost:{server.port}", f"--secret={SECRET}", items=range(20))
    scene.run(f"localhost:{server.port}", "--secret=wrong but long enough", name="wrong")
    link, monitoring = run.link, run.monitoring_link
    scene.volunteer(link)
    assert wait_until(lambda: run.lines() == 10)
    room = re.search(r"/r/([\w-]+)", link)[1]
    annoy(server.port, room)
    assert server.says("its secret is wrong")
    run.finish()
    assert server.says("has gone")
    tokens = {SECRET, "wrong but long enough", "a-token-of-somebody"}
    for each in (link, monitoring):
        after = each.partition("#")[2]
        tokens |= {after, *after.split("."), after[22:]} - {""}
    assert len(tokens) > 4
    assert not [token for token in tokens if token in server.said]
    assert "DEBUG:pando.server:everything is logged" in server.said
    assert (HOME in server.said) == asked
    assert STRANGER not in server.said
