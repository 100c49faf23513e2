"""Former public names: accepted until version 0.3, with a warning.

The tables below are the only place that knows them. Names that the original tool has are not
former names: they are accepted for good, and without a warning.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

REMOVED_IN = "0.3"
ARGUMENTS = {
    "asker": "requester",
    "batch_limit": "batch_size",
    "silence": "heartbeat_timeout",
}
"""Keyword arguments of the Python interface, and attributes of `ServeOptions`."""
OPTIONS = {"asker": "requester"}
"""Options of the `pando` command, and keys of config.json."""

Function = TypeVar("Function", bound=Callable[..., Any])
Class = TypeVar("Class")


def describe_rename(old: str, new: str) -> str:
    """Return the sentence that warns of a former name."""
    return f"{old} is deprecated and will be removed in Pando {REMOVED_IN}; use {new}"


def accept_former_arguments(function: Function) -> Function:
    """Let a function accept former names of its keyword arguments, with a DeprecationWarning."""

    @functools.wraps(function)
    def accepting(*args: Any, **kwargs: Any) -> Any:
        for old in ARGUMENTS.keys() & kwargs.keys():
            new = ARGUMENTS[old]
            warnings.warn(describe_rename(f"{old}=", f"{new}="), DeprecationWarning, stacklevel=2)
            kwargs[new] = kwargs.pop(old)  # over the new name, which `dataclasses.replace` adds
        return function(*args, **kwargs)

    return accepting  # type: ignore[return-value]


def accept_former_attributes(cls: type[Class]) -> type[Class]:
    """Let a class accept former names as arguments and attributes, with a DeprecationWarning."""

    def get_former(self: Class, name: str) -> Any:
        new = ARGUMENTS.get(name, "")
        if new not in cls.__annotations__:
            raise AttributeError(f"{cls.__name__!r} object has no attribute {name!r}")
        warnings.warn(describe_rename(f".{name}", f".{new}"), DeprecationWarning, stacklevel=2)
        return getattr(self, new)

    # `setattr`, since type checkers should go on seeing the class as it is written.
    setattr(cls, "__init__", accept_former_arguments(vars(cls)["__init__"]))  # noqa: B010
    setattr(cls, "__getattr__", get_former)  # noqa: B010
    return cls
