"""The codes of MessagePack's application-specific extension types."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    class Coder(Protocol):
        """What encodes and decodes the values inside of others: `pando.values.Codec`."""

        def encode(self, value: Any) -> bytes:
            """Encode a value."""

        def decode(self, data: bytes | memoryview) -> Any:
            """Decode a value."""

        def decode_hashable(self, data: bytes | memoryview) -> Any:
            """Decode a value whose members will be hashed."""

    Encoder = tuple[int, Callable[[Any, Any], bytes]]
    """An extension's code, and what makes its bytes from a coder and a value."""
    Decoder = Callable[[Any, bytes], Any]
    """What makes a value from a coder and bytes."""


class Extension:
    """The codes; `frontend/src/values.ts` has the same."""

    BIG_INT = 1
    TUPLE = 2
    SET = 3
    FROZENSET = 4
    COMPLEX = 5
    DATETIME = 6
    DATE = 7
    TIME = 8
    TIMEDELTA = 9
    DECIMAL = 10
    UUID = 11
    NUMPY_ARRAY = 12
    NUMPY_SCALAR = 13
    REGISTERED = 14
    BYTEARRAY = 15
    RANGE = 16
    FRACTION = 17
    PATH = 18
    ORDERED_DICT = 19
    COUNTER = 20
    DEFAULT_DICT = 21
    DEQUE = 22
    NAMED_TUPLE = 23
    DATACLASS = 24
    ENUM = 25
    PANDAS = 26
    POLARS = 27


EXTENSION_NAMES = {
    code: name.lower().replace("_", " ") for name, code in vars(Extension).items() if name.isupper()
}
