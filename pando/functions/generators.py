"""Random generators that a function refers to: sent without their state.

A copy of one would draw the same numbers in each worker. So a map takes 128 bits from each of the
caller's generators, which go on from there, and every item draws from these bits and its index.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from typing import Any

from . import seeding
from .reducers import Reduced

OF_NUMPY = ("Generator", "RandomState")


class Generators:
    """The generators of one function, found while it is pickled.

    Args:
        random_seed: what the generators of Python and of NumPy are to be seeded by; None leaves
            them alone.
    """

    def __init__(self, random_seed: int | None = None) -> None:
        self.random_seed = random_seed
        self.found: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}

    @property
    def any(self) -> bool:
        """Whether items need keys."""
        return bool(self.found) or self.random_seed is not None

    def reduce(self, obj: Any) -> Reduced | None:
        """Tell how to make a generator again; None for anything else."""
        cls = type(obj)
        if isinstance(obj, random.Random):
            if isinstance(obj, random.SystemRandom):
                return None
            own = vars(obj) if hasattr(obj, "__dict__") else {}
            own = {name: value for name, value in own.items() if name != "gauss_next"}
            reduced: Reduced = (seeding.make_generator, (self._number(obj), cls, ()))
            return (*reduced, own) if own else reduced
        if cls.__module__.startswith("numpy.random") and cls.__name__ in OF_NUMPY:
            bits = type(getattr(obj, "_bit_generator", None) or obj.bit_generator)
            arguments = (self._number(obj), seeding.make_numpy_generator, (cls, bits))
            return seeding.make_generator, arguments
        return None

    def _number(self, obj: Any) -> int:
        known = self._numbers.get(id(obj))
        if known is None:
            known = self._numbers[id(obj)] = len(self.found)
            self.found[known] = obj
        return known

    def draw_key(self) -> bytes:
        """Draw the key of a map from 128 bits of each generator; empty without generators."""
        if not self.any:
            return b""
        digest = hashlib.blake2b(digest_size=seeding.KEY_BYTES)
        digest.update(repr(self.random_seed).encode())
        for generator in self.found.values():
            digest.update(draw_bytes(generator))
        return digest.digest()


def keys_for(key: bytes) -> Callable[[Sequence[Any], int], list[Any]] | None:
    """Return what adds a key to each item, given the index of the first; None without a key."""
    if not key:
        return None

    def add_keys(items: Sequence[Any], start: int) -> list[Any]:
        return [(seeding.key_of_item(key, index), item) for index, item in enumerate(items, start)]

    return add_keys


def draw_bytes(generator: Any) -> bytes:
    """128 bits of a generator."""
    if isinstance(generator, random.Random):
        return generator.getrandbits(128).to_bytes(16, "little")
    drawn: bytes = generator.bytes(16)
    return drawn
