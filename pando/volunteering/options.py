"""The options of a volunteer."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from ..errors import UsageError
from ..limits import MAX_PROCESSES, MAX_VALUE_BYTES
from ..messages import MAX_MESSAGE_BYTES
from ..net.webrtc.availability import check_protocol


@dataclass(frozen=True)
class VolunteerOptions:
    """The options of a volunteer.

    Attributes:
        workers: worker processes; None for one per core.
        name: device name; None for the host name.
        install: whether to install what the function needs into a dedicated virtual environment.
        stay: whether to wait for the next run when one ends.
        give_up_after: seconds without a run to join after which to give up; None for never.
        cafile: file of certificate authorities to trust as well.
        max_value: bytes of the largest item to take, encoded; what fits into a message always is.
        protocol: how to connect: ``webrtc``, ``websocket``, or ``auto``: by WebSocket, and by
            WebRTC where that is relayed or not possible; None for what link and run say.
    """

    workers: int | None = None
    name: str | None = None
    install: bool = False
    stay: bool = True
    give_up_after: float | None = None
    cafile: str | os.PathLike[str] | None = None
    max_value: int = MAX_VALUE_BYTES
    protocol: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"workers must be at least 1, not {self.workers}")
        if self.workers is not None and self.workers > MAX_PROCESSES:
            raise UsageError(f"workers must be at most {MAX_PROCESSES:,}, not {self.workers:,}")
        if self.protocol is not None:
            check_protocol(self.protocol)
        seconds = self.give_up_after
        if seconds is not None and not 0 <= seconds < math.inf:
            raise UsageError(f"give_up_after must be a number of seconds, not {seconds}")
        if not MAX_MESSAGE_BYTES <= self.max_value <= MAX_VALUE_BYTES:
            raise UsageError(
                f"max_value must be from {MAX_MESSAGE_BYTES:,} to {MAX_VALUE_BYTES:,} bytes, "
                f"not {self.max_value:,}"
            )
