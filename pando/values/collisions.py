"""Keys with equal hashes: a bound on how long a hash table takes that is built from foreign bytes.

A table of n keys that all have one hash takes n² steps, and such keys are easily made of numbers
that do not fit into 64 bits, and of tuples. Strings and bytes are hashed with a secret, and of
the numbers that fit, only a few have the same hash; so keys of these kinds need no second look.

Some honest keys have equal hashes, too: -1 has that of -2, so (-1, 5) has that of (-2, 5). What
counts is therefore how many keys share one hash, not how many share any.
"""

from __future__ import annotations

import collections

from ..errors import MalformedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

MAX_UNCHECKED = 64
"""A table of no more keys is quickly made, whatever they are."""
MAX_EQUAL_HASHES = 64
"""Keys of one table that may have the same hash."""
SHORTEST_UNCHECKED = 3 + 2 * (MAX_UNCHECKED + 1)
"""Fewer bytes hold no table of more keys: its head takes three, a key and a value one each."""
CHECKED_AT_ONCE = 128
"""Extensions whose hashes are compared together."""
TOO_LONG = "max_map_len"
"""What msgpack's error says of a map that is longer than it was told to take."""
HAS_EXTENSION = "max_ext_len"
"""What it says of an extension where it was told to take none."""
TIMESTAMP = b"\xc7\x0c\xff"
"""How those of msgpack's timestamps begin that can have equal hashes; no hook is told of them."""
_LONG_HEADS = {0xDE: 3, 0xDF: 5}
"""How long the heads of maps are that may have more than 15 keys."""


class LookAgainError(Exception):
    """What is being decoded is to be decoded anew, from the outermost value on, with more care."""


def check_hashes(keys: Sequence[Any]) -> None:
    """Raise MalformedValueError where too many keys have one hash."""
    if len(keys) <= MAX_UNCHECKED:
        return
    if len(keys) - len(set(map(hash, keys))) < MAX_EQUAL_HASHES:
        return
    equal = _most_with_one_hash(keys)
    if equal > MAX_EQUAL_HASHES:
        raise MalformedValueError(f"{equal:,} keys of a set or dict have equal hashes")


def as_list(data: bytes | memoryview) -> bytes | None:
    """Return a long map as a list of a key and a value by turns; None where it is none."""
    head = _LONG_HEADS.get(data[0]) if data else None
    if head is None:
        return None
    length = 2 * int.from_bytes(data[1:head], "big")
    if length >= 1 << 32:  # more than come in a message
        return None
    return b"".join((b"\xdd", length.to_bytes(4, "big"), memoryview(data)[head:]))


def dict_of_list(members: list[Any]) -> dict[Any, Any]:
    """Return a dict of what are keys and values by turns.

    Raises:
        MalformedValueError: too many keys have one hash.
    """
    keys = members[::2]
    check_hashes(keys)
    return dict(zip(keys, members[1::2], strict=True))


def make_dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    """Return a dict; MalformedValueError where too many keys have one hash."""
    if len(pairs) > MAX_UNCHECKED:
        check_hashes([key for key, _ in pairs])
    return dict(pairs)


class HashWatch:
    """Finds many different values with one hash, be they keys of one table, or of several, or none.

    It counts hashes; where many are equal, those of different values alone.
    """

    def __init__(self) -> None:
        self._values: list[Any] = []
        self._hashes: set[int] = set()
        self._distinct: set[Any] = set()
        self._with_hash: collections.Counter[int] | None = None

    def check(self, values: list[Any]) -> None:
        """Take more values.

        Raises:
            LookAgainError: too many different ones have one hash.
        """
        if self._with_hash is not None:
            self._compare(self._with_hash, values)
            return
        self._values += values
        try:
            self._hashes.update(map(hash, values))
        except Exception:  # some are no keys, whatever their classes say about that
            self._values = list(_hashable(self._values))
            self._hashes = set(map(hash, self._values))
        if len(self._values) - len(self._hashes) >= MAX_EQUAL_HASHES:
            self._with_hash = collections.Counter()
            self._compare(self._with_hash, self._values)

    def _compare(self, with_hash: collections.Counter[int], values: list[Any]) -> None:
        """Tell values that are equal from those that merely have equal hashes.

        The values come a few at a time, so that the set of them never takes long to grow.
        """
        try:
            new = set(_hashable(values)) - self._distinct
        except Exception:  # they cannot be compared: then each table is to be looked at alone
            raise LookAgainError from None
        hashes = list(map(hash, new))
        with_hash.update(hashes)
        if max(map(with_hash.__getitem__, hashes), default=0) > MAX_EQUAL_HASHES:
            raise LookAgainError
        self._distinct |= new


def _most_with_one_hash(keys: Iterable[Any]) -> int:
    return max(collections.Counter(map(hash, keys)).values())


def _hashable(values: list[Any]) -> Iterator[Any]:
    for value in values:
        try:
            hash(value)
        except Exception:  # classes of the user's may raise anything
            continue
        yield value
