"""The pages of a server, by real requests."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from urllib.parse import urljoin

import pytest
import trio

from tests.net.clients import Client

from ..net.clients import comes_true
from .serving import HOME, SECRET, new_key, node_at, root_at, serving

pytestmark = pytest.mark.socket


@asynccontextmanager
async def client_of(server):
    stream = await trio.open_tcp_stream(HOME, server.port)
    try:
        yield Client(stream)
    finally:
        await trio.aclose_forcefully(stream)


async def get(server, path, **headers):
    async with client_of(server) as client:
        return await client.request("GET", path, **headers)


async def test_the_first_page_says_what_this_is_and_takes_a_link():
    async with serving() as server:
        page = await get(server, "/")
        assert page.status == 200
        assert "Pando server" in page.body
        assert "<input" in page.body
        assert page.body.endswith("</html>\n")
        assert "form-action 'none'" in page.headers["content-security-policy"]
        for path in re.findall(r'(?:src|href)="(/home\.\w+)"', page.body):
            assert (await get(server, path)).status == 200


@pytest.mark.parametrize("purpose", ["", "/monitoring"])
async def test_the_pages_of_a_room_and_all_that_they_name(purpose):
    """They are the same for every room, whether or not there is a run."""
    async with serving() as server:
        path = f"/r/{'x' * 22}{purpose}"
        page = await get(server, path)
        assert page.status == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        files = re.findall(r'(?:src|href)="(\.[^"]*assets/[^"]+)"', page.body)
        assert len(files) >= 3
        for file in files:
            async with client_of(server) as client:
                head = await client.request("HEAD", urljoin(path, file), Accept_Encoding="gzip")
            assert head.status == 200, file
        assert (await get(server, f"/r/short{purpose}")).status == 404


async def test_health_and_figures():
    key = new_key()
    async with serving() as server:
        assert (await get(server, "/healthz")).body == "ok\n"
        async with root_at(server.port, key=key), node_at(server.port, key.room) as node:
            await node.send(b"x")
            await node.receive()
            page = await get(server, "/metrics")
        assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "pando_server_rooms 1\n" in page.body
        assert "pando_server_nodes 1\n" in page.body
        assert re.search(r"pando_server_bytes_to_nodes_total [1-9]", page.body)
        for line in page.body.splitlines():
            assert re.fullmatch(r"# (HELP|TYPE) [a-z_]+ .+|[a-z_]+ \d+", line), line
        assert key.room not in page.body
        assert SECRET not in page.body


async def test_runs_are_listed_for_the_same_user_alone():
    key = new_key()
    async with serving(lambda socket: True) as server, root_at(server.port, key=key):
        assert await comes_true(lambda: bool(server.rooms.rooms))
        assert key.room in (await get(server, "/", Host=f"localhost:{server.port}")).body
        for headers in (
            {"Host": "rebound.evil.example"},
            {"Host": "localhost", "X_Forwarded_For": "192.0.2.1"},
        ):
            assert key.room not in (await get(server, "/", **headers)).body
        async with client_of(server) as client:  # a connection of a proxy, used again
            assert key.room in (await client.request("GET", "/", Host="localhost")).body
            forwarded = await client.request("GET", "/", Host="localhost", Via="1.1 proxy")
            assert key.room not in forwarded.body
    async with serving() as server, root_at(server.port, key=key):
        assert key.room not in (await get(server, "/", Host="localhost")).body


async def test_what_is_not_there():
    async with serving(public_url="https://pando.example.org") as server:
        assert (await get(server, "/nothing")).status == 404
        assert (await get(server, "/", Host="evil.example")).status == 421
        assert (await get(server, "/", Host="pando.example.org")).status == 200
        assert (await get(server, "/control")).status == 404
