"""What the command applies: a module, Python or JavaScript by the end of its name, or code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import UsageError
from ..scheduler import ResultRun
from .output import say

if TYPE_CHECKING:
    from ..functions.serialized import SerializedFunction


MAX_NAME = 40
"""Characters of some code that stand for it where a module's name would."""


class Module(Protocol):
    """What the command does with a module."""

    name: str

    def read_requirements(self) -> list[str]:
        """What has to be installed for it, in the words of PEP 508."""

    def check(self, *, starts_idle: bool) -> None:
        """See whether it can run here, unless only volunteers compute.

        Raises:
            UsageError: it cannot.
            FunctionError: it exports no function.
        """

    def pack(self, requirements: list[str], random_seed: int | None) -> SerializedFunction:
        """Its function as workers are sent it; FunctionError where it cannot be sent."""

    def compute(self, batches: Iterable[list[Any]], random_seed: int | None) -> Iterator[ResultRun]:
        """``--local``: the results of items in this process, a few at a time."""


def open_module(path: str, *, as_text: bool) -> Module:
    """The module in a file.

    Args:
        path: the file.
        as_text: whether results are wanted as their language prints them.

    Raises:
        FunctionError: it cannot be read; the message is one sentence.
    """
    from ..functions.javascript import SUFFIXES

    if Path(path).suffix in SUFFIXES:
        return JavaScriptModule(path, as_text=as_text)
    return PythonModule(path)


class PythonModule:
    """A Python file."""

    def __init__(self, path: str) -> None:
        from ..functions.convention import find_exports

        self.name = Path(path).stem
        self._path = path
        self._function, self._setup = find_exports(path)

    def read_requirements(self) -> list[str]:
        import tokenize

        with tokenize.open(self._path) as file:  # as Python reads it
            source = file.read()
        if "# /// script" not in source:
            return []
        from ..requirements import read_script_metadata

        return read_script_metadata(source)

    def check(self, *, starts_idle: bool) -> None:
        """It has been imported, so it can run here."""

    def pack(self, requirements: list[str], random_seed: int | None) -> SerializedFunction:
        from ..running.run import pack

        return pack(
            self._function,
            requirements,
            initializer=self._setup,
            random_seed=random_seed,
            items="",  # words, or JSON: no instances of classes
        )

    def compute(self, batches: Iterable[list[Any]], random_seed: int | None) -> Iterator[ResultRun]:
        from .local import compute_locally

        items = chain.from_iterable(batches)
        return compute_locally(self._function, items, self._setup, random_seed)


class CodeModule:
    """The code of ``-c``."""

    def __init__(self, code: str) -> None:
        from .code import make_function

        self.name = shorten_code(code)
        self._function = make_function(code)

    def read_requirements(self) -> list[str]:
        return []

    def check(self, *, starts_idle: bool) -> None:
        """It has been compiled, so it can run here."""

    def pack(self, requirements: list[str], random_seed: int | None) -> SerializedFunction:
        from ..running.run import pack

        return pack(self._function, random_seed=random_seed)

    def compute(self, batches: Iterable[list[Any]], random_seed: int | None) -> Iterator[ResultRun]:
        from .local import compute_locally

        return compute_locally(self._function, chain.from_iterable(batches), None, random_seed)


def shorten_code(code: str) -> str:
    """Some code as volunteers are shown it."""
    text = " ".join(code.split())
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


class JavaScriptModule:
    """A JavaScript file."""

    def __init__(self, path: str, *, as_text: bool) -> None:
        from ..functions.javascript import read_module

        self.name = Path(path).stem
        self._package = read_module(path, as_text=as_text, say=say)

    def read_requirements(self) -> list[str]:
        return self._package.requirements

    def check(self, *, starts_idle: bool) -> None:
        from ..runtime import v8

        if not v8.is_installed():
            if not starts_idle:
                raise UsageError(f"{v8.HOW_TO_INSTALL}; --start-idle leaves it to volunteers")
        elif starts_idle:  # else the workers do
            from ..runtime.javascript import JavaScriptFunction

            JavaScriptFunction(self._package).close()

    def pack(self, requirements: list[str], random_seed: int | None) -> SerializedFunction:
        from ..functions.serialized import serialize_javascript

        return serialize_javascript(self._package)

    def compute(self, batches: Iterable[list[Any]], random_seed: int | None) -> Iterator[ResultRun]:
        from .local import compute_javascript_locally

        return compute_javascript_locally(self._package, batches)
