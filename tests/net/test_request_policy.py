"""Who is let in, by the head of a request: for every route and method there is."""

from __future__ import annotations

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trustme

from pando.net import websocket
from pando.net.request_policy import MAX_HEAD_BYTES, RequestHead, RequestPolicy, parse_head
from pando.web.app import create_app
from pando.web.monitoring import Monitored
from pando.web.run_page import RunPage

from .clients import GENEROUS_SECONDS, HOME, UPGRADE, Client, client_of, head, serving

NODE = (websocket.PATH, "GET")
PAGES = {
    "/": 200,
    "/run": 200,
    "/assets/<name>": 404,
    "/licences": 200,
    "/metrics": 200,
    "/monitoring": 200,
    "/monitoring.json": 200,
    "/python/<name>": 404,
    "/sandbox": 200,
    "/sandbox/online": 403,
    "/wheels/<name>": 404,
}
"""Each page, and the status that who belongs here gets. There are no files of these names."""
ROUTES = {
    **{(path, method): status for path, status in PAGES.items() for method in ("GET", "HEAD")},
    **{(path, "OPTIONS"): 200 for path in PAGES},
    NODE: 101,
}
"""The same for each method."""
NOT_ROUTES = {("/", "POST"): 405, ("/nothing", "GET"): 404, ("/monitoring", "DELETE"): 405}

REFUSED = {
    "dns rebinding": ({"Host": "evil.example"}, 421),
    "dns rebinding with a port": ({"Host": "evil.example:5000"}, 421),
    "a name that begins well": ({"Host": "localhost.evil.example"}, 421),
    "an address as a user": ({"Host": "127.0.0.1@evil.example"}, 421),
    "a user at an address": ({"Host": "evil.example@127.0.0.1"}, 421),
    "no name": ({"Host": ""}, 421),
    "half an address": ({"Host": "[::1"}, 421),
    "markup": ({"Host": "127.0.0.1/'><b>"}, 421),
    "another site": ({"Origin": "http://evil.example"}, 403),
    "another port": ({"Host": "localhost:5000", "Origin": "http://localhost:8000"}, 403),
    "null": ({"Origin": "null"}, 403),
    "an empty origin": ({"Origin": ""}, 403),
    "an extension": ({"Origin": "chrome-extension://localhost"}, 403),
    "an origin that is none": ({"Origin": "http://["}, 403),
    "an origin that begins well": ({"Origin": "http://localhost.evil.example"}, 403),
    "HTTP/2": ({"Connection": "Upgrade", "Upgrade": "h2c"}, 400),
}


class NoRuns:
    """What a server without runs lets be seen."""

    def monitored(self) -> list[Monitored]:
        return []

    def invitation(self) -> str:
        return ""

    def may_look(self, token: str) -> bool:
        return True


def all_routes() -> set[tuple[str, str]]:
    async def describe(run: str) -> RunPage:
        return RunPage("name")

    async def is_invited(proof: str) -> bool:
        return True

    app = create_app(describe, RequestPolicy(), NoRuns(), str, lambda name: None, is_invited)
    rules = [rule for rule in app.url_map.iter_rules() if not rule.websocket]
    return {(rule.rule, method) for rule in rules for method in rule.methods or ()} | {NODE}


def test_every_route_has_its_row() -> None:
    assert all_routes() == set(ROUTES)


def test_nodes_in_pages_of_others_are_let_in_only_where_that_is_said() -> None:
    foreign = UPGRADE | {"Origin": "http://192.168.1.7:5000"}
    to_node = parse_head(head("GET", websocket.PATH, **foreign))
    to_page = parse_head(head("GET", "/", Origin="http://192.168.1.7:5000"))
    rebound = parse_head(head("GET", websocket.PATH, **(foreign | {"Host": "evil.example"})))
    policy = RequestPolicy(allow_foreign_origin=True)
    assert RequestPolicy().check(to_node) is not None
    assert policy.check(to_node) is None
    assert policy.check(to_page) is not None
    assert policy.check(rebound) is not None


def check(method: str, path: str, headers: dict[str, str]) -> int | None:
    refusal = RequestPolicy().check(parse_head(head(method, path, **headers)))
    return refusal and refusal.status


@pytest.mark.parametrize(("path", "method"), [*ROUTES, *NOT_ROUTES])
def test_every_route_and_method_is_judged(path: str, method: str) -> None:
    upgrade = UPGRADE if (path, method) == NODE else {}
    assert check(method, path, upgrade) is None
    for headers, status in REFUSED.values():
        assert check(method, path, upgrade | headers) == status


