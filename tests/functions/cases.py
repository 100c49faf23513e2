# ruff: noqa: E501 - the sentences are as long as they are
"""The table of cases: functions, and what may stand between them and a worker.

Each script under `fixtures` has some in its `CASES`; here is what the table says of them. Whatever
is not said to be refused gives the same everywhere as here.
"""

from __future__ import annotations

import ast
from typing import NamedTuple

from running import FIXTURES

SCRIPTS = {
    "functions.py": "Functions",
    "classes.py": "Classes",
    "future.py": "Annotations that are strings",
    "data.py": "Data",
    "state.py": "What running the script's text again would not make",
    "project/script.py": "Modules of one's own",
    "stateful/script.py": "State of modules of one's own",
    "library.py": "Objects of installed modules",
    "refused.py": "What belongs to one process",
}
LOCK = "a value of type 'lock', cannot be sent to workers"
REFUSED = {
    ("refused.py", "lock"): f"the global 'guard' of <lambda>, {LOCK}",
    ("refused.py", "lock of a helper"): f"the global 'guard' of the global 'helper' of <lambda>, {LOCK}",
    ("refused.py", "lock as a default"): f"a default of with_default, {LOCK}",
    ("refused.py", "lock in a variable around"): f"the variable 'inner' of <lambda>, {LOCK}",
    ("refused.py", "lock inside data"): f"a member of ['locks'] of the global 'deep' of <lambda>, {LOCK}",
    ("refused.py", "lock inside an object"): "['lock'] of the global 'holder' of <lambda>, a value of type 'RLock', cannot be sent",
    ("refused.py", "open file"): "the global 'opened' of <lambda>, a value of type 'TextIOWrapper', cannot be sent to workers: it is open here",
    ("refused.py", "generator"): "the global 'generator' of <lambda>, a value of type 'generator', cannot be sent",
    ("refused.py", "thread-local data"): "the global 'local' of <lambda>, a value of type '_local', cannot be sent",
    ("refused.py", "frame"): "the global 'frame' of <lambda>, a value of type 'frame', cannot be sent",
    ("refused.py", "the script as a module"): "the script itself",
}  # fmt: skip
"""Refused in both forms: a part of the sentence."""
ONLY_EXACT = {
    ("state.py", "class made by type()"): "the class 'Typed', used by the global 'Typed' of <lambda>, cannot be sent to workers: its source cannot be found",
    ("state.py", "function made by exec"): "the function from_exec cannot be sent to workers: its source cannot be read (<string>)",
    ("state.py", "lambda made by eval"): "the function <lambda> cannot be sent to workers: its source cannot be read (<string>)",
}  # fmt: skip
"""Refused in the portable form alone."""
NOT_IN_PYODIDE = {
    ("data.py", "plain data"): "it has no time zones",
    ("functions.py", "async"): "it cannot wait inside a call, in Node; tabs do not have to",
}
"""What Pyodide itself lacks, with the reason."""


class Case(NamedTuple):
    """A row of the table."""

    script: str
    name: str

    @property
    def refusal(self) -> str:
        """A part of the sentence that it is refused with in both forms, if it is."""
        return REFUSED.get((self.script, self.name), "")

    @property
    def portable_refusal(self) -> str:
        """A part of the sentence that its portable form is refused with, if it is."""
        return self.refusal or ONLY_EXACT.get((self.script, self.name), "")


def cases_of(script: str) -> list[Case]:
    """The rows of a script, read off its text."""
    tree = ast.parse((FIXTURES / script).read_text())
    cases = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CASES"
    )
    assert isinstance(cases, ast.Dict)
    return [Case(script, ast.literal_eval(key)) for key in cases.keys if key is not None]


ALL = [case for script in SCRIPTS for case in cases_of(script)]
