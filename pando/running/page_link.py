"""What a page that a public server has served asks of a run, over a link that proves the run.

The server has only the page itself. The run's name and purpose, and the packages that its function
needs, come from its root, encrypted like everything else that is relayed. Each question is a JSON
object, ``{"ask": "run", "id": …}`` or ``{"ask": "wheel", "digest": …}``, each answer one message:
JSON, or the bytes of the package.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from ..channel import Channel, ProtocolViolationError
from ..net.trust.errors import TrustError
from ..net.trust.identity import RootIdentity
from ..net.visitor import Visitor

if TYPE_CHECKING:
    from ..web.frontend_files import File

FIRST_QUESTION_SECONDS = 10.0
"""Seconds a page may take to prove that it was invited."""
QUESTION_SECONDS = 60.0
"""Seconds a page may be silent."""
ANSWER_SECONDS = 600.0
"""Seconds a page may take to receive an answer, which may be a large package."""
MAX_QUESTION_BYTES = 1024


class PageLink:
    """Answers the questions of pages.

    Args:
        identity: what the root proves itself with.
        describe: describes a run, by its identifier, ready for JSON.
        find_wheel: finds a package that a function needs, by its SHA-256 in hexadecimal.
    """

    def __init__(
        self,
        identity: RootIdentity,
        describe: Callable[[str], Awaitable[dict[str, Any]]],
        find_wheel: Callable[[str], File | None],
    ) -> None:
        self._identity = identity
        self._describe = describe
        self._find_wheel = find_wheel

    async def serve(self, channel: Channel, visitor: Visitor) -> None:
        """Answer one page until it leaves, is silent for too long, or asks for what is no answer.

        Raises:
            ChannelClosedError: the page has left.
        """
        handshake = await self._identity.begin(channel, visitor)
        with trio.move_on_after(FIRST_QUESTION_SECONDS) as patience:
            try:
                await handshake.receive()
            except TrustError:
                return  # it has been told
            proved = await handshake.accept()
            while True:
                patience.deadline = trio.current_time() + QUESTION_SECONDS
                question = bytes(await proved.receive())
                patience.deadline = trio.current_time() + ANSWER_SECONDS
                await proved.send(await self._answer(question))

    async def _answer(self, question: bytes) -> bytes:
        asked = _parse(question)
        if asked.get("ask") == "run":
            return json.dumps(await self._describe(str(asked.get("id", "")))).encode()
        wheel = self._find_wheel(str(asked.get("digest", "")))
        if asked.get("ask") != "wheel" or wheel is None:
            raise ProtocolViolationError("a page asks for what is not here")
        return wheel.data


def _parse(question: bytes) -> dict[str, Any]:
    try:
        if len(question) > MAX_QUESTION_BYTES:
            raise ValueError
        asked = json.loads(question)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise ProtocolViolationError("a page asks what is no question")
    return asked
