"""Values of the standard library's types: fractions, paths, and the containers of `collections`.

Each is encoded as a list of plain parts. Decoding calls the type itself, of the standard library,
with parts that have been checked: nothing that a message names is imported or called.
"""

from __future__ import annotations

import collections
import fractions
import pathlib
import sys

from ..errors import MalformedValueError, UnsupportedValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

FACTORIES: dict[str, Callable[[], Any] | None] = {
    "": None,
    "list": list,
    "dict": dict,
    "set": set,
    "tuple": tuple,
    "int": int,
    "float": float,
    "str": str,
    "bool": bool,
}
"""The factories of a `defaultdict` that messages can name."""


def fraction_parts(value: Any) -> list[Any]:
    return [value.numerator, value.denominator]


def make_fraction(parts: Any) -> Any:
    numerator, denominator = parts
    if type(numerator) is not int or type(denominator) is not int:
        raise MalformedValueError("a fraction of something else than whole numbers")
    return fractions.Fraction(numerator, denominator)


def path_parts(value: Any) -> list[Any]:
    return [isinstance(value, pathlib.Path), isinstance(value, pathlib.PureWindowsPath), str(value)]


def make_path(parts: Any) -> Any:
    """The path; one of another kind of system is a pure one here."""
    is_concrete, is_windows, text = parts
    if type(text) is not str:
        raise MalformedValueError("a path of something else than text")
    if is_concrete and bool(is_windows) == (sys.platform == "win32"):
        return pathlib.Path(text)
    return (pathlib.PureWindowsPath if is_windows else pathlib.PurePosixPath)(text)


def mapping_parts(value: Any) -> list[Any]:
    """The pairs of a mapping, in order: its keys may be of any kind."""
    return [list(pair) for pair in value.items()]


def default_dict_parts(value: Any) -> list[Any]:
    for name, factory in FACTORIES.items():
        if value.default_factory is factory:
            return [name, mapping_parts(value)]
    raise UnsupportedValueError(
        f"a defaultdict whose factory is {value.default_factory!r} cannot travel: return "
        "dict(…), or use one of the built-in types"
    )


def make_ordered_dict(parts: Any) -> Any:
    return collections.OrderedDict(_pairs(parts))


def make_counter(parts: Any) -> Any:
    counter: Any = collections.Counter()
    dict.update(counter, _pairs(parts))
    return counter


def make_default_dict(parts: Any) -> Any:
    name, pairs = parts
    return collections.defaultdict(FACTORIES[name], _pairs(pairs))


def _pairs(parts: Any) -> dict[Any, Any]:
    made = {}
    for key, value in parts:
        made[key] = value
    return made


def deque_parts(value: Any) -> list[Any]:
    return [value.maxlen, list(value)]


def make_deque(parts: Any) -> Any:
    longest, members = parts
    if type(members) is not list:
        raise MalformedValueError("a deque of something else than a list")
    return collections.deque(members, longest)


def range_parts(value: Any) -> list[Any]:
    return [value.start, value.stop, value.step]


def make_range(parts: Any) -> Any:
    start, stop, step = parts
    return range(start, stop, step)
