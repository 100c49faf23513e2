"""What messages are made of: the fields that several of them have, each with its bounds."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ..errors import MAX_TEXT
from ..limits import LEAST_SECONDS, MOST_SECONDS
from ..reports.records import ID_BYTES

VERSION = 2
"""The protocol's version, in the first message each way."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The largest message that is taken; whoever sends a larger one is cut off."""
MAX_BUNDLED = 1024
"""Messages in a bundle; senders put fewer in. They are handled with nothing else in between."""
MAX_FINGERPRINT = 200
"""Characters of what tells which functions a node could unpickle."""
MAX_FUNCTION_BYTES = 256 * 1024 * 1024
"""The largest function that is sent to a joining node."""
PART_BYTES = 64 * 1024
"""What of a function goes into one message; so much of it is copied for each joining node."""
MAX_ADDRESSES = 16
"""Addresses at which a node may be found."""
MAX_DESCRIPTION = 8192
"""Characters of a session description of WebRTC."""

MAX_COUNT = 2**53
"""The largest whole number in a message, which is exact in JavaScript, too."""
MAX_WORD = 1000
"""Characters of a name, a ticket or a requirement."""
MAX_LOADED = 1 << 24
"""Bytes of a path or an argument of this machine's own workers, and how many there are of them."""

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
NodeId = Annotated[bytes, msgspec.Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Address = Annotated[str, msgspec.Meta(max_length=300)]
Addresses = Annotated[list[Address], msgspec.Meta(max_length=MAX_ADDRESSES)]
Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Word = Annotated[str, msgspec.Meta(max_length=MAX_WORD)]
Description = Annotated[str, msgspec.Meta(max_length=MAX_DESCRIPTION)]
Protocol = Annotated[str, msgspec.Meta(max_length=16)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e18)]
"""A time, and so neither infinite nor NaN."""
Setting = Annotated[float, msgspec.Meta(ge=LEAST_SECONDS, le=MOST_SECONDS)]
"""A time that the run's program has chosen, in seconds."""
Data = Annotated[bytes, msgspec.Meta(max_length=MAX_MESSAGE_BYTES)]
LoadedBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_LOADED)]
LoadedList = Annotated[list[LoadedBytes], msgspec.Meta(max_length=MAX_LOADED)]
