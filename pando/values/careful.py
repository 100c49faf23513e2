"""Decoding what has long dicts in it, so that their keys cannot have equal hashes."""

from __future__ import annotations

import msgpack

from .collisions import (
    CHECKED_AT_ONCE,
    HAS_EXTENSION,
    MAX_UNCHECKED,
    TIMESTAMP,
    HashWatch,
    as_list,
    dict_of_list,
    make_dict,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Hook = Callable[[int, bytes], Any]

TEXT_ERRORS = "surrogatepass"
LONG_DICTS, EXTENSIONS, ALL_DICTS = 1, 2, 3
"""Where keys are looked for: in long dicts that are the outermost of what is encoded, among all
extensions, or in every dict, each slower than the one before. There is one try of each for a
value as a whole: if each level that is nested had its own, each would double the time."""


def refuse_extension(code: int, data: bytes) -> Any:
    """Refuse an extension, among them those without data, which `max_ext_len` lets through."""
    raise ValueError(HAS_EXTENSION)


def unpack_with_care(data: bytes | memoryview, care: int, decode_extension: Hook) -> Any:
    """Decode a value.

    Args:
        data: its bytes.
        care: see `LONG_DICTS`.
        decode_extension: decodes the extensions in it.

    Raises:
        MalformedValueError: many keys have one hash.
        LookAgainError: many extensions have one hash, and may be keys.
        ValueError: msgpack's error says `TOO_LONG` where more care is needed, or what is wrong.
    """
    try:
        return msgpack.unpackb(
            data,
            ext_hook=refuse_extension,
            strict_map_key=False,
            unicode_errors=TEXT_ERRORS,
            max_ext_len=0,
        )
    except ValueError as error:
        if HAS_EXTENSION not in str(error):
            raise
    if care == LONG_DICTS:
        members = as_list(data)
        if members is None:
            return _unpack_short(data, decode_extension)
        return dict_of_list(_unpack_short(members, decode_extension))
    if care == EXTENSIONS and TIMESTAMP not in bytes(data):
        return msgpack.unpackb(
            data,
            ext_hook=_watch(decode_extension),
            strict_map_key=False,
            unicode_errors=TEXT_ERRORS,
        )
    return msgpack.unpackb(
        data,
        ext_hook=decode_extension,
        strict_map_key=False,
        unicode_errors=TEXT_ERRORS,
        object_pairs_hook=make_dict,
    )


def _unpack_short(data: bytes | memoryview, decode_extension: Hook) -> Any:
    """Decode a value that has no long dicts in it; else msgpack's error says `TOO_LONG`."""
    return msgpack.unpackb(
        data,
        ext_hook=decode_extension,
        strict_map_key=False,
        unicode_errors=TEXT_ERRORS,
        max_map_len=MAX_UNCHECKED,
    )


def _watch(decode_extension: Hook) -> Hook:
    """Return a hook that asks for more care where many extensions have one hash."""
    unchecked: list[Any] = []
    note = unchecked.append
    check = HashWatch().check

    def hook(code: int, data: bytes) -> Any:
        value = decode_extension(code, data)
        note(value)
        if len(unchecked) == CHECKED_AT_ONCE:
            check(unchecked)
            unchecked.clear()
        return value

    return hook
