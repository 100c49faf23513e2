"""What is in `deploy/`, as far as it can be tried here: the real programs read the real files."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import time
import tomllib
import urllib.request
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from pando.channel import ChannelClosedError
from pando.net.relayed import frames
from pando.net.relayed.link import ServerError
from pando.net.relayed.server_address import ServerAddress
from pando.server import limits
from pando.server.policy import parse_networks

from .serving import GENEROUS_SECONDS, HOME, SECRET, new_key, serving
from .test_command import free_port
from .test_pages import get

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
ELSEWHERE = "127.0.0.2"
"""Where a volunteer connects from, which is not the proxy's own address."""
pytestmark = pytest.mark.process


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path):
    done = subprocess.run(
        ["systemd-analyze", "verify", str(DEPLOY / "pando-server.service")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    broken = tmp_path / "pando-server.service"
    broken.write_text((DEPLOY / "pando-server.service").read_text().replace("ExecStart=", "X="))
    done = subprocess.run(["systemd-analyze", "verify", str(broken)], check=False)
    assert done.returncode != 0


HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint is not here")
def test_the_dockerfile_is_without_complaint():
    done = subprocess.run(
        [HADOLINT, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_without_rights():
    last_stage = (DEPLOY / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    instructions = [line.split()[0] for line in last_stage.splitlines() if line[:1].isupper()]
    assert re.search(r"^USER [1-9]\d*$", last_stage, re.MULTILINE)
    assert instructions.index("USER") > instructions.index("RUN")
    assert instructions[-1] == "ENTRYPOINT"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    installed = re.search(r"--find-links /wheels \\\n +(\S+) aioice$", last_stage, re.MULTILINE)
    assert installed[1] == project["name"]
    assert re.search(r'ENTRYPOINT \["(.*)"\]', last_stage)[1] in project["scripts"]
    compose = (DEPLOY / "compose.yaml").read_text()
    assert "read_only: true" in compose
    assert "cap_drop: [ALL]" in compose


def test_the_command_of_the_procfile_serves(tmp_path):
    name, _, command = (DEPLOY / "Procfile").read_text().strip().partition(": ")
    assert name == "web"
    # The command as it will be on the path of a platform.
    program = tmp_path / "pando-server"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pando.server "$@"\n')
    program.chmod(0o755)
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": "/nonexistent",
        "PORT": str(port),
        "PANDO_SECRET": SECRET,
        "PUBLIC_URL": "https://pando.example.org",
    }
    server = subprocess.Popen(
        ["sh", "-c", f"exec {command}"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        until = time.monotonic() + GENEROUS_SECONDS
        while True:
            try:
                health = urllib.request.urlopen(f"http://{HOME}:{port}/healthz").read()
                break
            except OSError:
                assert time.monotonic() < until
                time.sleep(0.05)
        assert health == b"ok\n"
        server.send_signal(signal.SIGTERM)
        assert server.wait(GENEROUS_SECONDS) == 0
    finally:
        server.kill()
        server.wait()


# ---- behind nginx ----


@asynccontextmanager
async def nginx(folder, port):
    """nginx with the site in `deploy/`, and TLS by an authority of the test's own."""
    authority, own_port = trustme.CA(), free_port()
    certificate = authority.issue_cert("localhost", HOME)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(folder / "cert.pem", append=True)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    site = (DEPLOY / "nginx.conf").read_text()
    for found, put in (
        ("listen 443 ssl", f"listen {HOME}:{own_port} ssl"),
        ("/etc/ssl/certs/pando.pem", str(folder / "cert.pem")),
        ("/etc/ssl/private/pando.key", str(folder / "key.pem")),
        ("http://127.0.0.1:5000", f"http://127.0.0.1:{port}"),
    ):
        assert found in site
        site = site.replace(found, put)
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/pid;\nevents {{}}\n"
        f"http {{\n{paths}access_log off;\n{site}\n}}\n"
    )
    process = subprocess.Popen(  # noqa: ASYNC220 - it is short
        ["nginx", "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")],
        stderr=subprocess.DEVNULL,
    )
    try:
        with trio.fail_after(GENEROUS_SECONDS):
            while True:
                try:
                    await trio.aclose_forcefully(await trio.open_tcp_stream(HOME, own_port))
                    break
                except OSError:
                    await trio.sleep(0.05)
        yield own_port, folder / "ca.pem"
    finally:
        process.terminate()
        process.wait()


@asynccontextmanager
async def tls_root(port, cafile, key, serve, secret=SECRET):
    from pando.net.relayed.link import RelayLink

    link = RelayLink(
        ServerAddress("localhost", port, tls=True), key, serve, secret=secret, cafile=str(cafile)
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(link.run)
        yield link
        nursery.cancel_scope.cancel()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not here")
@pytest.mark.parametrize("is_told", [True, False])
async def test_behind_nginx_with_tls(tmp_path, is_told):
    key, seen = new_key(), []

    async def serve(channel, purpose, address):
        seen.append(address)
        while True:
            await channel.send(await channel.receive())

    proxies = parse_networks([HOME]) if is_told else ()
    async with (
        serving(lambda socket: True, proxies=proxies) as server,
        nginx(tmp_path, server.port) as (port, cafile),
    ):
        async with tls_root(port, cafile, key, serve) as run:
            assert run.url == f"https://localhost:{port}"
            # What a volunteer says of itself is not believed, only what the proxy adds.
            context = ssl.create_default_context(cafile=str(cafile))
            async with tls_node(port, key.room, context) as node:
                for size in (1, 300_000):
                    await node.send(bytes(size))
                    assert await node.receive() == bytes(size)
                assert seen == [ELSEWHERE if is_told else HOME]
        # Through the proxy nobody is the same user on the same machine.
        with pytest.raises((ServerError, BaseExceptionGroup)):
            async with tls_root(port, cafile, key, serve, secret=None):
                pass
        page = await get(server, "/", Host="localhost", X_Forwarded_For="203.0.113.9")
        assert "Your runs" not in page.body


@asynccontextmanager
async def tls_node(port, room, context):
    from websockets.client import ClientProtocol
    from websockets.uri import parse_uri

    from pando.net.prefixed_stream import PrefixedStream

    from .serving import Node

    plain = await trio.open_tcp_stream(HOME, port, local_address=ELSEWHERE)
    stream = PrefixedStream(trio.SSLStream(plain, context, server_hostname="localhost"))
    protocol = ClientProtocol(parse_uri(f"wss://localhost:{port}/r/{room}/node"), max_size=2**20)
    node = Node(stream, protocol)
    try:
        request = protocol.connect()
        request.headers["X-Forwarded-For"] = "203.0.113.9"
        protocol.send_request(request)
        await node.channel.flush()
        await node.channel.next_event()
        if protocol.handshake_exc is not None:
            raise protocol.handshake_exc
        yield node
    except ChannelClosedError:
        pass
    finally:
        await trio.aclose_forcefully(plain)


# ---- the page about it ----

PAGE = (ROOT / "docs" / "server.md").read_text("utf-8")


@pytest.mark.parametrize(("name", "stated"), re.findall(r"`([A-Z_]+)` = (\d+)", PAGE))
def test_a_limit_that_the_page_names_is_there_with_its_default(name, stated):
    found = {getattr(module, name) for module in (limits, frames) if hasattr(module, name)}
    assert found == {float(stated)}


def test_the_page_names_every_limit():
    stated = set(re.findall(r"`([A-Z_]+)` = \d+", PAGE))
    ours = {name for name in vars(limits) if name.isupper()}
    assert ours - stated == {"RESTART_PAUSE_SECONDS", "REMEMBERED_SECONDS"}


def test_the_page_names_every_option():
    from pando.cli.server_command import make_parser

    shown = set(make_parser().visible_options())
    shown -= {"-h", "-v", "--help", "--version", "--print-man", "--print-completion"}
    assert shown == set(re.findall(r"`(--[a-z-]+)[ `]", PAGE.partition("## What it serves")[0])) - {
        "--host"
    }
