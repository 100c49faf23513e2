"""What is sent to other machines names files without the folders of this one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pando.functions.short_names import ShortNames
from tests.processes import environment

SCRIPT = """\
import dataclasses, functools, json, os, sys
from pando.functions.serialized import serialize
{imports}

@dataclasses.dataclass
class Point:
    x: int
    def double(self):
        return self.x * 2

def outer(x):
    def inner():
        return [1 / each for each in [Point(x).double()]]
    return inner()

def function(x):
    return outer({call}), __file__ and os.path.basename(__file__)

made = serialize(function)
forms = [made.exact(), made.exact_for_others(), made.portable(), made.portable_for_others()]
json.dump([None if each is None else each.hex() for each in forms], sys.stdout)
"""
LOAD = """\
import json, sys, traceback
from pando.runtime.loader import read_function
function = read_function(memoryview(bytes.fromhex(sys.stdin.read())))()._function
print(json.dumps(function(1)))
try:
    function(0)
except ZeroDivisionError:
    traceback.print_exc(file=sys.stdout)
"""


def forms(folder: Path, imports: str = "", call: str = "x") -> list[bytes | None]:
    """Both forms of a script's function, each for this machine and for others."""
    folder.mkdir()
    script = folder / "script.py"
    script.write_text(SCRIPT.format(imports=imports, call=call))
    (folder / "helpers").mkdir()
    (folder / "helpers" / "__init__.py").write_text("")
    (folder / "helpers" / "same.py").write_text("def same(x):\n    return x\n")
    output = subprocess.check_output([sys.executable, str(script)], env=environment())
    return [None if each is None else bytes.fromhex(each) for each in json.loads(output)]


def load(packed: bytes, folder: Path) -> str:
    """Load and call a function as a worker does, on a machine where other files are."""
    folder.mkdir()
    (folder / "script.py").write_text("this is another file\n" * 40)
    code = [sys.executable, "-c", LOAD]
    return subprocess.check_output(
        code, input=packed.hex(), text=True, env=environment(), cwd=folder
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("imports", "call"), [("", "x"), ("from helpers.same import same", "same(x)")]
)
def test_no_form_for_others_has_a_folder_of_this_machine(
    imports: str, call: str, tmp_path: Path
) -> None:
    secret = tmp_path / "a secret folder"
    _, exact, portable, portable_for_others = forms(secret, imports, call)
    assert (exact is None) == bool(imports), "modules of the user's own are only here"
    assert portable is not None
    assert b"a secret folder" in portable
    for number, packed in enumerate(filter(None, [exact, portable_for_others])):
        assert b"a secret folder" not in packed
        told = load(packed, tmp_path / f"elsewhere {number}")
        assert told.startswith('[[0.5], "script.py"]\n')
        assert told.count('File "script.py", line') >= 3
        assert "a secret folder" not in told
        assert "this is another file" not in told


@pytest.mark.process
def test_on_this_machine_tracebacks_name_the_whole_path(tmp_path: Path) -> None:
    secret = tmp_path / "a secret folder"
    exact, _, portable, _ = forms(secret)
    for number, packed in enumerate([exact, portable]):
        assert packed is not None
        told = load(packed, tmp_path / f"here {number}")
        assert told.count(f'File "{secret}/script.py", line') >= 3
        assert "return [1 / each for each in [Point(x).double()]]" in told


def test_names_are_below_the_import_path_and_no_two_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "path", ["/", "/home/me", "/home/me/lib"])
    names = ShortNames()
    assert names.of("/home/me/lib/pkg/a.py") == "pkg/a.py"
    assert names.of("/home/me/pkg/a.py") == "2/pkg/a.py"
    assert names.of("/home/me/lib/pkg/a.py") == "pkg/a.py"
    assert names.of("/tmp/ipykernel_7/123.py") == "123.py"
    assert names.of("<string>") == "<string>"
    assert names.files["2/pkg/a.py"] == "/home/me/pkg/a.py"
