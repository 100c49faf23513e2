"""Times and rates as text."""

from __future__ import annotations


def clock(seconds: float) -> str:
    """Return a time as clocks have it."""
    minutes, second = divmod(max(0, int(seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02}:{second:02}" if hour else f"{minute}:{second:02}"


def rate(per_second: float) -> str:
    """Return a rate with as many digits as say something."""
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"
