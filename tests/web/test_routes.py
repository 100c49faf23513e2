"""What the pages say."""

from __future__ import annotations

import html
import json
import shlex

import pytest

from .clients import client_of, serving

pytestmark = pytest.mark.socket
ODD_NAME = "<script>alert('x')</script>\"&{}%s"


async def test_the_page_escapes_the_name_of_the_function() -> None:
    async with serving(name=ODD_NAME) as server, client_of(server) as client:
        page = (await client.request("GET", "/")).body
    assert "<script" not in page
    assert page.count(html.escape(ODD_NAME)) == 2


@pytest.mark.parametrize(
    ("options", "host", "link"),
    [
        ({}, "localhost:5000", "http://localhost:5000/"),
        ({}, "[::1]:5000", "http://[::1]:5000/"),
        ({"public_url": "https://example.org/pando"}, "example.org", "https://example.org/pando/"),
    ],
)
async def test_the_page_names_the_link_without_its_token(
    options: dict[str, str], host: str, link: str
) -> None:
    async with serving(**options) as server, client_of(server) as client:
        page = (await client.request("GET", "/", Host=host)).body
        command = html.unescape(page.partition("<br>")[2].partition("</code>")[0])
        assert shlex.split(command) == ["pando-volunteer", link]
        assert server.links[0].partition("#")[2] not in page
        assert server.links[0].startswith(link) or not options


async def test_pages_may_load_and_be_framed_by_nothing() -> None:
    async with serving() as server, client_of(server) as client:
        for path in ("/", "/monitoring", "/nothing"):
            headers = (await client.request("GET", path)).headers
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers


async def test_monitoring_is_json_and_tells_no_secret() -> None:
    async with serving(name=ODD_NAME) as server, client_of(server) as client:
        reply = await client.request("GET", "/monitoring")
        token = server.links[0].partition("#")[2]
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body)["root"]["function"] == ODD_NAME
    assert len(token) >= 16
    assert token not in reply.body
