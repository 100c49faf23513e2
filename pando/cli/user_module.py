"""The function that the command applies: of a Python or JavaScript module, or of ``-c`` code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import UsageError
from ..scheduler import ResultBatch
from .output import say

if TYPE_CHECKING:
    from ..functions.serialized import SerializedFunction


MAX_NAME = 40
"""Maximum characters of code that is shown instead of a module's name."""


class Module(Protocol):
    """A module, or code, as the command uses it."""

    name: str

    def read_requirements(self) -> list[str]:
        """Return its requirements, as PEP 508 requirement strings."""

    def check(self, *, starts_idle: bool) -> None:
        """Check that the module can run where it has to.

        Args:
            starts_idle: whether only volunteers compute.

        Raises:
            UsageError: this machine cannot run the module.
            FunctionError: the module exports no function.
        """

    def serialize(self, requirements: list[str], random_seed: int | None) -> SerializedFunction:
        """Serialize the function; FunctionError if that is not possible."""

    def compute(
        self, batches: Iterable[list[Any]], random_seed: int | None
    ) -> Iterator[ResultBatch]:
        """Compute items in this process, and yield batches of results, for ``--local``."""


def open_module(path: str, *, as_text: bool) -> Module:
    """Open a module; the suffix of its name tells the language.

    Args:
        path: the file.
        as_text: whether to convert results to text in their own language.

    Raises:
        FunctionError: the module cannot be read; the message is one sentence.
    """
    from ..functions.javascript import SUFFIXES

    if Path(path).suffix in SUFFIXES:
        return JavaScriptModule(path, as_text=as_text)
    return PythonModule(path)


class PythonModule:
    """A Python module."""

    def __init__(self, path: str) -> None:
        from ..functions.exports import find_exports

        self.name = Path(path).stem
        self._path = path
        self._function, self._setup = find_exports(path)

    def read_requirements(self) -> list[str]:
        import tokenize

        with tokenize.open(self._path) as file:  # in the encoding that the file declares
            source = file.read()
        if "# /// script" not in source:
            return []
        from ..requirements import read_script_metadata

        return read_script_metadata(source)

    def check(self, *, starts_idle: bool) -> None:
        """Do nothing: the module has been imported, so it can run here."""

    def serialize(self, requirements: list[str], random_seed: int | None) -> SerializedFunction:
        from ..functions.serialized import serialize

        return serialize(
            self._function,
            requirements,
            initializer=self._setup,
            random_seed=random_seed,
            items="",  # strings, numbers or JSON: no instances of classes
        )

    def compute(
        self, batches: Iterable[list[Any]], random_seed: int | None
    ) -> Iterator[ResultBatch]:
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
        """Do nothing: the code has been compiled, so it can run here."""

    def serialize(self, requirements: list[str], random_seed: int | None) -> SerializedFunction:
        from ..functions.serialized import serialize

        return serialize(self._function, random_seed=random_seed)

    def compute(
        self, batches: Iterable[list[Any]], random_seed: int | None
    ) -> Iterator[ResultBatch]:
        from .local import compute_locally

        return compute_locally(self._function, chain.from_iterable(batches), None, random_seed)


def shorten_code(code: str) -> str:
    """Return code on one line, truncated to `MAX_NAME` characters."""
    text = " ".join(code.split())
    return text if len(text) <= MAX_NAME else text[: MAX_NAME - 1] + "…"


class JavaScriptModule:
    """A JavaScript module."""

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
                raise UsageError(f"{v8.HOW_TO_INSTALL}; with --start-idle only volunteers compute")
        elif starts_idle:  # otherwise the workers check it
            from ..runtime.javascript import JavaScriptFunction

            JavaScriptFunction(self._package).close()

    def serialize(self, requirements: list[str], random_seed: int | None) -> SerializedFunction:
        from ..functions.serialized import serialize_javascript

        return serialize_javascript(self._package)

    def compute(
        self, batches: Iterable[list[Any]], random_seed: int | None
    ) -> Iterator[ResultBatch]:
        from .local import compute_javascript_locally

        return compute_javascript_locally(self._package, batches)
