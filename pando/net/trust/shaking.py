"""The handshake over a channel, at both ends."""

from __future__ import annotations

from contextlib import suppress

import trio

from ...channel import Channel, ChannelClosedError
from .certificate import Certificate
from .errors import HandshakeFailedError
from .initiator import Initiator, Session
from .responder import Request, Responder
from .secure_channel import protect

REFUSAL_SECONDS = 1.0
"""Maximum seconds for telling the other end why it is refused."""


class IncomingHandshake:
    """The handshake of an end that was connected to: `receive`, then `accept` or `refuse`.

    Args:
        channel: to the node that has connected.
        responder: this end's part, fresh.
        payload: what to tell the other end once it is let in.
    """

    def __init__(self, channel: Channel, responder: Responder, payload: bytes = b"") -> None:
        self._channel = channel
        self._responder = responder
        self._payload = payload

    async def receive(self) -> Request:
        """Show who this is; return what the other end has proved and sent.

        Raises:
            ChannelClosedError: the channel has ended.
            HandshakeFailedError: the other end has not proved what it must. It has been told.
        """
        await self._channel.send(self._responder.hello)
        try:
            return self._responder.receive(await self._channel.receive())
        except HandshakeFailedError as error:
            await self._send_last(error.answer)
            raise

    async def accept(
        self, certificate: Certificate | None = None, *, leave_open: bool = False
    ) -> Channel:
        """Let the other end in.

        Args:
            certificate: what the root certifies.
            leave_open: do not encrypt the messages; only where the other end asks for that.

        Returns:
            The channel to use from now on.
        """
        reply, transport = self._responder.accept(
            self._payload, certificate=certificate, leave_open=leave_open
        )
        await self._channel.send(reply)
        return protect(self._channel, transport)

    async def refuse(self, reason: str) -> None:
        """Tell the other end why it is refused; the root signs that."""
        await self._send_last(self._responder.refuse(reason))

    async def _send_last(self, answer: bytes) -> None:
        with trio.move_on_after(REFUSAL_SECONDS), suppress(ChannelClosedError):
            await self._channel.send(answer)


async def shake_hands(
    channel: Channel, initiator: Initiator, hello: bytes | bytearray | memoryview
) -> tuple[Channel, Session]:
    """Prove who this is, and let the other end prove who it is.

    Args:
        channel: to the node that was connected to.
        initiator: this end's part, fresh.
        hello: the first message that has come.

    Returns:
        The channel to use from now on, and what the handshake has settled.

    Raises:
        ChannelClosedError: the channel has ended.
        TrustError: the other end is not who was meant, or refuses.
    """
    await channel.send(initiator.receive_hello(hello))
    session = initiator.receive_reply(await channel.receive())
    return protect(channel, session.transport), session
