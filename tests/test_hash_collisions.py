"""Sets and dicts whose keys have equal hashes: refused before a table is made of them."""

from __future__ import annotations

import collections
import struct
import time
from typing import Any

import msgpack
import pytest

from pando import values
from pando.errors import MalformedValueError
from pando.values.collisions import MAX_EQUAL_HASHES, MAX_UNCHECKED
from pando.values.extensions import Extension

PRIME = 2**61 - 1
MANY = 40_000
QUICK_SECONDS = 2.0
"""Far less than making a table of these keys takes, which is half a minute."""


def packed_keys(count: int) -> list[bytes]:
    """Integers that do not fit into 64 bits, and all have the hash of 0."""
    return [values.encode((2**70 + n) * PRIME) for n in range(count)]


def as_map(keys: list[bytes]) -> bytes:
    return struct.pack(">BI", 0xDF, len(keys)) + b"".join(key + b"\xc0" for key in keys)


def as_array(keys: list[bytes]) -> bytes:
    return struct.pack(">BI", 0xDD, len(keys)) + b"".join(keys)


def extension(code: int, content: bytes) -> bytes:
    return msgpack.packb(msgpack.ExtType(code, content))


HOSTILE = {
    "dict": as_map,
    "set": lambda keys: extension(Extension.SET, as_array(keys)),
    "frozenset": lambda keys: extension(Extension.FROZENSET, as_array(keys)),
    "ordered dict": lambda keys: extension(Extension.ORDERED_DICT, as_map(keys)),
    "counter": lambda keys: extension(Extension.COUNTER, as_map(keys)),
    "default dict": lambda keys: extension(Extension.DEFAULT_DICT, b"\x92\xa3int" + as_map(keys)),
    "a dict in a tuple": lambda keys: extension(Extension.TUPLE, as_array([as_map(keys)])),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_many_keys_with_one_hash_are_refused_at_once(kind: str) -> None:
    hostile = HOSTILE[kind](packed_keys(MANY))
    since = time.process_time()
    with pytest.raises(MalformedValueError, match="equal hashes"):
        values.decode(hostile)
    assert time.process_time() - since < QUICK_SECONDS


@pytest.mark.parametrize("count", [1, MAX_UNCHECKED, MAX_EQUAL_HASHES + 1])
def test_a_few_keys_with_one_hash_are_taken(count: int) -> None:
    keys = packed_keys(count)
    numbers = [values.decode(key) for key in keys]
    assert values.decode(HOSTILE["dict"](keys)) == dict.fromkeys(numbers)
    assert values.decode(HOSTILE["set"](keys)) == set(numbers)


@pytest.mark.parametrize(
    "value",
    [
        dict.fromkeys(range(1000), (1, 2)),
        {(n, -n): (1, 2) for n in range(1000)},
        {"a": {n: n for n in range(100)}, "b": [(0, 0)] * 1000},
        {2**100 + n: str(n) for n in range(1000)},
        collections.Counter({f"key {n}": n for n in range(1000)}),
        {complex(n, 1) for n in range(1000)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_large_tables_of_honest_keys_are_taken(value: Any) -> None:
    assert values.decode(values.encode(value)) == value
