"""What the volunteer page is told of a run."""

from __future__ import annotations

import getpass
import os
import pwd
from dataclasses import dataclass, field
from typing import Any

from . import frontend_files
from .frontend_files import Asset, File


@dataclass(frozen=True)
class RunPage:
    """What the volunteer page says of a run.

    Attributes:
        function: the function's name.
        identifier: by which nodes know the run.
        language: ``python`` or ``javascript``.
        requester: who asks for help.
        about: what the run is for.
        network: whether the function may use the internet in browsers.
        problem: why browsers cannot take part, if they cannot.
        packages: wheels that the function needs, by file name.
        complete: whether it is known what the function needs.
        link_lasts: whether other runs may follow at the same link.
    """

    function: str
    language: str = "python"
    requester: str = ""
    about: str = ""
    network: bool = False
    problem: str = ""
    packages: dict[str, File] = field(default_factory=dict)
    complete: bool = True
    identifier: str = ""
    link_lasts: bool = False

    def describe(self, link: str, *, has_pyodide: bool = False) -> dict[str, Any]:
        """The same for the page, ready for JSON.

        Args:
            link: where the page was found, up to the ``#``.
            has_pyodide: whether the page has Python from elsewhere, and needs packages alone.
        """
        if not self.complete:
            return {"type": "notReady", "packages": bool(self.identifier)}
        return {
            "type": "run",
            "run": {
                "id": self.identifier,
                "function": self.function,
                "requester": self.requester,
                "about": self.about,
                "language": self.language,
                "network": self.network,
                "problem": self.problem,
                "link": link,
                "linkLasts": self.link_lasts,
                "python": self._describe_python(has_pyodide=has_pyodide),
            },
        }

    def _describe_python(self, *, has_pyodide: bool) -> dict[str, Any] | None:
        """The files that the page fetches; None where it fetches none."""
        if self.language != "python" or self.problem:
            return None
        wheels = [
            Asset.of(f"wheels/{name}", file).describe() for name, file in self.packages.items()
        ]
        if has_pyodide:  # and so comes from elsewhere: what a wheel is, its digest says
            digests = [file.digest for file in self.packages.values()]
            pairs = zip(wheels, digests, strict=True)
            return {"packages": [{**wheel, "digest": digest} for wheel, digest in pairs]}
        pyodide = frontend_files.pyodide_assets().describe()
        return {**pyodide, "packages": [*pyodide["packages"], *wheels]}


def default_requester() -> str:
    """The full name of the user who runs this, or else the account's name."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_gecos.partition(",")[0].strip()
        return name or getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
