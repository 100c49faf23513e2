"""Where workers run: which Python, and what a program finds in it."""

from __future__ import annotations

import os
import sys

import msgspec

from ..errors import UsageError
from ..functions.placing import find_places

GEVENT_PATCHES = ("threading", "socket", "select")


def import_path() -> tuple[str, ...]:
    """This process's import path as another process can have it.

    Entries that are no text do not count here either.
    """
    return tuple(os.path.join(_folder(), entry) for entry in sys.path if isinstance(entry, str))


def own_path() -> list[str]:
    """Return the import path of Pando and its dependencies, without the user's folders."""
    import msgpack

    standard = os.path.dirname(os.__file__)
    homes = [os.path.dirname(os.path.dirname(file)) for file in (__file__, msgpack.__file__)]
    packed = os.path.join(os.path.dirname(standard), "python{}{}.zip".format(*sys.version_info))
    own = os.path.dirname(homes[0])
    return list(
        dict.fromkeys([packed, standard, os.path.join(standard, "lib-dynload"), own, homes[1]])
    )


def interpreter_flags() -> tuple[str, ...]:
    """Return the options that make another interpreter like this one, such as ``-O``."""
    import subprocess

    flags: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    return tuple(flags)


def refuse_gevent() -> None:
    """See that threads and sockets are Python's own.

    Raises:
        UsageError: gevent has replaced them.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and any(map(monkey.is_module_patched, GEVENT_PATCHES)):
        raise UsageError(
            "gevent has replaced the threads or sockets of this process, which Pando needs as they "
            "are: use Pando in a process without gevent's monkey patches"
        )


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:  # it has been removed
        return "/"


class Environment(msgspec.Struct, frozen=True):
    """A Python to start workers with, and what they find; by default as in this process.

    Attributes:
        python: the program.
        path: the import path.
        arguments: the command line.
        folder: the current folder.
        flags: the interpreter's options.
        places: where modules are imported from whose names are not unique on the path.
    """

    python: str = msgspec.field(default_factory=lambda: sys.executable)
    path: tuple[str, ...] = msgspec.field(default_factory=import_path)
    arguments: tuple[str, ...] = msgspec.field(default_factory=lambda: tuple(map(str, sys.argv)))
    folder: str = msgspec.field(default_factory=_folder)
    flags: tuple[str, ...] = msgspec.field(default_factory=interpreter_flags)
    places: dict[str, str] = msgspec.field(default_factory=lambda: find_places(import_path()))