@pytest.mark.socket
@pytest.mark.parametrize("route", [*ROUTES, *NOT_ROUTES])
async def test_every_route_and_method_is_guarded(route: tuple[str, str]) -> None:
    path, method = route
    upgrade = UPGRADE if route == NODE else {}
    async with serving() as served:
        async with client_of(served) as client:
            reply = await client.request(method, path, **upgrade)
            assert reply.status == (ROUTES | NOT_ROUTES)[route]
        for headers, status in REFUSED.values():
            async with client_of(served) as client:
                assert (await client.request(method, path, **(upgrade | headers))).status == status
                assert await client.is_closed()
        assert served.all_counters()["requests_refused"] == len(REFUSED)
        assert not served.membership.children


@pytest.mark.socket
@pytest.mark.parametrize("case", [case for case in REFUSED if case != "HTTP/2"])
async def test_later_requests_of_a_connection_are_judged_too(case: str) -> None:
    headers, status = REFUSED[case]
    async with serving() as served, client_of(served) as client:
        assert (await client.request("GET", "/")).status == 200
        assert (await client.request("GET", "/monitoring")).status == 200
        assert (await client.request("GET", "/monitoring", **headers)).status == status


HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
"""How a client begins that knows beforehand that HTTP/2 is spoken: its preface and settings."""
UPGRADE_TO_HTTP_2 = head(
    "GET", "/", Host="localhost", Connection="Upgrade, HTTP2-Settings", Upgrade="h2c",
    HTTP2_Settings="AAMAAABkAAQAAP__",
)  # fmt: skip


@pytest.mark.socket
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("data", [HTTP_2, UPGRADE_TO_HTTP_2])
async def test_http_2_is_not_spoken(data: bytes, is_first: bool) -> None:
    async with serving() as served, client_of(served) as client:
        if not is_first:
            assert (await client.request("GET", "/")).status == 200
        await client.send(data)
        await is_not_answered_in_http_2(client.stream)


@pytest.mark.socket
@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("protocols", [["h2"], ["h2", "http/1.1"], []], ids=str)
async def test_http_2_is_not_spoken_under_tls(
    protocols: list[str], is_first: bool, tmp_path: Path
) -> None:
    authority, certificate = trustme.CA(), tmp_path / "certificate"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.set_alpn_protocols(protocols)
    async with serving(certfile=certificate) as served:
        plain = await trio.open_tcp_stream(HOME, served.server.port)
        async with trio.SSLStream(
            plain, context, server_hostname="localhost", https_compatible=True
        ) as stream:
            await stream.do_handshake()
            assert stream.selected_alpn_protocol() in (None, "http/1.1")
            if not is_first:
                assert (await Client(stream).request("GET", "/")).status == 200
            await stream.send_all(HTTP_2)
            await is_not_answered_in_http_2(stream)


async def is_not_answered_in_http_2(stream: trio.abc.Stream) -> None:
    """What comes is nothing, or a refusal in HTTP/1.1, and then the end."""
    answer = bytearray()
    with trio.fail_after(GENEROUS_SECONDS), suppress(trio.BrokenResourceError):
        while more := await stream.receive_some():
            answer += more
    frames = answer.partition(b"\r\n\r\n")[2] if b"101" in answer[:20] else b""
    assert not frames
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert b"200" not in answer[:20]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:5000", "127.0.0.1", "127.0.0.1:5000", "192.168.1.7", "[::1]:5000"],
)
def test_names_that_this_machine_answers_to(host: str) -> None:
    assert check("GET", "/", {"Host": host}) is None
    for scheme in ("http", "https"):
        assert check("GET", "/", {"Host": host, "Origin": f"{scheme}://{host.lower()}"}) is None


def test_the_name_of_a_proxy_in_front() -> None:
    policy = RequestPolicy(["Example.org"])
    request = parse_head(head("GET", "/", Host="example.org", Origin="https://example.org"))
    assert policy.check(request) is None


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nOrigin: null\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * MAX_HEAD_BYTES,
    ],
)
def test_what_is_not_a_request(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_head(data)


def test_a_head_is_taken_apart() -> None:
    request = parse_head(head("GET", "/node?a=b", Origin="http://x", **UPGRADE) + b"more")
    assert request == RequestHead("GET", "/node", "localhost", "http://x", "websocket")
    assert request.is_node
