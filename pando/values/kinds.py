"""Which types are serialized without being registered, and by what."""

from __future__ import annotations

import sys

from . import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .extensions import Encoder

LIBRARIES = {"numpy": "arrays", "pandas": "pandas_frames", "polars": "polars_frames"}
"""The modules that know the values of libraries."""


def is_built_in(kind: type) -> bool:
    """Tell whether values of exactly this type are serialized without being registered."""
    return kind in plain.NATIVE_TYPES or encoder_of(kind) is not None


def encoder_of(kind: type) -> Encoder | None:
    """Return what encodes values of exactly this type, if anything does."""
    encoder = plain.ENCODERS.get(kind)
    if encoder is not None:
        return encoder
    late = plain.LATE_ENCODERS.get(plain.full_name(kind))
    if late is None or getattr(sys.modules.get(kind.__module__), kind.__name__, None) is not kind:
        library = kind.__module__.partition(".")[0]
        if library not in LIBRARIES or library not in sys.modules:
            return None
        late = module_of(LIBRARIES[library]).encoder_of(kind)
        if late is None:
            return None
    plain.ENCODERS[kind] = late
    return late


def module_of(name: str) -> Any:
    """Return a module that knows the values of a library; it is imported with the first of them."""
    import importlib

    return importlib.import_module(f"{__package__}.{name}")
