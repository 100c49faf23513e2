"""What the pages say."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pando import values
from pando.web import browser_packages, frontend_files
from pando.web.run_page import default_asker

from ..net.clients import GENEROUS_SECONDS, client_of, head, serving

pytestmark = pytest.mark.socket
ODD_NAME = "<script>alert('x')</script>\"&{}%s"


def run_data(page: str) -> dict[str, Any]:
    """What a page is told of the run."""
    return dict(json.loads(page.partition('id="run">')[2].partition("</script>")[0]))


async def test_the_page_escapes_the_name_of_the_function() -> None:
    async with serving(name=ODD_NAME) as served, client_of(served) as client:
        page = (await client.request("GET", "/")).body
    assert "alert('x')</script>" not in page
    assert run_data(page)["function"] == ODD_NAME


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
    async with serving(**options) as served, client_of(served) as client:
        page = (await client.request("GET", "/", Host=host)).body
        assert run_data(page)["link"] == link
        assert served.links[0].partition("#")[2] not in page
        assert served.links[0].startswith(link) or not options


async def test_the_page_does_not_wait_for_what_the_function_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = threading.Event()
    wheel = frontend_files.File(b"a wheel", frontend_files.TYPES[".whl"])

    def find(*args: Any) -> dict[str, frontend_files.File]:
        assert found.wait(GENEROUS_SECONDS)
        return {"a.whl": wheel}

    monkeypatch.setattr(browser_packages, "find_packages", find)
    monkeypatch.setattr("pando.running.served_run.PAGE_WAIT_SECONDS", 0.05)
    async with serving(requirements=("something",)) as served, client_of(served) as client:
        early = await client.request("GET", "/")
        assert '<script src="./again.js"></script>' in early.body
        assert "location.reload()" in (await client.request("GET", "/again.js")).body
        assert "still looking for what its function needs" in early.body
        assert early.headers["content-security-policy"].startswith("default-src 'none'")
        assert early.headers["cache-control"] == "no-store"
        assert (await client.request("GET", "/wheels/a.whl")).status == 404
        found.set()
        monkeypatch.setattr("pando.running.served_run.PAGE_WAIT_SECONDS", GENEROUS_SECONDS)
        page = (await client.request("GET", "/")).body
        assert "wheels/a.whl" in run_data(page)["python"]["packages"]
        assert (await client.request("GET", "/wheels/a.whl")).body == "a wheel"


async def test_who_asks_is_said_and_may_be_chosen() -> None:
    for asker in ("Ada", "", None):
        async with serving(asker=asker) as served, client_of(served) as client:
            told = run_data((await client.request("GET", "/")).body)["asker"]
            assert told == (default_asker() if asker is None else asker)


async def test_pages_may_be_framed_by_nothing_and_load_only_their_own() -> None:
    async with serving() as served, client_of(served) as client:
        for path in ("/", "/monitoring", "/nothing", "/licences"):
            headers = (await client.request("GET", path)).headers
            policy = headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert "access-control-allow-origin" not in headers
            assert "server" not in headers


async def test_the_sandbox_has_no_origin_and_no_network() -> None:
    async with serving() as served, client_of(served) as client:
        reply = await client.request("GET", "/sandbox")
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts; default-src 'none'")
        assert "connect-src blob: data:;" in policy
        assert "frame-ancestors 'self'" in policy
        script = reply.body.partition("<script>")[2].rpartition("</script>")[0]
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
        assert "</script" not in script


async def test_the_network_is_for_functions_that_were_given_it() -> None:
    async with serving() as served, client_of(served) as client:
        assert (await client.request("GET", "/sandbox/online")).status == 403
    async with serving(network=True) as served, client_of(served) as client:
        policy = (await client.request("GET", "/sandbox/online")).headers["content-security-policy"]
        assert "connect-src blob: data: https: http: wss: ws:;" in policy


@pytest.mark.parametrize("path", ["/assets/..%2findex.html", "/assets/.hidden", "/assets/x.js"])
async def test_no_other_files_are_served(path: str) -> None:
    async with serving() as served, client_of(served) as client:
        assert (await client.request("GET", path)).status == 404


async def test_names_of_files_that_are_not_there_are_not_remembered() -> None:
    async with serving() as served, client_of(served) as client:
        await client.request("GET", "/")
        before = frontend_files._read.cache_info().currsize
        for number in range(100):
            assert (await client.request("GET", f"/assets/{number}.js")).status == 404
        assert frontend_files._read.cache_info().currsize == before


async def test_files_are_kept_for_ever_and_sent_as_the_client_takes_them() -> None:
    async with serving() as served, client_of(served) as client:
        page = (await client.request("GET", "/")).body
        name = re.search(r"assets/[^\"]+\.css", page)
        assert name
        plain = await client.request("GET", f"/{name[0]}")
        assert "immutable" in plain.headers["cache-control"]
        assert "content-encoding" not in plain.headers
        assert "body" in plain.body
    async with serving() as served, client_of(served) as client:
        await client.send(head("GET", f"/{name[0]}", Accept_Encoding="gzip"))
        while b"\r\n\r\n" not in client.unread:
            client.unread += await client.stream.receive_some()
        assert b"content-encoding: gzip" in client.unread


def test_the_modules_in_browsers_are_those_of_this_installation() -> None:
    _, file = frontend_files.own_modules()
    with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
        assert archive.read("pando/values/__init__.py") == Path(values.__file__).read_bytes()
        assert "pando/runtime/tab.py" in archive.namelist()


async def test_the_page_knows_where_those_modules_are() -> None:
    name, file = frontend_files.own_modules()
    async with serving() as served, client_of(served) as client:
        told = run_data((await client.request("GET", "/")).body)["python"]["packages"]
        assert told[-1] == f"python/{name}"
    async with serving() as served, client_of(served) as client:
        reply = await client.request("HEAD", f"/python/{name}")
        assert int(reply.headers["content-length"]) == len(file.data)


async def test_browsers_are_told_at_once_all_that_the_page_will_fetch() -> None:
    async with serving() as served, client_of(served) as client:
        reply = await client.request("GET", "/")
    python = run_data(reply.body)["python"]
    packages = python.pop("packages")
    preloaded = re.findall("<(.*?)>; rel=preload", reply.headers["link"])
    assert preloaded == [*python.values(), *packages]


async def test_monitoring_is_json_and_tells_no_secret() -> None:
    async with serving(name=ODD_NAME) as served, client_of(served) as client:
        reply = await client.request("GET", "/monitoring")
        token = served.links[0].partition("#")[2]
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body)["root"]["function"] == ODD_NAME
    assert len(token) >= 16
    assert token not in reply.body
