"""Random generators of the function, where it runs: each item draws other numbers.

An item comes with a key, which the root makes of the map's key and the item's index, so that it
draws the same numbers wherever and whenever it is computed. See `pando.functions.generators`.
"""

from __future__ import annotations

import sys
from _blake2 import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Generators = dict[int, Any]

KEY_BYTES = 16
GLOBAL, GLOBAL_OF_NUMPY = 2**32 - 1, 2**32 - 2
"""The numbers of the generators that belong to Python and to NumPy."""

made: Generators = {}
"""The generators of this process's function, by their number."""


def make_generator(number: int, make: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Make a generator of the function, made once, in a state that does not matter."""
    known = made.get(number)
    if known is None:
        known = made[number] = make(*arguments)
    return known


def make_numpy_generator(make: Callable[..., Any], bits: Callable[..., Any]) -> Any:
    """Make a generator of NumPy's with bits of this kind."""
    return make(bits())


def key_of_item(key: bytes, index: int) -> bytes:
    """Return the key of an item of a map."""
    return blake2b(index.to_bytes(8, "little"), digest_size=KEY_BYTES, key=key).digest()


def with_keys(function: Callable[[Any], Any], seeded: bool) -> Callable[[Any], Any]:
    """Return a function that takes an item with its key.

    Args:
        function: takes the item.
        seeded: whether the generators of Python and of NumPy get numbers by the key, too.
    """

    def call(pair: Any) -> Any:
        key, item = pair
        seed_all(made, key, seeded)
        return function(item)

    return call


def with_keys_for_coroutines(function: Callable[[Any], Any], seeded: bool) -> Callable[[Any], Any]:
    """`with_keys` for a function that is ``async def``."""

    async def call(pair: Any) -> Any:
        key, item = pair
        seed_all(made, key, seeded)
        return await function(item)

    return call


def seed_all(generators: Generators, key: bytes, seeded: bool) -> None:
    """Put all generators into the state that they have when an item begins."""
    for number, generator in generators.items():
        seed(generator, _number(key, number))
    if seeded:
        seed_global(_number(key, GLOBAL), _number(key, GLOBAL_OF_NUMPY))


def _number(key: bytes, number: int) -> int:
    text = number.to_bytes(8, "little")
    return int.from_bytes(blake2b(text, digest_size=KEY_BYTES, key=key).digest(), "little")


def seed(generator: Any, number: int) -> None:
    """Put one generator into the state that a number tells."""
    bits = getattr(generator, "bit_generator", None) or getattr(generator, "_bit_generator", None)
    if bits is None:
        generator.seed(number)
        return
    from numpy.random import SeedSequence

    bits.state = type(bits)(SeedSequence(number)).state


def seed_global(number: int, number_of_numpy: int) -> None:
    """Seed the generators that functions like `random.random` draw from."""
    import random

    random.seed(number)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed([number_of_numpy >> shift & 0xFFFFFFFF for shift in range(0, 128, 32)])
