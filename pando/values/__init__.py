"""The codec of items and results: Python values as MessagePack, types kept exactly.

MessagePack's own types hold None, bool, int (64 bits), float, str, bytes, list and dict.
Everything else is an extension type; its codes are in `Extension`, and both ends of a channel
must agree on them. Nothing is ever unpickled or evaluated: decoding bytes of an unknown origin
gives a value or raises `MalformedValueError`. `docs/values.md` lists the types.

Classes are named by an entry of a `Registry`, which the root fills; an instance is made without a
call of anything that belongs to its class.
"""

from __future__ import annotations

from .codec import MAX_NESTING, Codec, InvalidItem, decode, encode, find_unsupported
from .extensions import Extension
from .registry import REGISTERED, Registration, Registry, register_type, registered_types

__all__ = [
    "MAX_NESTING",
    "REGISTERED",
    "Codec",
    "Extension",
    "InvalidItem",
    "Registration",
    "Registry",
    "decode",
    "encode",
    "find_unsupported",
    "register_type",
    "registered_types",
]
