"""The `pando-top` command."""

from __future__ import annotations

import sys

from . import startup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .signals import Signals


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return startup.run(_run, arguments)


def _run(arguments: list[str], signals: Signals) -> int:
    from .top_command import run_command

    return run_command(arguments, signals)


if __name__ == "__main__":
    sys.exit(main())
