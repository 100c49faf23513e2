"""What the pages say."""

from __future__ import annotations

import base64
import getpass
import gzip
import hashlib
import io
import json
import pwd
import re
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pando import values
from pando.net.trust.join_link import parse_fragment
from pando.net.trust.keys import derive_link_psk
from pando.web import browser_packages, frontend_files
from pando.web.run_page import default_requester

from ..net.clients import GENEROUS_SECONDS, Client, client_of, head, serving

pytestmark = pytest.mark.socket
ODD_NAME = "<script>alert('x')</script>\"&{}%s"


async def run_of(client: Client, **headers: str) -> dict[str, Any]:
    """What a page is told of the run."""
    told = json.loads((await client.request("GET", "/run", **headers)).body)
    assert told["type"] == "run", told
    return dict(told["run"])


async def test_the_page_is_told_of_the_run_as_data_alone() -> None:
    async with serving(name=ODD_NAME) as served, client_of(served) as client:
        assert ODD_NAME not in (await client.request("GET", "/")).body
        reply = await client.request("GET", "/run")
        assert reply.headers["content-type"] == "application/json"
        assert json.loads(reply.body)["run"]["function"] == ODD_NAME


async def test_who_was_not_invited_is_told_nothing_of_the_run() -> None:
    """The name, the purpose and the function are for those who have the link."""
    public = {"public_url": "https://example.org/pando", "requester": "Ada", "about": "primes"}
    async with serving(**public) as served, client_of(served) as client:
        host = {"Host": "example.org"}
        good = proof_of(served.links[0])
        for proof, incomplete in (("", True), ("wrong", False), (good[:-1], False)):
            given = {"Pando_Proof": proof} if proof else {}
            reply = await client.request("GET", "/run", **host, **given)
            assert json.loads(reply.body) == {"type": "denied", "incomplete": incomplete}
            assert "Ada" not in (await client.request("GET", "/", **host)).body
        told = await run_of(client, **host, Pando_Proof=good)
        assert (told["requester"], told["about"]) == ("Ada", "primes")


def proof_of(link: str) -> str:
    """What a page sends of its link; the secret itself is never sent."""
    fingerprint, secret, _ = parse_fragment(link.partition("#")[2])
    assert fingerprint
    assert secret
    return hashlib.sha256(b"Pando page\0" + derive_link_psk(secret, fingerprint)).hexdigest()


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
        token = served.links[0].partition("#")[2]
        proof = proof_of(served.links[0])
        reply = await client.request("GET", "/run", Host=host, Pando_Proof=proof)
        assert json.loads(reply.body)["run"]["link"] == link
        assert token not in reply.body
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
        early = await client.request("GET", "/run")
        assert json.loads(early.body) == {"type": "notReady", "packages": True}
        assert early.headers["cache-control"] == "no-store"
        assert (await client.request("GET", "/wheels/a.whl")).status == 404
        found.set()
        monkeypatch.setattr("pando.running.served_run.PAGE_WAIT_SECONDS", GENEROUS_SECONDS)
        packages = (await run_of(client))["python"]["packages"]
        assert {"url": "wheels/a.whl", "bytes": 7, "unpackedBytes": 7} in packages
        assert (await client.request("GET", "/wheels/a.whl")).body == "a wheel"


async def test_who_asks_and_what_for_is_said_and_may_be_chosen() -> None:
    for requester in ("Ada", "", None):
        async with serving(requester=requester) as served, client_of(served) as client:
            told = (await run_of(client))["requester"]
            assert told == (default_requester() if requester is None else requester)
    async with serving(about="for my thesis") as served, client_of(served) as client:
        assert (await run_of(client))["about"] == "for my thesis"


