"""Sizes, as people write them in options."""

from __future__ import annotations

import argparse
import re

SIZE = re.compile(r"(\d+)([KMG]?)B?", re.ASCII | re.IGNORECASE)
FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
MAX_DIGITS = 18


def parse_bytes(text: str) -> int:
    """Return a number of bytes, given plainly or with K, M or G for its powers of 1,000.

    Raises:
        ArgumentTypeError: it is no size.
    """
    found = SIZE.fullmatch(text)
    if found is None or len(found[1]) > MAX_DIGITS:
        raise argparse.ArgumentTypeError("expected a number of bytes, such as 200M or 1G")
    return int(found[1]) * FACTORS[found[2].upper()]
