"""How a node turns items into messages, and results into values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from ..errors import UnsupportedValueError


class Codec(Protocol):
    """How a node turns items into messages: the root encodes values, others pass them on."""

    def encode(self, items: Sequence[Any]) -> bytes | memoryview:
        """One MessagePack array; UnsupportedValueError where an item cannot be serialized."""

    def find_unsupported(self, items: Sequence[Any]) -> dict[int, UnsupportedValueError]:
        """Which of the items cannot be serialized, by position."""

    def decode(self, values: msgspec.Raw) -> Sequence[Any]:
        """The results in a message; MalformedValueError where there are none."""
