"""Which devices find each other through real routers, and what becomes of the others."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ....processes import environment, wait_until
from ....roots import VOLUNTEER
from ....server.runs import SECRET, SERVER, Run, Said, Scene
from .networks import SERVER as SERVER_ADDRESS
from .networks import SERVER_IPV6, Networks, require

pytest.importorskip("aiortc")
pytestmark = [pytest.mark.process, pytest.mark.socket]
PORT, TURN_PORT = 5000, 443
TURN_SECRET = "the north wind"
MANY = 600
"""Items of a run: half of them come at its end."""


class Scenery(Scene):
    """The processes of a test, each in a network."""

    def __init__(self, folder: Path, networks: Networks) -> None:
        super().__init__(folder)
        self.networks = networks
        self.monitoring_log = folder / "monitoring"

    def begin_server(self) -> None:
        """Begin a `pando-server` at the public machine, which answers STUN by default."""
        log = self.folder / "server.log"
        log.write_text("")
        words = ["--port", str(PORT), "--behind-proxy", "192.0.2.1"]
        command = [*self.networks.inside("public"), *SERVER, *words]
        server = Said(command, log, self.folder, PANDO_SECRET=SECRET)
        self.add(server)
        assert server.says("serving at"), server.said

    def begin_turn(self) -> None:
        """Begin a TURN server at the public machine, on the port of https, as offices let pass."""
        log = self.folder / "turn.log"
        log.write_text("")
        words = [
            "turnserver",
            "-n",
            f"--listening-ip={SERVER_ADDRESS}",
            f"--relay-ip={SERVER_ADDRESS}",
            f"--listening-port={TURN_PORT}",
            "--realm=test",
            "--use-auth-secret",
            f"--static-auth-secret={TURN_SECRET}",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
            "--log-file=stdout",
            f"--pidfile={self.folder / 'turn.pid'}",
            f"--userdb={self.folder / 'turndb'}",
        ]
        turn = Said([*self.networks.inside("public"), *words], log, self.folder)
        self.add(turn)
        assert turn.says("DB connection success"), turn.said

    def begin_run(self, place: str, *options: str, host: str = SERVER_ADDRESS) -> Run:
        """Begin a run in a place, registered at the server unless `host` is empty."""
        given = [
            "--start-idle",
            f"--monitoring-log={self.monitoring_log}",
            "--reporting-interval=0.3",
            *([f"--host=http://{host}:{PORT}", f"--secret={SECRET}"] if host else []),
            *options,
        ]
        run = Run(self, "run", given, range(MANY), 0.005, prefix=self.networks.inside(place))
        self.add(run)
        return run

    def join(self, place: str, link: str, *options: str) -> Said:
        """Begin a volunteer in a place, which is called like the place."""
        log = self.folder / f"{place}.log"
        command = [*VOLUNTEER, link, "--workers=1", f"--name={place}", *options]
        volunteer = Said([*self.networks.inside(place), *command], log, self.folder)
        self.add(volunteer)
        return volunteer

    def links(self) -> dict[str, str]:
        """What carries the link of each volunteer that is there now, by name."""
        lines = self.monitoring_log.read_text().splitlines() if self.monitoring_log.exists() else []
        for line in reversed(lines):
            try:
                seen = json.loads(line)["volunteers"].values()
            except ValueError:  # the last one is being written
                continue
            here = (each for each in seen if each["state"] not in ("left", "lost"))
            return {each["deviceName"]: each["link"] for each in here}
        return {}

    def diagnose(self, place: str, link: str) -> tuple[int, str]:
        """Run `pando-volunteer --diagnose` in a place; its exit status, and what it says."""
        done = subprocess.run(
            [*self.networks.inside(place), *VOLUNTEER, "--diagnose", link],
            capture_output=True,
            text=True,
            env=environment(self.folder),
            check=False,
        )
        return done.returncode, done.stdout


@pytest.fixture
def networks() -> Iterator[Networks]:
    require("ip", "nft")
    with Networks() as networks:
        yield networks


@pytest.fixture
def scene(tmp_path: Path, networks: Networks) -> Iterator[Scenery]:
    with Scenery(tmp_path, networks) as scene:
        yield scene


def test_each_device_connects_as_its_routers_let_it(scene: Scenery) -> None:
    """Two homes directly, by the server's STUN; a phone and an office without UDP by the relay."""
    scene.networks.make_home("home", 1)
    scene.networks.make_home("other-home", 2)
    scene.networks.make_home("phone", 3, symmetric=True)
    scene.networks.make_home("office", 4, udp=False)
    scene.begin_server()
    run = scene.begin_run("home")
    volunteers = {place: scene.join(place, run.link) for place in ("other-home", "phone", "office")}
    expected = {"other-home": "webrtc", "phone": "relay", "office": "relay"}
    for place in ("phone", "office"):
        assert volunteers[place].says("no WebRTC to the root: .*; it stays connected as it is")
    assert wait_until(lambda: scene.links() == expected), scene.links()
    status, said = scene.diagnose("phone", run.link)
    assert status == 1, said
    assert "relay by the server 203.0.113.1:5000: works" in said
    assert "a router gives each connection another port" in said
    run.finish()
    assert "no WebRTC" not in volunteers["other-home"].said


