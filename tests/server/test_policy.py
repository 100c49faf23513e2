"""Which requests are let in, whose they are, and which addresses `--host` takes."""

from __future__ import annotations

import pytest

from pando.errors import UsageError
from pando.net.relayed.frames import Purpose
from pando.net.relayed.server_address import ServerAddress
from pando.net.request_policy import RequestHead
from pando.server.options import ServerOptions
from pando.server.policy import PublicServerPolicy, find_client, find_room, is_local, parse_networks

ROOM = "abcdefghijklmnopqrstuv"


def check(path="/", host="localhost:5000", origin=None, upgrade="", public=None):
    refusal = PublicServerPolicy(public).check(RequestHead("GET", path, host, origin, upgrade))
    return 200 if refusal is None else refusal.status


def test_a_server_without_a_name_answers_to_any():
    assert check(host="pando.example.org") == 200
    assert check("/control", "pando.example.org", upgrade="websocket") == 200


def test_a_server_with_a_name_answers_to_that_and_to_addresses():
    public = "pando.example.org"
    for host, status in (
        ("pando.example.org", 200),
        ("localhost:5000", 200),
        ("192.0.2.7:5000", 200),
        ("evil.example", 421),
    ):
        assert check(host=host, public=public) == status


def test_pages_of_others_are_refused():
    path = f"/r/{ROOM}/node"
    for origin, status in (
        ("https://pando.example.org", 200),
        ("https://evil.example", 403),
        ("null", 403),
    ):
        # Through a proxy that keeps the name, and one that does not.
        assert check(path, "pando.example.org", origin, "websocket", "pando.example.org") == status
        assert check(path, "127.0.0.1:5000", origin, "websocket", "pando.example.org") == status
        assert check(path, "pando.example.org", origin, "websocket") == status


def test_only_known_paths_speak_websocket():
    assert check(f"/r/{ROOM}/node", upgrade="websocket") == 200
    assert check(f"/r/{ROOM}/monitoring", upgrade="websocket") == 200
    assert check("/", upgrade="websocket") == 400
    assert check(f"/r/{ROOM}", upgrade="websocket") == 400
    assert check("/node", upgrade="websocket") == 404
    assert check("/control", upgrade="h2c") == 400


def test_rooms_are_found_by_their_paths():
    assert find_room(f"/r/{ROOM}/node") == (ROOM, Purpose.NODE)
    assert find_room(f"/r/{ROOM}/monitoring") == (ROOM, Purpose.MONITORING)
    for path in (f"/r/{ROOM}x/node", "/r/short/node", f"/r/{ROOM}/other", f"/r/{ROOM}"):
        assert find_room(path) is None


@pytest.mark.parametrize(
    ("peer", "headers", "local"),
    [
        ("127.0.0.1", {"host": "localhost:5000"}, True),
        ("127.0.0.1", {"host": "127.0.0.1"}, True),
        ("::1", {"host": "[::1]:5000"}, True),
        ("192.0.2.1", {"host": "localhost:5000"}, False),
        ("127.0.0.1", {"host": "rebound.evil.example:5000"}, False),
        ("127.0.0.1", {"host": "localhost.evil.example"}, False),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "192.0.2.1"}, False),
        ("127.0.0.1", {"host": "localhost", "forwarded": "for=192.0.2.1"}, False),
        ("127.0.0.1", {"host": "localhost", "via": "1.1 proxy"}, False),
        ("127.0.0.1", {}, False),
    ],
)
def test_what_is_local(peer, headers, local):
    assert is_local(peer, headers) is local


PROXIES = parse_networks(["10.0.0.0/8", "::1, 127.0.0.1"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # no proxy of ours: not believed
        ("10.1.2.3", "203.0.113.9", "203.0.113.9"),
        ("10.1.2.3", "1.1.1.1, 203.0.113.9", "203.0.113.9"),  # the first is made up
        ("10.1.2.3", "203.0.113.9, 10.9.9.9", "203.0.113.9"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("10.1.2.3", "nonsense", "10.1.2.3"),
        ("10.1.2.3", "10.4.4.4", "10.1.2.3"),
    ],
)
def test_forwarded_addresses_are_believed_from_proxies_alone(peer, forwarded, client):
    assert find_client(peer, {"x-forwarded-for": forwarded}, PROXIES) == client
    assert find_client(peer, {"x-forwarded-for": forwarded}, ()) == peer


def test_networks_are_checked():
    with pytest.raises(UsageError, match="--behind-proxy"):
        parse_networks(["10.0.0.0/99"])


@pytest.mark.parametrize("bad", ["pando.example.org", "ftp://x", "https://", "https://x/path"])
def test_a_public_url_is_one(bad):
    with pytest.raises(UsageError, match="--public-url"):
        _ = ServerOptions(public_url=bad).public_host


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("localhost", "http://localhost:5000"),
        ("192.168.1.7", "http://192.168.1.7:5000"),
        ("203.0.113.5", "http://203.0.113.5:5000"),
        ("::1", "http://[::1]:5000"),
        ("[::1]:80", "http://[::1]"),
        ("node-7", "http://node-7:5000"),
        ("printer.local", "http://printer.local:5000"),
        ("pando.example.org", "https://pando.example.org"),
        ("pando.example.org/", "https://pando.example.org"),
        ("pando.example.org:8080", "http://pando.example.org:8080"),
        ("http://pando.example.org", "http://pando.example.org"),
        ("https://pando.example.org:8443/", "https://pando.example.org:8443"),
        ("http://node.site.grid5000.fr:5000", "http://node.site.grid5000.fr:5000"),
    ],
)
def test_addresses_of_servers(text, url):
    assert ServerAddress.parse(text).url == url


@pytest.mark.parametrize(
    "text",
    ["", "http://", "ftp://x", "a b", "x:notaport", "x:99999", "http://x/r/room", "u@x", "/"],
)
def test_what_is_no_address_of_a_server(text):
    with pytest.raises(UsageError, match="--host takes"):
        ServerAddress.parse(text)


def test_this_machine_is_known():
    assert ServerAddress.parse("localhost").is_this_machine
    assert ServerAddress.parse("127.0.0.1:80").is_this_machine
    assert not ServerAddress.parse("pando.example.org").is_this_machine
