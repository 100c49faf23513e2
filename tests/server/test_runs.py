"""Runs at a public server, with real processes: what is computed, and what is said."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import trio

from ..processes import environment, wait_until
from ..roots import ROOT, free_port
from .runs import SECRET, Scene
from .test_deploy import nginx

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def scene(tmp_path):
    with Scene(tmp_path) as scene:
        yield scene


def test_a_volunteer_computes_through_the_server(scene):
    server = scene.server()
    run = scene.run(f"localhost:{server.port}", f"--secret={SECRET}", "--start-idle")
    assert f"http://localhost:{server.port}/r/" in run.link
    volunteer = scene.volunteer(run.link)
    assert volunteer.says("computing run for localhost")
    run.finish()
    assert volunteer.says("the run has ended; waiting for the next one")


def test_the_original_commands_work_as_they_stand(scene, tmp_path):
    """`pando-server`; `test/count | pando examples/square.js --host='localhost:5000'`."""
    server = scene.server(secret="")
    command = [*ROOT, str(EXAMPLES / "square.js"), f"--host=localhost:{server.port}"]
    done = subprocess.run(
        command,
        input=b"1\n2\n3\n",
        capture_output=True,
        timeout=60,
        check=False,
        env=environment(tmp_path),
    )
    assert (done.returncode, done.stdout) == (0, b"1\n4\n9\n"), done.stderr
    assert b"/r/" in done.stderr
    assert "has gone" in server.said
    assert not list((tmp_path / ".pando" / "rooms").iterdir())


def test_a_volunteer_of_the_same_user_needs_the_server_s_address_alone(scene):
    """It waits there for the first run, and for the next one, whose room is another."""
    server = scene.server(secret="")
    host = f"localhost:{server.port}"
    volunteer = scene.volunteer(host)
    assert volunteer.says("This is a pando-server.*; trying again")
    for name in ("one", "two"):
        run = scene.run(host, "--start-idle", name=name)
        assert volunteer.says(f"computing {name} for localhost")
        run.finish()
    assert volunteer.process.poll() is None


def test_a_run_that_was_killed_at_a_server_leads_nobody_astray(scene):
    """It has left its link, with which nobody finds it any more."""
    server = scene.server(secret="")
    host = f"localhost:{server.port}"
    first = scene.run(host, "--start-idle", name="one")
    assert first.link
    first.kill()
    server.kill()
    volunteer = scene.volunteer(host)
    assert volunteer.says("cannot be reached")
    scene.server(port=server.port, secret="")
    again = scene.run(host, "--start-idle", name="three")
    assert volunteer.says("computing three")
    again.finish()


def test_another_user_s_volunteer_is_told_to_use_the_link(scene, tmp_path):
    server = scene.server(secret="")
    run = scene.run(f"localhost:{server.port}", "--start-idle")
    assert run.link
    other = tmp_path / "other"
    other.mkdir()
    volunteer = scene.volunteer(f"localhost:{server.port}", home=other)
    assert volunteer.says("This is a pando-server: links to its runs have a path")
    assert "computing" not in volunteer.said
    run.kill()


def test_two_runs_at_one_server_are_two_rooms(scene):
    server = scene.server()
    options = [f"--secret={SECRET}", "--start-idle"]
    runs = [
        scene.run(f"localhost:{server.port}", *options, name="one", items=range(200)),
        scene.run(f"localhost:{server.port}", *options, name="two", items=range(1000, 1300)),
    ]
    assert runs[0].link.partition("#")[0] != runs[1].link.partition("#")[0]
    for run, name in zip(runs, ("a", "b"), strict=True):
        scene.volunteer(run.link, name=name)
    for run in runs:
        run.finish()


def test_a_second_run_of_the_same_module_has_another_room(scene):
    server = scene.server()
    options = [f"--secret={SECRET}", "--start-idle", "--seed=7"]
    first = scene.run(f"localhost:{server.port}", *options)
    link = first.link
    second = scene.run(f"localhost:{server.port}", *options)
    assert second.link.partition("#")[0] != link.partition("#")[0]


def test_a_later_run_of_the_same_module_has_the_same_link(scene):
    server = scene.server()
    options = [f"--secret={SECRET}", "--start-idle"]
    first = scene.run(f"localhost:{server.port}", *options)
    volunteer = scene.volunteer(first.link)
    first.finish()
    second = scene.run(f"localhost:{server.port}", *options)
    assert second.link == first.link
    second.finish()
    assert volunteer.said.count("computing run") == 2


def test_a_wrong_secret_is_said_at_once(scene):
    server = scene.server()
    run = scene.run(f"localhost:{server.port}", "--secret=wrong but long enough")
    assert run.process.wait(90) == 1
    assert "the secret is wrong" in run.said
    assert run.said.count("\n") == 1
    assert server.said.count("a run was refused: its secret is wrong") == 1  # it did not try again


def test_a_host_that_refuses_connections_is_said_at_once(scene):
    run = scene.run(f"localhost:{free_port()}")
    assert run.process.wait(90) == 1
    assert run.says("cannot be reached: .*Connection refused")
    assert run.said.count("\n") == 1


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"])
def test_a_host_that_is_silent_or_no_server_is_said_within_ten_seconds(scene, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run = scene.run(f"localhost:{listener.getsockname()[1]}")
        connection, _ = listener.accept()
        with connection:
            connection.sendall(answer)
            assert run.process.wait(40) == 1
    words = "is not a pando-server" if answer else "does not answer as a pando-server does"
    assert words in run.said
    assert run.said.count("\n") == 1


def test_ctrl_c_ends_a_run_that_waits_for_a_silent_host(scene):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        run = scene.run(f"localhost:{listener.getsockname()[1]}")
        connection, _ = listener.accept()
        with connection:
            run.process.send_signal(signal.SIGINT)
            assert run.process.wait(90) == -signal.SIGINT
    assert "does not answer" not in run.said


def test_a_link_is_told_apart_that_has_not_begun_has_ended_or_whose_root_is_away(scene):
    server = scene.server()
    options = [f"--secret={SECRET}", "--start-idle"]
    run = scene.run(f"localhost:{server.port}", *options)
    link = run.link
    strange = f"{link.partition('/r/')[0]}/r/{'x' * 22}#{link.partition('#')[2]}"
    assert scene.volunteer(strange, name="early").says("it has not begun, or it ended long ago; tr")
    run.kill()
    assert scene.volunteer(link, name="away").says("the run has lost its connection to the server")
    run = scene.run(f"localhost:{server.port}", *options)
    assert run.link == link
    run.finish()
    late = scene.volunteer(link, "--once", name="late")
    assert late.process.wait(30) == 0
    assert "the run is over" in late.said


@pytest.mark.parametrize("seed", range(3))
def test_processes_are_killed_at_random_moments(scene, seed):
    """The server, volunteers and their like come back; every result is there, once."""
    chance = random.Random(seed)
    server = scene.server()
    run = scene.run(
        f"localhost:{server.port}", f"--secret={SECRET}", "--workers=1", items=range(400)
    )
    volunteers = [scene.volunteer(run.link, name=f"v{number}") for number in range(2)]
    for number in range(4):
        before = run.lines()
        time.sleep(chance.uniform(0.1, 1.5))
        if chance.random() < 0.5:
            server.kill()
            time.sleep(chance.uniform(0, 0.5))
            server = scene.server(port=server.port)
        else:
            index = chance.randrange(len(volunteers))
            volunteers[index].kill()
            volunteers[index] = scene.volunteer(run.link, name=f"w{number}")
        assert run.lines() >= before
    run.finish()
    assert run.process.returncode == 0


def test_volunteers_compute_again_after_the_server_has_been_killed(scene):
    server = scene.server()
    run = scene.run(
        f"localhost:{server.port}", f"--secret={SECRET}", "--start-idle", items=range(2000)
    )
    volunteer = scene.volunteer(run.link)
    assert wait_until(lambda: run.lines() > 20)
    server.kill()
    assert run.says("the link to the server is lost")
    scene.server(port=server.port)
    assert run.says("the server is back")
    done = run.lines()
    assert wait_until(lambda: run.lines() > done + 20)
    run.finish()
    assert volunteer.said.count("computing run") == 1, "it has kept its workers"


def test_a_root_that_was_killed_comes_back_to_its_volunteers(scene):
    server = scene.server()
    options = [f"--secret={SECRET}", "--start-idle"]
    run = scene.run(f"localhost:{server.port}", *options)
    volunteer = scene.volunteer(run.link)
    assert wait_until(lambda: run.lines() > 5)
    run.kill()
    assert volunteer.says("trying again")
    again = scene.run(f"localhost:{server.port}", *options)
    assert again.link == run.link
    again.finish()


def test_native_volunteers_below_each_other_connect_directly(scene):
    server = scene.server()
    run = scene.run(
        f"localhost:{server.port}",
        f"--secret={SECRET}",
        "--start-idle",
        "--degree=1",
        "--protocol=websocket",
        items=range(600),
    )
    first = scene.volunteer(run.link, name="first")
    assert wait_until(lambda: run.lines() > 0)
    scene.volunteer(run.link, name="second").says("computing run")
    port = server.port
    assert wait_until(lambda: _relayed(port) == 1), "the second one has left the server"
    assert first.process.poll() is None
    run.finish()


def _relayed(port: int) -> int:
    """The nodes that a server relays now."""
    from urllib.request import urlopen

    with urlopen(f"http://localhost:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    return int(text.partition("\npando_server_nodes ")[2].split()[0])


def run_program(server, home, *lines):
    """Run a program that has a function, and options for this server."""
    script = home / "program.py"
    beginning = (
        "import pando, sys, time",
        "def square(x): return x * x",
        f"options = pando.ServeOptions(host='localhost:{server.port}')",
        "if __name__ == '__main__':",
    )
    script.write_text("".join(f"{line}\n" for line in (*beginning, *lines)))
    return subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environment(home), "PANDO_SECRET": SECRET, "PYTHONPATH": os.getcwd()},
    )


def test_a_program_registers_by_its_options(scene, tmp_path):
    computes = "    print(list(pando.map(square, range(3), workers=1, serve=options)))"
    done = run_program(scene.server(), tmp_path, computes)
    assert done.stdout == "[0, 1, 4]\n", done.stderr


@pytest.mark.skipif(find_spec("aiortc") is None, reason="aiortc is not here")
def test_a_run_is_ready_for_webrtc_before_somebody_comes(scene, tmp_path):
    done = run_program(
        scene.server(),
        tmp_path,
        "    with pando.run(square, workers=0, serve=options):",
        "        while 'aiortc' not in sys.modules:",
        "            time.sleep(0.05)",
        "    print('ready')",
    )
    assert done.stdout == "ready\n", done.stderr


def test_a_port_of_its_own_is_there_where_it_is_asked_for(scene):
    server = scene.server()
    port = free_port()
    options = [f"--secret={SECRET}", "--start-idle"]
    run = scene.run(f"localhost:{server.port}", *options, f"--port={port}")
    assert run.says(f":{port}/#")
    scene.volunteer(f"http://localhost:{port}/", name="direct")
    scene.volunteer(run.link, name="relayed")
    run.finish()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not here")
@pytest.mark.parametrize("is_told", [True, False])
async def test_behind_nginx_with_tls_of_an_own_authority(scene, tmp_path, is_told):
    told = [] if is_told else ["--public-url=https://localhost"]
    server = scene.server(*told, *(["--behind-proxy=127.0.0.1"] if is_told else []))
    async with nginx(tmp_path, server.port) as (port, cafile):
        host = f"https://localhost:{port}"
        if not is_told:
            trusted = scene.run(host, f"--secret={SECRET}", name="unknown authority")
            assert await trio.to_thread.run_sync(trusted.process.wait) == 1
            assert "has a certificate that is not trusted here" in trusted.said
        run = scene.run(host, f"--secret={SECRET}", "--start-idle", f"--cafile={cafile}")
        await trio.to_thread.run_sync(run.says, "volunteers join")
        link = run.link.replace("https://localhost/", f"{host}/")
        assert link.startswith(f"{host}/r/")
        volunteer = scene.volunteer(link, f"--cafile={cafile}")
        assert await trio.to_thread.run_sync(volunteer.says, "computing run")
        await trio.to_thread.run_sync(run.finish)
