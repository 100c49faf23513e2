"""The codec of a root, which converts between Python values and bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from .. import values


class ValueCodec:
    """Encode items and decode results.

    Args:
        registry: the registered classes that they may be instances of.
    """

    def __init__(self, registry: values.Registry = values.REGISTERED) -> None:
        self._codec = values.Codec(registry)
        self.encode = self._codec.encode
        self.find_unsupported = self._codec.find_unsupported

    def decode(self, encoded: msgspec.Raw) -> list[Any]:
        """Decode results that a worker or volunteer sent; anything but a list becomes empty."""
        results = self._codec.decode(memoryview(encoded))
        return results if isinstance(results, list) else []
