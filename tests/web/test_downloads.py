"""Files for browsers: sent in pieces, few at once to one address, and never expanded here."""

from __future__ import annotations

import gzip

import pytest
import trio
import trio.testing

from pando.web import frontend_files
from pando.web.downloads import PIECE_BYTES, Download, Downloads

from ..net.clients import GENEROUS_SECONDS, Client, client_of, serving


async def test_a_file_comes_whole() -> None:
    data = bytes(range(256)) * 1000
    async with Downloads().start(data, "10.0.0.1") as download:
        pieces = [piece async for piece in download]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) == PIECE_BYTES


async def test_others_of_an_address_wait_for_their_turn(autojump_clock: object) -> None:
    downloads = Downloads(per_address=2)
    scopes = {name: trio.CancelScope() for name in ("a", "b", "c", "elsewhere")}
    begun: set[str] = set()

    async def download(name: str, address: str) -> None:
        with scopes[name]:
            async with downloads.start(b"x", address):
                begun.add(name)
                await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        for name in ("a", "b", "c"):
            nursery.start_soon(download, name, "10.0.0.1")
        nursery.start_soon(download, "elsewhere", "10.0.0.2")
        await trio.testing.wait_all_tasks_blocked()
        assert len(begun) == 3
        assert "elsewhere" in begun
        scopes[next(iter(begun - {"elsewhere"}))].cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert begun == set(scopes)
        nursery.cancel_scope.cancel()
    assert not downloads._turns, "addresses are forgotten"


def head_of(name: str) -> bytes:
    return (
        f"GET /assets/{name} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    )


async def read_until(client: Client, end: bytes) -> bytes:
    whole = bytearray()
    with trio.fail_after(GENEROUS_SECONDS):
        while not whole.endswith(end):
            whole += await client.stream.receive_some()
    return bytes(whole)


@pytest.mark.socket
async def test_a_client_that_does_not_read_costs_one_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    large = frontend_files.File(bytes(64 * 1024 * 1024), frontend_files.TYPES[".wasm"])
    monkeypatch.setattr(frontend_files, "read_file", lambda name: large)
    made: list[int] = []
    give_piece = Download.__anext__

    async def counted(self: Download) -> bytes:
        piece = await give_piece(self)
        made.append(len(piece))
        return piece

    monkeypatch.setattr(Download, "__anext__", counted)
    async with serving() as served, client_of(served) as client:
        await client.send(head_of("x.wasm"))
        with trio.fail_after(GENEROUS_SECONDS):
            while not made:  # noqa: ASYNC110 - there is no event of it
                await trio.sleep(0.01)
        await trio.sleep(0.3)
        assert sum(made) < len(large.data) / 4, "the operating system's buffers and one piece"


@pytest.mark.socket
async def test_a_client_that_goes_away_lets_others_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    large = frontend_files.File(bytes(16 * 1024 * 1024) + b"end", frontend_files.TYPES[".wasm"])
    monkeypatch.setattr(frontend_files, "read_file", lambda name: large)
    monkeypatch.setattr("pando.web.app.Downloads", lambda: Downloads(per_address=1))
    async with serving() as served, client_of(served) as first, client_of(served) as second:
        await first.send(head_of("x.wasm"))
        assert await first.stream.receive_some(1)
        await second.send(head_of("x.wasm"))
        await trio.aclose_forcefully(first.stream)
        assert (await read_until(second, b"end")).startswith(b"HTTP/1.1 200")


@pytest.mark.socket
async def test_what_is_compressed_is_for_those_who_take_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = gzip.compress(b"text" * 1000)
    file = frontend_files.File(data, frontend_files.TYPES[".js"], compressed=True)
    monkeypatch.setattr(frontend_files, "read_file", lambda name: file)
    async with serving() as served, client_of(served) as client:
        for accepted in ("", "br, gzip;q=0"):
            refused = await client.request("GET", "/assets/x.js", Accept_Encoding=accepted)
            assert refused.status == 406
            assert refused.body == "This file is compressed: accept gzip to have it.\n"
        await client.send(head_of("x.js"))
        whole = await read_until(client, data)
        assert whole.startswith(b"HTTP/1.1 200")
        assert f"content-length: {len(data)}".encode() in whole.lower()