@pytest.mark.parametrize(
    ("field", "name"),
    [("Ada Lovelace,Room 1,,", "Ada Lovelace"), ("", "ada"), (",,,", "ada")],
)
def test_the_full_name_is_that_of_the_account(
    field: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = pwd.struct_passwd(("ada", "x", 1, 1, field, "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: account)
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    assert default_requester() == name


@pytest.mark.parametrize(
    ("options", "lasts"),
    [({"open": True}, True), ({"link_for": ""}, False), ({"link_for": __file__}, True)],
)
async def test_links_that_are_kept_or_have_no_secret_last(
    options: dict[str, Any], lasts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with serving(**options) as served, client_of(served) as client:
        assert (await run_of(client))["linkLasts"] is lasts


async def test_the_opener_is_isolated_where_browsers_heed_that() -> None:
    """Over plain http they complain of the header in their console, and ignore it."""
    async with serving() as served, client_of(served) as client:
        headers = (await client.request("GET", "/")).headers
        assert "cross-origin-opener-policy" not in headers
    async with serving(public_url="https://example.org") as served, client_of(served) as client:
        headers = (await client.request("GET", "/", Host="example.org")).headers
        assert headers["cross-origin-opener-policy"] == "same-origin"


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


async def test_files_are_kept_for_ever_and_sent_compressed() -> None:
    async with serving() as served, client_of(served) as client:
        page = (await client.request("GET", "/")).body
        name = re.search(r"assets/[^\"]+\.css", page)
        assert name
        await client.send(head("GET", f"/{name[0]}", Accept_Encoding="gzip"))
        while b"\r\n\r\n" not in client.unread:
            client.unread += await client.stream.receive_some()
        assert b"content-encoding: gzip" in client.unread
        assert b"immutable" in client.unread


def test_the_modules_in_browsers_are_those_of_this_installation() -> None:
    _, file = frontend_files.own_modules()
    with zipfile.ZipFile(io.BytesIO(file.data)) as archive:
        assert archive.read("pando/values/__init__.py") == Path(values.__file__).read_bytes()
        assert "pando/runtime/tab.py" in archive.namelist()


NAMES_IN_BROWSERS = ["report", "register_type", "ItemError", "UnsupportedValueError"]
"""Public names that a function may refer to, wherever it runs."""
FOUND = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
import pando
names = [getattr(pando, name).__name__ for name in sys.argv[2:]]
print(pando.__file__.startswith(sys.argv[1]), names)
importlib.import_module("pando.runtime.tab")
"""


@pytest.mark.process
def test_a_function_finds_in_them_what_it_may_use(tmp_path: Path) -> None:
    _, file = frontend_files.own_modules()
    archive = tmp_path / "pando.zip"
    archive.write_bytes(file.data)
    done = subprocess.run(
        [sys.executable, "-c", FOUND, str(archive), *NAMES_IN_BROWSERS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"True {NAMES_IN_BROWSERS}\n", done.stderr


async def test_the_page_knows_where_those_modules_are() -> None:
    name, file = frontend_files.own_modules()
    async with serving() as served, client_of(served) as client:
        told = (await run_of(client))["python"]["packages"]
        assert told[-1]["url"] == f"python/{name}"
    async with serving() as served, client_of(served) as client:
        reply = await client.request("HEAD", f"/python/{name}")
        assert int(reply.headers["content-length"]) == len(file.data)


async def test_the_page_knows_how_much_it_will_fetch() -> None:
    async with serving() as served, client_of(served) as client:
        python = (await run_of(client))["python"]
        for asset in [python["program"], python["wasm"], *python["packages"]]:
            reply = await client.request("HEAD", f"/{asset['url']}", Accept_Encoding="gzip")
            assert int(reply.headers["content-length"]) == asset["bytes"]
    file = frontend_files.File(gzip.compress(b"x" * 5000), "text/plain", compressed=True)
    assert file.unpacked_size == 5000


async def test_monitoring_is_json_and_tells_no_secret() -> None:
    async with serving(name=ODD_NAME) as served, client_of(served) as client:
        reply = await client.request("GET", "/monitoring.json")
        token = served.links[0].partition("#")[2]
    assert reply.headers["content-type"] == "application/json"
    assert json.loads(reply.body)["root"]["function"] == ODD_NAME
    assert len(token) == 44
    assert token not in reply.body
    assert token[22:] not in reply.body


async def test_the_same_user_is_told_of_the_run_but_not_through_a_proxy() -> None:
    """Each request of a connection is checked: a proxy keeps its connections open."""
    async with serving() as served, client_of(served) as client:
        kinds = []
        for headers in ({}, {"X-Forwarded-For": "203.0.113.5"}, {}, {"Forwarded": "for=x"}):
            reply = await client.request("GET", "/run", **headers)
            kinds.append(json.loads(reply.body)["type"])
    assert kinds == ["run", "denied", "run", "denied"]


@pytest.mark.parametrize("option", [{"ask_token": True}, {"public_url": "http://localhost/"}])
async def test_the_same_user_needs_the_link_where_others_may_come(option: dict[str, Any]) -> None:
    async with serving(**option) as served, client_of(served) as client:
        reply = await client.request("GET", "/run")
    assert json.loads(reply.body) == {"type": "denied", "incomplete": True}
