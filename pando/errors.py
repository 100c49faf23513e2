"""What can go wrong, in one tree of exceptions."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_TEXT = 64 * 1024
"""Characters of a failure's reason and of its traceback that travel; more is cut."""
MAX_ARGUMENTS_BYTES = 16 * 1024
"""Encoded bytes of an exception's arguments that are sent; larger ones are left out."""
LOCAL_WORKER = "worker "
"""What the names of this machine's own workers begin with."""


class PandoError(Exception):
    """The base of every error that Pando raises itself."""


class UsageError(PandoError):
    """Something was asked for that cannot be done: a wrong option, file or argument."""


class FunctionError(PandoError):
    """The function cannot be found, shipped to the workers, or loaded by them."""


class UnsupportedValueError(PandoError, TypeError):
    """A value is of a type that cannot be serialized; the message names the type."""


class MalformedValueError(PandoError, ValueError):
    """Bytes that should hold a value do not."""


class WorkerError(PandoError):
    """The workers of this machine cannot be started or kept alive."""


class RunClosedError(PandoError):
    """The run, or this stream of it, has been closed already."""


class ItemError(PandoError):
    """An item that has no result.

    Attributes:
        item: the item itself.
        index: its place in the input, counted from 0.
        type: the name of the exception the function raised, such as ``ValueError``.
        reason: that exception's text.
        traceback: the function's own traceback as text, empty where there is none.
        device: what was running the item: ``worker 2`` of this machine, or a volunteer's name.

    Where the function raised a built-in exception, that is the error's ``__cause__``.
    """

    def __init__(
        self,
        item: Any,
        index: int,
        type: str,
        reason: str,
        traceback: str = "",
        device: str = "",
    ) -> None:
        super().__init__(item, index, type, reason, traceback, device)
        self.item = item
        self.index = index
        self.type = type
        self.reason = reason
        self.traceback = traceback
        self.device = device
        if traceback:
            self.add_note(f"What the function raised:\n{traceback.rstrip()}")

    def __str__(self) -> str:
        what = f"{self.type}: {self.reason}" if self.reason else self.type
        is_elsewhere = self.device and not self.device.startswith(LOCAL_WORKER)
        where = f" (on {self.device})" if is_elsewhere else ""
        return f"item {self.index} ({shorten(self.item)}): {what}{where}"


def shorten(value: object, limit: int = 60) -> str:
    """``repr(value)``, cut to `limit` characters, and safe even where the repr itself fails."""
    if isinstance(value, str | bytes) and len(value) > limit:
        value = value[:limit]
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def cut(text: str) -> str:
    """The text, shortened in its middle to what may travel."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2 - 8
    return f"{text[:half]}\n […] \n{text[-half:]}"


def portable(text: str) -> str:
    """A text that can travel: not too long, and with its lone surrogates written out."""
    return cut(text.encode("utf-8", "backslashreplace").decode())
