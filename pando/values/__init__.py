"""The codec of items and results: Python values as MessagePack, types kept exactly.

`codec` has what every process needs; `standard` the types of the standard library whose modules
take long to import, and `arrays` those of NumPy. Both are imported with the first such value.
"""

from __future__ import annotations

from .codec import (
    MAX_NESTING,
    Extension,
    Registration,
    Unreadable,
    decode,
    encode,
    find_unsupported,
    register_type,
    registered_types,
)

__all__ = [
    "MAX_NESTING",
    "Extension",
    "Registration",
    "Unreadable",
    "decode",
    "encode",
    "find_unsupported",
    "register_type",
    "registered_types",
]
