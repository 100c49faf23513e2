"""The exceptions of Pando, and the texts in them.

    PandoError
    ├── UsageError                    an option, file or argument is invalid
    │   └── InputWaitsError           the input waits for a result that needs more input
    ├── FunctionError                 the function cannot be found, sent or loaded
    ├── UnsupportedValueError         a value cannot be serialized (also a TypeError)
    ├── BrowserUnsupportedError       a requirement is not available in browsers
    ├── RootUnreachableError          a volunteer found no run to join in time
    ├── WorkerError                   workers cannot be started or keep crashing
    │   └── WorkerShortageError       the system is short of what a worker needs
    ├── RunClosedError                the run, or one of its streams, is closed
    ├── ItemError                     an item failed
    ├── OutputError                   results cannot be written
    ├── ProtocolError                 the peer violated the protocol
    │   ├── MalformedMessageError     bytes cannot be decoded to a message
    │   ├── MalformedReportError      figures of a device make no sense
    │   ├── TooManyReportsError       a device reports more often than was agreed on
    │   └── MalformedValueError       bytes cannot be decoded to a value (also a ValueError)
    │       └── UnavailableValueError they can, but not here: a library is missing, or the like
    ├── TrustError                    the peer has not proved its identity or its invitation
    │   ├── HandshakeFailedError      its messages do not match the key or the secret
    │   └── JoinRefusedError          the root has refused, with a reason
    ├── ServerError                   the public server cannot be used
    ├── ProofError                    the server or the root has not proved what it must
    │   └── WrongSecretError          the server has another secret
    └── ChannelClosedError            a channel has ended
        ├── PublicServerError         a public server is where a root was looked for
        ├── RoomClosedError           a public server has ended a relayed connection
        └── ProtocolViolationError    it has ended because the peer violated the protocol
            └── MalformedFrameError   bytes are no frame of a control link

A `UsageError` is reported to the person who uses Pando. After a `ProtocolError` the peer is
disconnected, and the event counted. After a `ChannelClosedError` a volunteer reconnects. Neither of
the last two ends a run.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_TEXT = 16 * 1024
"""Maximum characters of a failure's reason and of its traceback; longer ones are truncated."""
MAX_LINE = 200
"""Maximum characters shown of a sentence that comes from another device."""
MAX_ARGUMENTS_BYTES = 16 * 1024
"""Maximum encoded bytes of an exception's arguments; larger arguments are not sent."""
LOCAL_WORKER = "worker "
"""Prefix of the names of this machine's workers."""


class PandoError(Exception):
    """The base class of all errors that Pando raises."""


class UsageError(PandoError):
    """An option, file or argument is invalid."""


class FunctionError(PandoError):
    """The function cannot be found, sent to workers, or loaded there."""


class UnsupportedValueError(PandoError, TypeError):
    """A value's type cannot be serialized; the message names the type."""


class ProtocolError(PandoError):
    """The peer has sent what the protocol does not allow."""


class MalformedValueError(ProtocolError, ValueError):
    """Bytes cannot be decoded to a value."""


class ChannelClosedError(PandoError):
    """A channel has ended; the message gives the reason.

    Attributes:
        in_order: whether the other end has said that it leaves, or has been sent away.
        fell_silent: whether nothing was heard of it any more; it may come back.
        code: WebSocket's code with which the other end has closed it; None where it has not.
        said: what it has said with that.
    """

    def __init__(
        self,
        reason: str = "",
        *,
        in_order: bool = False,
        silent: bool = False,
        code: int | None = None,
        said: str = "",
    ) -> None:
        super().__init__(reason)
        self.in_order = in_order
        self.fell_silent = silent
        self.code = code
        self.said = said


class UnavailableValueError(MalformedValueError):
    """Bytes hold a value, but what it needs, such as a library, is not to be had here."""


class ProtocolViolationError(ChannelClosedError):
    """A channel has ended because the peer violated the protocol."""


class WorkerError(PandoError):
    """The workers of this machine cannot be started, or keep crashing."""


class ServerError(PandoError):
    """The public server cannot be reached, or does not let this run register; it says why."""


class RootUnreachableError(PandoError):
    """No run could be joined within the time limit of the volunteer."""


class RunClosedError(PandoError):
    """The run, or one of its streams, is already closed."""


class ItemError(PandoError):
    """An item failed and has no result.

    Attributes:
        item: the item.
        index: its 0-based position in the input.
        type: the name of the exception the function raised, such as ``ValueError``.
        reason: that exception's message.
        traceback: the function's traceback as text; empty if there is none.
        device: where the item ran: ``worker 2`` of this machine, or a volunteer's name.

    If the function raised a built-in exception, that exception is the ``__cause__``.
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
            self.add_note(printable(f"What the function raised:\n{traceback.rstrip()}", MAX_TEXT))

    def __str__(self) -> str:
        kind, device = one_line(self.type), one_line(self.device)
        what = f"{kind}: {self.reason}" if self.reason else kind
        is_elsewhere = self.device and not self.device.startswith(LOCAL_WORKER)
        where = f" (on {device})" if is_elsewhere else ""
        return printable(f"item {self.index} ({shorten(self.item)}): {what}{where}", MAX_TEXT)


def shorten(value: object, limit: int = 60) -> str:
    """Return ``repr(value)`` truncated to `limit` characters, or a type name if the repr fails."""
    if isinstance(value, str | bytes) and len(value) > limit:
        value = value[:limit]
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"


def truncate(text: str) -> str:
    """Remove the middle of a text that is longer than `MAX_TEXT`."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2 - 8
    return f"{text[:half]}\n […] \n{text[-half:]}"


def one_line(text: str, limit: int = MAX_LINE) -> str:
    """Return a text from another device as one short line of printable characters."""
    text = text[: 2 * limit]
    if not text.isprintable():  # nearly every text is
        text = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def printable(text: str, limit: int | None = None) -> str:
    """Return a text that can be shown to a person, with nothing that a terminal obeys.

    What is not printable is escaped, and lines after the first are indented, so that none of them
    can be taken for another message.

    Args:
        text: the text, which may have several lines.
        limit: maximum characters; the middle of a longer text is left out.
    """
    if not text.isprintable():
        text = "\n    ".join(map(escape, text.splitlines()))
    if limit is None or len(text) <= limit:
        return text
    half = limit // 2 - 8
    return f"{text[:half].rstrip()}\n    […]\n    {text[-half:].lstrip()}"


def printable_block(text: str) -> str:
    """Return a text of several lines, such as a traceback, with each of them indented."""
    return printable(f"\n{text.strip()}", MAX_TEXT).removeprefix("\n")


def escape(text: str) -> str:
    """Escape what is not printable in a text, but for line ends and tabs."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text
    )


def sanitize_text(text: str) -> str:
    """Truncate a text and escape its lone surrogates, so that it can be sent."""
    return truncate(text.encode("utf-8", "backslashreplace").decode())
