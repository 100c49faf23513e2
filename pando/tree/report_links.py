"""Report links of a root: each device of the run may have one, besides its place in the tree.

What comes on them is noted in a ledger of its own, so that it can be held against what the tree
tells. Nothing that happens to a report link touches the device's place or its items.
"""

from __future__ import annotations

import logging
from collections import Counter

import trio

from .. import messages
from ..channel import Channel, ChannelClosedError, ProtocolViolationError, limit_messages
from ..errors import ProtocolError, one_line
from ..net.keepalive import KeepaliveChannel
from ..net.large_messages import Memory
from ..net.websocket import TAG_BYTES
from ..reporting.ledger import Ledger
from ..reporting.report_link import MAX_REPORT_BYTES, ReportReader, TooManyReportsError

logger = logging.getLogger(__name__)

NOT_HERE = "this node takes no reports beside those of the tree"
"""Why a report link is refused where there are none."""
NOT_IN_RUN = "only a device of this run reports to it"
"""Why a report link is refused to whoever has not joined."""


class ReportLinks:
    """Serves the report links.

    Args:
        ledger: where reports are noted.
        root: the root's identifier.
        interval: seconds between two reports.
        silence: seconds after which a silent link is dead.
        counters: where what is refused is counted, by kind.
    """

    def __init__(
        self,
        ledger: Ledger,
        root: bytes,
        interval: float,
        silence: float,
        counters: Counter[str],
    ) -> None:
        self._ledger = ledger
        self._root = root
        self._interval = interval
        self._silence = silence
        self._counters = counters
        self._links: dict[bytes, KeepaliveChannel] = {}

    def __len__(self) -> int:
        return len(self._links)

    async def serve(self, channel: Channel, node: bytes) -> None:
        """Hear what a device reports until its link ends. It has one: a new one ends the other.

        Args:
            channel: the connection, after the handshake.
            node: the device, as the root has certified it.
        """
        limit_messages(channel, MAX_REPORT_BYTES + TAG_BYTES)
        link = KeepaliveChannel(channel, silence=self._silence, memory=Memory(0))
        earlier = self._links.get(node)
        self._links[node] = link
        if earlier is not None:
            await earlier.aclose()
        logger.debug("node %s reports over a link of its own", node.hex())
        try:
            await self._hear(link, node)
        except TooManyReportsError:
            self._counters["report_links_over_rate"] += 1
        except (ProtocolError, ProtocolViolationError) as error:
            logger.debug(
                "the report link of node %s is cut off: %s", node.hex(), one_line(str(error))
            )
            self._counters["report_link_violations"] += 1
        except ChannelClosedError as error:
            logger.debug(
                "the report link of node %s has ended: %s", node.hex(), one_line(str(error))
            )
        finally:
            self._ledger.close(link, trio.current_time(), lost=True)
            if self._links.get(node) is link:
                del self._links[node]

    async def _hear(self, link: KeepaliveChannel, node: bytes) -> None:
        """Take updates, and nothing else."""
        problem: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run)
            try:
                await link.send(messages.Welcome(self._root))
                now = trio.current_time()
                reader = ReportReader(
                    node,
                    self._ledger,
                    link,
                    interval=self._interval,
                    silence=self._silence,
                    now=now,
                )
                while True:
                    message = await link.receive()
                    if not isinstance(message, messages.Update):
                        raise messages.MalformedMessageError("only reports come on a report link")
                    reader.take(message, trio.current_time())
            except (ProtocolError, ChannelClosedError) as error:
                problem = error  # raised below: here, the nursery would wrap it in a group
            nursery.cancel_scope.cancel()
        if problem is not None:
            raise problem
