"""What the volunteer page is told of a run."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import dataclass, field, replace

from . import frontend_files
from .frontend_files import File, PythonParts

RUN_DATA = '<script type="application/json" id="run">{}</script>'
"""The place in the built page for what is particular to a run."""
LOOK_AGAIN = "setTimeout(() => location.reload(), 2000);\n"
"""The program of a page that has come too early: it asks again.

`<meta http-equiv="refresh">` would not: with something behind its ``#``, an address is not loaded
again, only scrolled to.
"""
TOO_EARLY = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Pando</title>
<p>This run is still looking for what its function needs in browsers, which may take some minutes.
This page loads itself again until it is found.</p>
<script src="./again.js"></script>
</html>
"""


@dataclass(frozen=True)
class RunPage:
    """What the volunteer page says of a run.

    Attributes:
        function: the function's name.
        identifier: by which nodes know the run.
        language: ``python`` or ``javascript``.
        asker: who asks for help.
        network: whether the function may use the internet in browsers.
        problem: why browsers cannot take part, if they cannot.
        packages: wheels that the function needs, by file name.
        complete: whether it is known what the function needs.
    """

    function: str
    language: str = "python"
    asker: str = ""
    network: bool = False
    problem: str = ""
    packages: dict[str, File] = field(default_factory=dict)
    complete: bool = True
    identifier: str = ""

    def python_parts(self) -> PythonParts | None:
        """The parts of Python that the page is going to fetch, if it does."""
        if self.language != "python" or self.problem:
            return None
        parts = frontend_files.python_parts()
        wheels = [f"wheels/{name}" for name in self.packages]
        return replace(parts, packages=[*parts.packages, *wheels])

    def render(self, link: str) -> str:
        """The page, for people who found it at this link; too early, one that asks again."""
        if not self.complete:
            return TOO_EARLY
        parts = self.python_parts()
        python = parts and {
            "program": parts.program,
            "wasm": parts.wasm,
            "standardLibrary": parts.standard_library,
            "packages": parts.packages,
        }
        data = json.dumps(
            {
                "id": self.identifier,
                "function": self.function,
                "language": self.language,
                "asker": self.asker,
                "network": self.network,
                "problem": self.problem,
                "python": python,
                "link": link,
            }
        )
        # Nothing in it can end the element it stands in.
        escaped = data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
        page = frontend_files.read_text("index.html")
        assert RUN_DATA in page
        return page.replace(RUN_DATA, RUN_DATA.replace("{}", escaped))


def default_asker() -> str:
    """Who runs this, in words for volunteers."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):
        return socket.gethostname()
    return f"{user} on {socket.gethostname()}"
