"""Processes of a test with a public server: the server, runs that register there, volunteers."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from ..processes import environment, wait_until
from ..roots import ROOT, SQUARE, VOLUNTEER, free_port

SECRET = "correct horse battery"
SERVER = [sys.executable, "-m", "pando.server"]


class Said:
    """A process, and the file with what it says."""

    def __init__(
        self,
        arguments: list[str],
        log: Path,
        home: Path,
        stdin: int = subprocess.DEVNULL,
        output: Path | None = None,
        **variables: str,
    ) -> None:
        self.log = log
        self.port = 0
        with log.open("ab") as errors, (output or log).open("ab") as out:
            self.process = subprocess.Popen(
                arguments,
                stdin=stdin,
                stdout=out,
                stderr=errors,
                env={**environment(home), **variables},
            )

    @property
    def said(self) -> str:
        return self.log.read_text()

    def says(self, words: str) -> bool:
        """Whether it says this within a generous time."""
        return wait_until(lambda: re.search(words, self.said) is not None)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Run(Said):
    """A run at a server, which squares what a thread feeds it."""

    def __init__(
        self,
        scene: Scene,
        name: str,
        options: list[str],
        items: Iterable[int],
        seconds: float,
        source: str = SQUARE,
        prefix: Iterable[str] = (),
        suffix: str = ".py",
    ) -> None:
        self.items = list(items)
        self._output = scene.folder / f"{name}.out"
        module = scene.folder / f"{name}{suffix}"
        module.write_text(source.replace("{seconds}", str(seconds)))
        arguments = [*prefix, *ROOT, str(module), "--stdin", *options]
        log = scene.folder / f"{name}.log"
        log.write_text("")
        self._output.write_text("")
        super().__init__(arguments, log, scene.folder, subprocess.PIPE, self._output)
        self.rest = threading.Event()
        self._feeder = threading.Thread(target=self._feed, daemon=True)
        self._feeder.start()

    def _feed(self) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError), self.process.stdin as stdin:
            half = len(self.items) // 2
            for items in (self.items[:half], self.items[half:]):
                stdin.write("".join(f"{item}\n" for item in items).encode())
                stdin.flush()
                self.rest.wait()

    @property
    def link(self) -> str:
        return self._find("volunteers join at ")

    @property
    def monitoring_link(self) -> str:
        return self._find("monitoring: ")

    def _find(self, words: str) -> str:
        """The link after these words, once it is there as a whole."""
        assert self.says(rf"{words}(\S+)\s"), self.said
        found = re.search(rf"{words}(\S+)\s", self.said)
        assert found is not None
        return found[1]

    def lines(self) -> int:
        return self._output.read_bytes().count(b"\n")

    def finish(self) -> None:
        """Let the rest of the items come, and hold the results against the exact ones."""
        self.rest.set()
        assert self.process.wait(90) == 0, self.said
        squares = "".join(f"{item**2}\n" for item in self.items)
        assert self._output.read_text() == squares


class Scene:
    """The processes of one test, all ended after it. Half of a run's items come at `finish`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._all: list[Said] = []

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for each in self._all:
            if each.process.poll() is None:
                each.process.send_signal(signal.SIGCONT)
                each.process.kill()
            each.process.wait()
            if isinstance(each, Run):
                each.rest.set()
                each._feeder.join()

    def add(self, process: Said) -> None:
        """Let a process end with the scene."""
        self._all.append(process)

    def server(self, *options: str, port: int = 0, secret: str = SECRET) -> Said:
        port = port or free_port()
        log = self.folder / f"server{port}.log"
        log.write_text("")
        given = ["--port", str(port), *options]
        variables = {}
        if secret:  # which is asked for where others come through a proxy
            variables["PANDO_SECRET"] = secret
            given += ["--behind-proxy", "192.0.2.1"]
        server = Said([*SERVER, *given], log, self.folder, **variables)
        server.port = port
        self._all.append(server)
        assert server.says("serving at"), server.said
        return server

    def run(
        self,
        host: str,
        *options: str,
        name: str = "run",
        items: Iterable[int] = range(200),
        seconds: float = 0.005,
        source: str = SQUARE,
        prefix: Iterable[str] = (),
        suffix: str = ".py",
    ) -> Run:
        given = [f"--host={host}", *options]
        run = Run(self, name, given, items, seconds, source, prefix, suffix)
        self._all.append(run)
        return run

    def volunteer(
        self, link: str, *options: str, name: str = "volunteer", home: Path | None = None
    ) -> Said:
        arguments = [*VOLUNTEER, link, "--workers=1", f"--name={name}", *options]
        volunteer = Said(arguments, self.folder / f"{name}.log", home or self.folder)
        self._all.append(volunteer)
        return volunteer
