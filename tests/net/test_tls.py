"""TLS of connections: authorities, pinned certificates, and http taken for https."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

import pando
from pando.channel import Channel, ChannelClosedError
from pando.net import websocket
from pando.net.listener import ConnectionServer
from pando.net.request_policy import RequestPolicy
from pando.net.tls import client_context, fingerprint_of, own_fingerprint

pytestmark = pytest.mark.socket


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def write(folder: Path, name: str, blob: trustme.Blob) -> Path:
    path = folder / name
    blob.write_to_path(path)
    return path


@pytest.fixture
def certificate(authority: trustme.CA, tmp_path: Path) -> Path:
    return write(
        tmp_path, "server.pem", authority.issue_cert("localhost").private_key_and_cert_chain_pem
    )


def self_signed(folder: Path) -> Path:
    """A certificate that is signed by itself, with its key."""
    authority = trustme.CA(organization_name="me")
    path = folder / "own.pem"
    path.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    return path


@asynccontextmanager
async def served(certfile: Path | None) -> AsyncIterator[str]:
    """A node that takes any connection; gives its address."""
    tls = None
    if certfile is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certfile)

    async def serve(channel: Channel, address: str) -> None:
        await trio.sleep_forever()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ConnectionServer(RequestPolicy(), serve, tls=tls).run, listeners)
        yield f"localhost:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_an_authority_that_is_named(
    certificate: Path, authority: trustme.CA, tmp_path: Path
) -> None:
    cafile = write(tmp_path, "ca.pem", authority.cert_pem)
    async with (
        served(certificate) as address,
        websocket.connect(address, tls=client_context(cafile, "")) as channel,
    ):
        assert channel.last_activity


async def test_an_unknown_authority_is_not_believed(certificate: Path) -> None:
    async with served(certificate) as address:
        with pytest.raises(ChannelClosedError, match=r"not trusted here: .*; pass .* --cafile"):
            async with websocket.connect(address, tls=client_context(None, "")):
                pass


async def test_a_certificate_that_the_link_names(tmp_path: Path) -> None:
    own = self_signed(tmp_path)
    fingerprint = own_fingerprint(own)
    assert len(fingerprint) == 22
    context = client_context(None, fingerprint)
    async with (
        served(own) as address,
        websocket.connect(address, tls=context, fingerprint=fingerprint) as channel,
    ):
        assert channel.last_activity


async def test_another_certificate_than_the_link_names(certificate: Path, tmp_path: Path) -> None:
    fingerprint = own_fingerprint(self_signed(tmp_path))
    async with served(certificate) as address:
        with pytest.raises(ChannelClosedError, match="another certificate than the link names"):
            async with websocket.connect(
                address, tls=client_context(None, fingerprint), fingerprint=fingerprint
            ):
                pass


def test_what_an_authority_has_signed_is_not_pinned(certificate: Path) -> None:
    assert own_fingerprint(certificate) == ""


def test_a_fingerprint_is_of_the_whole_certificate() -> None:
    assert fingerprint_of(b"one") != fingerprint_of(b"two")


async def test_https_where_http_is_spoken() -> None:
    async with served(None) as address:
        with pytest.raises(ChannelClosedError, match=r"speaks http, not https: use .* http://"):
            async with websocket.connect(address, tls=client_context(None, "")):
                pass


async def test_http_where_https_is_spoken(certificate: Path) -> None:
    async with served(certificate) as address:
        with pytest.raises(ChannelClosedError, match=r"speaks https: use the link with https://"):
            async with websocket.connect(address):
                pass


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (b"\x15\x03\x01\x00\x02\x02\x46", "speaks https: use the link with https://"),
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 49\r\n\r\n"
            b"The plain HTTP request was sent to HTTPS port ...",
            "speaks https: use the link with https://",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n\x1b[2J",
            r"is a web server, but not Pando \(it answers 404\)",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is not a Pando node"),
        (
            b"HTTP/1.1 421 x\r\nPando: 1\r\nContent-Length: 15\r\n\r\nno\x1b[2J \n\xe2\x80\xae way",
            "refuses: no \\[2J way",
        ),
    ],
)
async def test_other_servers_are_told_apart(answer: bytes, sentence: str) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(1000)
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        with pytest.raises(ChannelClosedError, match=sentence):
            async with websocket.connect(f"localhost:{port}"):
                pass
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("content", [None, b"", b"nonsense"])
def test_a_file_without_certificates(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(pando.UsageError, match=r"ca.pem holds no certificates: "):
        client_context(path, "")
