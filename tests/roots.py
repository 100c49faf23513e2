"""Runs that serve, in processes of their own, and the volunteers of one test."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from .processes import BOOT, environment, wait_until

ROOT = [sys.executable, "-c", BOOT]
VOLUNTEER = [
    sys.executable,
    "-c",
    "import sys; from pando.cli.volunteer import main; sys.exit(main())",
]
SQUARE = """\
import os, time

def pando(x):
    time.sleep({seconds})
    return x * x
"""


class Root:
    """A root process, fed by a thread; its items may be held back until `release`."""

    def __init__(
        self,
        folder: Path,
        module: str,
        *options: str,
        items: int | Iterable[str],
        port: int = 0,
        name: str = "module.py",
        hold: bool = False,
        home: Path | None = None,
    ) -> None:
        self.port = port or free_port()
        if not any(option.startswith("--reporting-interval") for option in options):
            options = (*options, "--reporting-interval=0.3")  # so soon is seen what happens
        self.items = list(map(str, range(items))) if isinstance(items, int) else list(items)
        path = folder / name
        path.write_text(module)
        self.output = folder / "output"
        self.errors = folder / "errors"
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [*ROOT, str(path), "--stdin", f"--port={self.port}", *options],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                env=environment(home),
                cwd=folder,
            )
        self._released = threading.Event()
        if not hold:
            self.release()
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()
        if not wait_until(lambda: "volunteers join" in self.errors.read_text()):
            self.end()
            raise AssertionError(self.errors.read_text())

    def release(self) -> None:
        """Let the items come, where they were held back."""
        self._released.set()

    def _feed(self) -> None:
        self._released.wait()
        assert self.process.stdin
        with suppress(BrokenPipeError), self.process.stdin as stdin:
            stdin.write("".join(f"{item}\n" for item in self.items).encode())

    @property
    def link(self) -> str:
        return f"http://localhost:{self.port}/"

    @property
    def printed_link(self) -> str:
        """The first link that it has printed, with what follows its ``#``."""
        return self.errors.read_text().partition("volunteers join at ")[2].split()[0]

    def monitoring(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.link}monitoring.json", timeout=20) as answer:
            return dict(json.load(answer))

    def volunteers(self) -> dict[str, Any]:
        """The volunteers that have reported and are there, by name."""
        volunteers = self.monitoring()["volunteers"].values()
        return {v["deviceName"]: v for v in volunteers if v["state"] not in ("left", "lost")}

    def counter(self, name: str) -> int:
        return int(self.monitoring()["root"]["counters"].get(name, 0))

    def lines(self) -> int:
        return self.output.read_bytes().count(b"\n")

    def finish(self, seconds: float = 90) -> None:
        """Wait for the end, and hold the squares against the sequential ones, byte by byte."""
        assert self.process.wait(seconds) == 0, self.errors.read_text()
        squares = "".join(f"{int(n) ** 2}\n" for n in self.items)
        assert self.output.read_bytes() == squares.encode()

    def end(self) -> None:
        """Kill it, and wait until its port is free."""
        self.process.kill()
        self.process.wait()
        self.release()
        self._feeder.join()


class Party:
    """The processes of one test: all ended behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.roots: list[Root] = []

    def __enter__(self) -> Party:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()
        for root in self.roots:
            root.end()

    def root(
        self,
        *options: str,
        items: int | Iterable[str],
        seconds: float = 0.005,
        module: str = "",
        port: int = 0,
        name: str = "module.py",
        hold: bool = False,
        home: Path | None = None,
    ) -> Root:
        module = module or SQUARE.format(seconds=seconds)
        root = Root(
            self.folder,
            module,
            *options,
            items=items,
            port=port,
            name=name,
            hold=hold,
            home=home,
        )
        self.roots.append(root)
        self.processes.append(root.process)
        return root

    def volunteer(
        self, root: Root, name: str, *options: str, link: str = "", home: Path | None = None
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.errors").open("wb") as errors:
            process = subprocess.Popen(
                [*VOLUNTEER, link or root.link, "--workers=1", f"--name={name}", *options],
                stderr=errors,
                env=environment(home),
            )
        self.processes.append(process)
        return process

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.errors").read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(stat[1]) == pid:
                found.append(int(entry))
    return found
