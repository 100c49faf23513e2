"""What looking for equal hashes costs long dicts: ``python benchmarks/long_dicts.py``.

Each dict is decoded by turns with the guard, without it, and without it again. It prints the median
of the pairs' ratios of rates, and beside it that of equal code, which shows how far to trust it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import msgpack

from pando import values
from pando.values.careful import TEXT_ERRORS
from pando.values.codec import _default

KEYS: dict[str, Callable[[int], Any]] = {
    "str": lambda n: f"key {n}",
    "int": lambda n: n,
    "tuple of two ints": lambda n: (n, -n),
    "tuple of three floats": lambda n: (n / 2, n / 4, n / 8),
    "complex": lambda n: complex(n, 1),
}


def unguarded(data: bytes) -> Any:
    """Decode as `pando.values.decode` does, without a look at the keys."""
    return msgpack.unpackb(
        data,
        ext_hook=_default._decode_extension,
        strict_map_key=False,
        unicode_errors=TEXT_ERRORS,
    )


def seconds(decode: Callable[[bytes], Any], data: bytes) -> float:
    """Return the processor time of decoding it once."""
    gc.collect()
    since = time.process_time()
    decode(data)
    return time.process_time() - since


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=25)
    options = parser.parse_args()
    shapes: dict[str, Callable[[Any], Any]] = {"a dict": lambda d: d, "a list of it": lambda d: [d]}
    for name, key in KEYS.items():
        for shape, wrap in shapes.items():
            data = values.encode(wrap({key(n): n for n in range(options.keys)}))
            rounds = [
                [seconds(decode, data) for decode in (values.decode, unguarded, unguarded)]
                for _ in range(options.pairs)
            ]
            guarded = statistics.median(plain / with_guard for with_guard, plain, _ in rounds)
            equal = statistics.median(one / other for _, one, other in rounds)
            print(f"{name:22} {shape:13} {guarded:.3f} of the rate without   (equal: {equal:.3f})")


if __name__ == "__main__":
    main()
