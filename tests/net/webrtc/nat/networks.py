"""Networks in namespaces of Linux: a public one, and private ones behind routers.

The public network is a bridge with the server at its addresses. A router translates the addresses
of the network behind it, as those of homes and of phone networks do, and takes from outside only
what belongs to something that began inside. Nothing here reaches the machine's own network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from types import TracebackType

import pytest

SERVER, SERVER_IPV6 = "203.0.113.1", "2001:db8::1"
"""The addresses of the public machine."""
RULES = """\
table ip nat {
    chain post {
        type nat hook postrouting priority 100
        oifname wan HOW
    }
}
table ip filter {
    chain through {
        type filter hook forward priority 0; policy drop
        UDP
        ct state established,related accept
        iifname lan accept
    }
    chain inside {
        type filter hook input priority 0; policy drop
        ct state established,related accept
        iifname lan accept
    }
}
"""
"""Of a router. What nobody asked for is dropped on its own input, too: a later connection of the
same port would get another one otherwise."""


def require(*programs: str) -> None:
    """Skip the test where these programs are missing, or namespaces cannot be made."""
    for program in programs:
        if _find(program) is None:
            pytest.skip(f"needs {program}")
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("needs root, for network namespaces")
    probe = f"pando-{os.getpid()}-probe"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode:
        pytest.skip("needs network namespaces, which cannot be made here")
    subprocess.run(["ip", "netns", "del", probe], check=True)


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


class Networks:
    """Networks, which are gone after the block. Names are those of this process alone."""

    def __init__(self) -> None:
        self._made: list[str] = []
        self._ports = 0

    def __enter__(self) -> Networks:
        try:
            self.make("public")
            self.ip("public", "link add br0 type bridge")
            self.ip("public", "link set br0 up")
            for address in (f"{SERVER}/24", f"{SERVER_IPV6}/64 nodad"):
                self.ip("public", f"addr add {address} dev br0")
            # What goes elsewhere vanishes, as it does in the internet: nobody has this address.
            self.ip("public", "neigh add 203.0.113.254 lladdr 02:00:00:00:00:01 dev br0")
            self.ip("public", "route add default via 203.0.113.254")
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        for name in self._made:
            subprocess.run(["ip", "netns", "del", name], check=True)
        self._made.clear()

    # ---- building ----

    def name(self, place: str) -> str:
        """The namespace of a place."""
        return f"pando-{os.getpid()}-{place}"

    def make(self, place: str) -> None:
        """Make a place without any link but its loopback."""
        subprocess.run(["ip", "netns", "add", self.name(place)], check=True)
        self._made.append(self.name(place))
        self.ip(place, "link set lo up")

    def ip(self, place: str, words: str) -> None:
        """Run `ip` in a place."""
        subprocess.run(["ip", "-n", self.name(place), *words.split()], check=True)

    def inside(self, place: str) -> list[str]:
        """The words before a command that is to run in a place."""
        return ["ip", "netns", "exec", self.name(place)]

    def _call(self, place: str, *command: str) -> None:
        subprocess.run([*self.inside(place), *command], check=True, stdout=subprocess.DEVNULL)

    def connect(self, place: str, link: str, bridge: str = "public") -> None:
        """Lay a cable from a place to the bridge of another one."""
        self._ports += 1
        port = f"p{self._ports}"
        ends = f"link add {link} type veth peer name {port} netns {self.name(bridge)}"
        self.ip(place, ends)
        self.ip(bridge, f"link set {port} master br0")
        self.ip(bridge, f"link set {port} up")
        self.ip(place, f"link set {link} up")

    def make_home(
        self, place: str, number: int, *, symmetric: bool = False, udp: bool = True
    ) -> None:
        """Make a place behind a router of its own.

        Args:
            place: what it is called.
            number: of its network: the device is 192.168.NUMBER.2, the router 203.0.113.1NUMBER.
            symmetric: whether each connection gets another port, as in phone networks.
            udp: whether UDP passes the router.
        """
        router = f"router{number}"
        self.make(router)
        self.make(place)
        self.connect(router, "wan")
        self.ip(router, f"addr add 203.0.113.{10 + number}/24 dev wan")
        self._lay_lan(place, number)
        how = "masquerade fully-random" if symmetric else "masquerade"
        rules = RULES.replace("HOW", how).replace("UDP", "" if udp else "meta l4proto udp drop")
        command = [*self.inside(router), "nft", "-f", "-"]
        subprocess.run(command, input=rules.encode(), check=True)
        self._call(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def give_address(self, place: str, number: int, last: int) -> None:
        """Let a place in a home have one address, in place of any other."""
        self.ip(place, "addr flush dev eth0 scope global")
        self.ip(place, f"addr add 192.168.{number}.{last}/24 dev eth0")
        self.ip(place, f"route replace default via 192.168.{number}.1")

    def move(self, place: str, number: int) -> None:
        """Take a place to another home, as one does a phone: its address and its links go.

        Args:
            place: what it is called.
            number: of the other home's network; whoever was there is cut off.
        """
        router = f"router{number}"
        self.ip(place, "link del eth0")
        self.ip(router, "link del lan")
        self._lay_lan(place, number)

    def _lay_lan(self, place: str, number: int) -> None:
        """Connect a place to a home's router, as its only device."""
        router = f"router{number}"
        self.ip(router, f"link add lan type veth peer name eth0 netns {self.name(place)}")
        self.ip(router, f"addr add 192.168.{number}.1/24 dev lan")
        self.ip(router, "link set lan up")
        self.ip(place, "link set eth0 up")
        self.give_address(place, number, 2)

    def make_with_ipv6(self, place: str, last: int) -> None:
        """Make a place in the public network that has IPv6 alone."""
        self.make(place)
        self.connect(place, "eth0")
        self.ip(place, f"addr add 2001:db8::{last}/64 dev eth0 nodad")

    def make_lan(self, switch: str, *places: str) -> None:
        """Make places in one network, without any router: 10.0.0.1 and so on."""
        self.make(switch)
        self.ip(switch, "link add br0 type bridge")
        self.ip(switch, "link set br0 up")
        for last, place in enumerate(places, 1):
            self.make(place)
            self.connect(place, "eth0", switch)
            self.ip(place, f"addr add 10.0.0.{last}/24 dev eth0")
