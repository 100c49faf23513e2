"""The exact form of a function: the objects themselves, pickled, for workers that equal the root.

`cloudpickle` does most of it. What it gets wrong, or copies where it should not, has a reducer
(`exact_pickler`); what belongs to modules of the user's own is imported from where they lie and
then given the state that it has here (`homes`). Nothing of this is ever loaded but in worker
processes.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from ..errors import FunctionError
from .culprit import describe_path
from .exact_pickler import FunctionPickler, HomingPickler, MovedError
from .generators import Generators
from .homes import Homes
from .kept_sources import KeptSources
from .package import ExactPackage, ModuleSource

MAX_PASSES = 100
"""How often what is at home in modules may turn out too late."""


def dump(
    function: Callable[..., Any],
    name: str,
    types_: list[tuple[Any, ...]],
    initializer: Callable[[], object] | None = None,
    generators: Generators | None = None,
) -> tuple[ExactPackage, KeptSources]:
    """Pickle a function, for `rebuild` to make it again in an equal interpreter.

    Args:
        function: any callable.
        name: what people call it.
        types_: what was given to `pando.register_type`: names, types, encoders and decoders.
        initializer: what is called once in each worker.
        generators: where random generators are noted.

    Raises:
        FunctionError: something it refers to cannot be pickled; the message names the variable.
    """
    homes = Homes()
    generators = generators or Generators()
    for _ in range(MAX_PASSES):
        file = io.BytesIO()
        make_pickler = HomingPickler if homes.any_own_module else FunctionPickler
        pickler = make_pickler(file, homes, generators)
        try:
            pickler.write((function, types_, initializer))
        except FunctionError:
            raise
        except MovedError:
            homes.again()
            continue
        except Exception as error:
            raise _explained(function, name, pickler.last, error) from None
        if not homes.moved(pickler.memo.copy()):
            break
        homes.again()
    package = ExactPackage(
        name,
        {
            module: ModuleSource("", path, is_package)
            for module, (path, is_package) in homes.files.items()
        },
        pickler.lines,
        sorted(pickler.installed),
        generators.any,
        generators.random_seed is not None,
        homes.uses_own_modules or bool(homes.files),
        pickler.names.files,
        file.getvalue(),
    )
    return package, KeptSources(homes)


def _explained(
    function: Callable[..., Any], name: str, culprit: object, error: Exception
) -> FunctionError:
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return FunctionError(f"{name}, or what it refers to, is nested too deeply to be sent")
    where = describe_path(function, name, culprit) or name
    kind = type(culprit).__name__
    return FunctionError(f"{where}, a value of type {kind!r}, cannot be sent to workers: {error}")