def test_by_turn_all_connect_directly(scene: Scenery) -> None:
    """A phone over UDP, and an office over TCP on the port of https alone."""
    require("turnserver")
    scene.networks.make_home("home", 1)
    scene.networks.make_home("phone", 3, symmetric=True)
    scene.networks.make_home("office", 4, udp=False)
    scene.begin_server()
    scene.begin_turn()
    config = scene.folder / ".pando" / "config.json"
    config.parent.mkdir(exist_ok=True)
    turn = f"turn:{SERVER_ADDRESS}:{TURN_PORT}"
    servers = [{"urls": [turn, f"{turn}?transport=tcp"]}]
    config.write_text(json.dumps({"iceServers": servers, "turn-secret": TURN_SECRET}))
    run = scene.begin_run("home")
    volunteers = [scene.join(place, run.link) for place in ("phone", "office")]
    everywhere = {"phone": "webrtc", "office": "webrtc"}
    assert wait_until(lambda: scene.links() == everywhere), (
        scene.links(),
        [volunteer.said for volunteer in volunteers],
    )
    status, said = scene.diagnose("office", run.link)
    assert status == 0, said
    assert "WebRTC by a TURN server: works" in said
    for process in (run, *volunteers):
        command = Path(f"/proc/{process.process.pid}/cmdline").read_bytes()
        assert TURN_SECRET.encode() not in command
    run.finish()


def test_ipv6_alone_needs_no_server_that_tells_addresses(scene: Scenery) -> None:
    scene.networks.make_with_ipv6("six", 6)
    scene.networks.make_with_ipv6("seven", 7)
    scene.begin_server()
    run = scene.begin_run("six", "--ice-servers=", host=f"[{SERVER_IPV6}]")
    scene.join("seven", run.link)
    assert wait_until(lambda: scene.links() == {"seven": "webrtc"}), scene.links()
    run.finish()


def test_a_lan_without_any_router_or_server(scene: Scenery) -> None:
    scene.networks.make_lan("switch", "first", "second")
    run = scene.begin_run("first", "--port=5000", "--protocol=webrtc", host="")
    scene.join("second", run.link)
    assert wait_until(lambda: scene.links() == {"second": "webrtc"}), scene.links()
    run.finish()


def test_an_address_is_gone_in_the_middle_and_nothing_is_lost(scene: Scenery) -> None:
    scene.networks.make_home("home", 1)
    scene.networks.make_home("other-home", 2)
    scene.begin_server()
    run = scene.begin_run("home", "--heartbeat=3000")
    volunteer = scene.join("other-home", run.link)
    assert wait_until(lambda: scene.links() == {"other-home": "webrtc"}), volunteer.said
    assert wait_until(lambda: run.lines() > 0)
    scene.networks.give_address("other-home", 2, 77)
    moved = time.time()

    def has_another_link() -> bool:
        new = scene.monitoring_log.stat().st_mtime > moved + 3
        return new and scene.links() == {"other-home": "webrtc"}

    assert wait_until(has_another_link), volunteer.said
    assert os.path.exists(f"/proc/{volunteer.process.pid}")
    run.finish()
    assert volunteer.says("the run has ended")


def test_a_relayed_device_that_comes_into_another_network_connects_directly(
    scene: Scenery,
) -> None:
    """Its first link ends with its address; the pause after the try in vain is not waited for."""
    scene.networks.make_home("home", 1)
    scene.networks.make_home("other-home", 2)
    scene.networks.make_home("phone", 3, symmetric=True)
    scene.begin_server()
    run = scene.begin_run("home", "--heartbeat=3000")
    phone = scene.join("phone", run.link)
    assert phone.says("no WebRTC to the root: .*; it stays connected as it is")
    assert wait_until(lambda: scene.links() == {"phone": "relay"}), scene.links()
    assert wait_until(lambda: run.lines() > 0)
    scene.networks.move("phone", 2)
    assert wait_until(lambda: scene.links() == {"phone": "webrtc"}), (scene.links(), phone.said)
    run.finish()
    assert phone.says("the run has ended")


@pytest.mark.parametrize("parent", ["root", "middle"])
def test_the_address_of_a_parent_is_gone_and_nothing_is_lost(scene: Scenery, parent: str) -> None:
    scene.networks.make_home("home", 1)
    scene.networks.make_home("middle", 2)
    scene.networks.make_home("last", 4)
    scene.begin_server()
    run = scene.begin_run("home", "--heartbeat=3000", "--degree=1")
    everywhere: dict[str, str] = {}
    volunteers = {}
    for place in ("middle", "last"):
        volunteers[place] = scene.join(place, run.link)
        everywhere[place] = "webrtc"
        assert wait_until(lambda: scene.links() == everywhere), (
            scene.links(),
            volunteers[place].said,
        )
    assert wait_until(lambda: run.lines() > 0)
    number = 1 if parent == "root" else 2
    scene.networks.give_address("home" if parent == "root" else parent, number, 77)
    moved = time.time()

    def are_there_again() -> bool:
        new = scene.monitoring_log.stat().st_mtime > moved + 3
        return new and scene.links() == everywhere

    assert wait_until(are_there_again), (scene.links(), [v.said for v in volunteers.values()])
    run.finish()
    for volunteer in volunteers.values():
        assert volunteer.says("the run has ended")
