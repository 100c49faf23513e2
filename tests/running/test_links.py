"""The links of a run: their host names, and the host names that the server accepts."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

import pando
from pando.net import addresses
from pando.net.addresses import is_host, own_addresses
from pando.net.request_policy import RequestHead, RequestPolicy
from pando.net.tls import own_fingerprint
from pando.running.serve_options import ServeOptions
from pando.running.server import _public_names
from pando.running.shared_server import shared_server
from pando.volunteering import JoinLink


async def links_of(options: ServeOptions) -> list[str]:
    async with shared_server(options, lambda text: None) as server:
        return server.links


@pytest.mark.socket
async def test_a_host_name_of_the_users_own() -> None:
    (link,) = await links_of(ServeOptions(port=0, link_host="laptop.example"))
    assert link.startswith("http://laptop.example:")


@pytest.mark.socket
async def test_a_certificate_that_no_authority_vouches_for_is_named(tmp_path: Path) -> None:
    authority = trustme.CA()
    own = tmp_path / "own.pem"
    own.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    signed = tmp_path / "signed.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(signed)
    link, *_ = await links_of(ServeOptions(port=0, certfile=own))
    parts = JoinLink.parse(link)
    assert (parts.tls, parts.certificate) == (True, own_fingerprint(own))
    assert parts.secret
    link, *_ = await links_of(ServeOptions(port=0, certfile=own, open=True))
    assert JoinLink.parse(link).secret is None
    assert JoinLink.parse(link).certificate == own_fingerprint(own)
    link, *_ = await links_of(ServeOptions(port=0, certfile=signed))
    assert JoinLink.parse(link).certificate == ""


@pytest.mark.parametrize(
    "options",
    [
        ServeOptions(link_host="laptop.example"),
        ServeOptions(link_host="laptop.example."),
        ServeOptions(link_host="Laptop.Example"),
        ServeOptions(listen="laptop.example"),
        ServeOptions(public_url="https://laptop.example/x/"),
        ServeOptions(public_url="https://other.example", link_host="laptop.example"),
    ],
)
def test_a_name_that_the_user_gave_is_answered(options: ServeOptions) -> None:
    policy = RequestPolicy(_public_names(options))
    assert policy.check(RequestHead("GET", "/", "laptop.example:5000", None, "")) is None
    assert policy.check(RequestHead("GET", "/", "elsewhere.example:5000", None, "")) is not None


@pytest.mark.parametrize("name", ["laptop", "a.example.", "192.168.1.7", "fd00::2", "my_host"])
def test_hosts(name: str) -> None:
    assert is_host(name)


@pytest.mark.parametrize("name", ["", "a b", "a:5000", "http://a", "a/b", "-a", "a..b", "x" * 300])
def test_what_is_no_host(name: str) -> None:
    assert not is_host(name)
    with pytest.raises(pando.UsageError, match="is not a host name or an address"):
        ServeOptions(link_host=name)


def test_without_a_default_route_the_interfaces_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable(socket.socket):
        def connect(self, address: object) -> None:
            raise OSError("Network is unreachable")

    ips = [
        SimpleNamespace(ip="127.0.0.1"),
        SimpleNamespace(ip="10.1.2.3"),
        SimpleNamespace(ip=("fe80::1", 0, 2)),
        SimpleNamespace(ip=("fd00::7", 0, 0)),
    ]
    monkeypatch.setattr(addresses.socket, "socket", Unreachable)
    monkeypatch.setattr(addresses.socket, "getaddrinfo", lambda *a, **k: [])
    monkeypatch.setattr("ifaddr.get_adapters", lambda: [SimpleNamespace(ips=ips)])
    assert own_addresses() == ["10.1.2.3", "fd00::7"]


@pytest.mark.parametrize(
    ("link", "address", "tls"),
    [
        ("192.168.1.7", "192.168.1.7:5000", False),
        ("localhost", "localhost:5000", False),
        ("laptop:8080/#start", "laptop:8080", False),
        ("laptop#start", "laptop:5000", False),
        ("[fd00::2]", "[fd00::2]:5000", False),
        ("http://laptop/#start", "laptop:80", False),
        ("https://laptop/#start", "laptop:443", True),
        ("https://laptop:5000/#start", "laptop:5000", True),
    ],
)
def test_the_port_of_a_link(link: str, address: str, tls: bool) -> None:
    parts = JoinLink.parse(link)
    assert (parts.address, parts.tls) == (address, tls)
