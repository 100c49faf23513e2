"""Sends the cases of a script from one process to another, in each of the two forms.

A case is a function and the items it is given. What each call gives, or raises, is written down
as text on both sides. Each case is loaded in a process of its own, forked off the receiver.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from typing import Any

Cases = dict[str, tuple[Callable[..., Any], list[Any]]]
FORMS = ("exact", "portable")


def ship(cases: Cases) -> None:
    """Write the packages of all cases to the standard output, with what their calls give."""
    from pando import values

    shipped = {}
    for name, (function, items) in cases.items():
        shipped[name] = {
            **{form: _captured(function, form) for form in FORMS},
            "items": [values.encode(item).hex() for item in items],
            "path": sys.path,
        }
    for name, (function, items) in cases.items():
        shipped[name]["expected"] = [outcome(function, item) for item in items]
    sys.stdout.write(json.dumps(shipped))


def _captured(function: Callable[..., Any], form: str) -> dict[str, str]:
    from pando.errors import FunctionError
    from pando.functions.capture import capture
    from pando.functions.naming import function_name
    from pando.functions.serialized import dump_exactly

    try:
        if form == "exact":
            package, _ = dump_exactly(function, function_name(function))
            return {"package": package.to_bytes().hex()}
        return {"package": capture(function).to_bytes().hex()}
    except FunctionError as error:
        return {"refused": str(error)}


def outcome(function: Callable[..., Any], item: Any) -> str:
    """What a call gives or raises, as text."""
    try:
        result = function(item)
        if inspect.iscoroutine(result):
            result = asyncio.run(result)
    except Exception as error:
        return f"{type(error).__qualname__}: {error}"
    return repr(result)


def receive(form: str) -> None:
    """Load what comes from the standard input; write what the calls give here."""
    importlib.import_module("pando.functions.restore")  # once, before all forks
    importlib.import_module("pando.functions.exact_load")
    shipped = json.load(sys.stdin)
    received = {}
    for name, case in shipped.items():
        received[name] = _in_a_fork(lambda case: _receive_case(case, form), case)
    sys.stdout.write(json.dumps(received))


def _receive_case(case: dict[str, Any], form: str) -> list[str]:
    from pando import values
    from pando.functions.exact_load import load
    from pando.functions.package import read_package
    from pando.functions.restore import restore

    if "refused" in case[form]:
        return [case[form]["refused"]]
    package = read_package(bytes.fromhex(case[form]["package"]))
    if form == "exact":
        sys.path[:] = case["path"]
        function = load(package)
    else:
        function = restore(package)
    return [outcome(function, values.decode(bytes.fromhex(item))) for item in case["items"]]


def receive_in_turn(text: str) -> str:
    """`receive` where there are no processes: what a case leaves behind is taken away again."""
    import pando.functions.exact_load
    import pando.functions.restore
    import pando.functions.seeding  # noqa: F401
    from pando import values

    received = {}
    for name, case in json.loads(text).items():
        known = dict(sys.modules)
        finders, hooks = sys.meta_path[:], sys.path_hooks[:]
        importers = dict(sys.path_importer_cache)
        try:
            received[name] = _receive_case(case, "portable")
        except BaseException as error:
            received[name] = f"{type(error).__name__}: {error}"
        sys.modules.clear()
        sys.modules.update(known)
        sys.meta_path[:], sys.path_hooks[:] = finders, hooks
        sys.path_importer_cache.clear()
        sys.path_importer_cache.update(importers)
        values.REGISTERED._by_type.clear()
        values.REGISTERED._by_name.clear()
    return json.dumps(received)


def _in_a_fork(run: Callable[[Any], Any], argument: Any) -> Any:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = run(argument)
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
            if os.environ.get("SHOW_TRACEBACKS"):
                import traceback

                traceback.print_exc()
        with open(writing, "w") as file:
            json.dump(answer, file)
        os._exit(0)
    os.close(writing)
    with open(reading) as file:
        answer = json.load(file)
    os.waitpid(child, 0)
    return answer


if __name__ == "__main__":
    receive(sys.argv[1])
