"""Keys with equal hashes: a bound on how long a hash table takes that is built from foreign bytes.

A table of n keys that all have one hash takes n² steps, and such keys are easily made of numbers
that do not fit into 64 bits, and of tuples. Strings and bytes are hashed with a secret, and of
the numbers that fit, only a few have the same hash; so keys of these kinds need no second look.
"""

from __future__ import annotations

from ..errors import MalformedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

MAX_UNCHECKED = 64
"""A table of no more keys is quickly made, whatever they are."""
MAX_EQUAL_HASHES = 64
"""Keys of one table that may have the hash of another key."""
TOO_LONG = "max_map_len"
"""What msgpack's error says of a map that is longer than it was told to take."""


class EqualHashesError(Exception):
    """Among the extensions that were decoded, many have equal hashes; they may be keys."""


def check_hashes(keys: Sequence[Any]) -> None:
    """Raise MalformedValueError where too many keys have equal hashes."""
    if len(keys) > MAX_UNCHECKED:
        equal = len(keys) - len(set(map(hash, keys)))
        if equal > MAX_EQUAL_HASHES:
            raise MalformedValueError(f"{equal:,} keys of a set or dict have equal hashes")


def make_dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a dict; MalformedValueError where too many keys have equal hashes."""
    check_hashes([key for key, _ in pairs])
    return dict(pairs)


def watch_hashes(decode_extension: Callable[[int, bytes], Any]) -> Callable[[int, bytes], Any]:
    """Return a hook for extensions that raises EqualHashesError after too many equal hashes."""
    hashes: set[int] = set()
    count = 0

    def hook(code: int, data: bytes) -> Any:
        nonlocal count
        value = decode_extension(code, data)
        try:
            hashes.add(hash(value))
        except TypeError:  # no key, then
            return value
        count += 1
        if count - len(hashes) > MAX_EQUAL_HASHES:
            raise EqualHashesError
        return value

    return hook
