"""Scripts with a map in them, started in all the ways that Python knows."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

SCRIPT = """
import dataclasses
import functools
import pando
from enum import Enum

@dataclasses.dataclass
class Point:
    x: int
    def moved(self, by):
        return Point(self.x + by)

class Kind(Enum):
    A = 1

FACTOR = 3

def work(x):
    return Point(x).moved(FACTOR), Kind.A

if __name__ == "__main__":
    # what follows must not run in workers
    print(list(pando.map(lambda x: repr(work(x)), [1, 2], workers=1, serve=False)))
"""
EXPECTED = "['(Point(x=4), <Kind.A: 1>)', '(Point(x=5), <Kind.A: 1>)']\n"


def run(
    *arguments: str, cwd: Path, input: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run Python to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "HOME": "/nonexistent", **variables},
    )


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


WAYS = {
    "a script": ["script.py"],
    "with options of its own": ["script.py", "-c", "/etc/x.ini"],
    "no bytecode, a command": ["-Bc", SCRIPT],
    "a command": ["-c", SCRIPT],
    "a command after options": ["-W", "ignore", "-X", "utf8", "-Isc", SCRIPT],
    "standard input": ["-"],
    "a module": ["-m", "script"],
    "a module of a package": ["-m", "package"],
    "profiled": ["-m", "cProfile", "-o", "profile.out", "script.py"],
    "traced": ["-m", "trace", "--count", "-C", "counts", "script.py"],
    "optimized": ["-OO", "script.py"],
    "isolated": ["-I", "script.py"],
    "a folder": ["package"],
    "pdb": ["-m", "pdb", "-c", "continue", "-c", "quit", "script.py"],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_map_in_a_script(way, tmp_path):
    write(
        tmp_path,
        {"script.py": SCRIPT, "package/__main__.py": SCRIPT, "package/__init__.py": ""},
    )
    done = run(*WAYS[way], cwd=tmp_path, input=SCRIPT if way == "standard input" else None)
    assert EXPECTED in done.stdout, done.stderr
    assert done.returncode == 0


REWRITTEN = """
import math, pando
from pando.functions.capture import capture

def check(x):
    assert math.sqrt(x) == x / 2, "not four"
    return x

class Checked:
    def check(self, x):
        assert x == 4
        return x

def test_it():
    work = lambda x: check(x) + Checked().check(x)
    capture(work)
    assert list(pando.map(work, [4, 4], workers=1, serve=False)) == [8, 8]
    [error] = pando.map(work, [5], workers=1, serve=False, return_exceptions=True)
    assert error.type == "AssertionError" and "not four" in str(error)
"""


def test_functions_that_pytest_has_rewritten(tmp_path):
    write(tmp_path, {"test_it.py": REWRITTEN})
    done = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_interactive_interpreter(tmp_path):
    lines = [
        "import pando",
        "class Box:",
        "    def get(self, x):",
        "        return x + OFFSET",
        "",
        "OFFSET = 5",
        "Box.twice = lambda self, x: 2 * self.get(x)",
        "print(list(pando.map(lambda x: Box().twice(x), [1, 2], workers=1, serve=False)))",
    ]
    done = run("-i", "-q", cwd=tmp_path, input="\n".join(lines) + "\n")
    assert "[12, 14]" in done.stdout, done.stderr


FINDS = """
import decimal, os, sys, pando
from pathlib import Path
sys.path.insert(0, Path("lib").resolve())
sys.path.insert(0, "lib")
import helper

def found(x):
    import helper
    return (
        sys.argv, os.getcwd(), helper.FAST, __debug__, sys.flags.optimize, sys.warnoptions,
        sys.flags.utf8_mode, sys.flags.dev_mode, os.environ["SET_HERE"],
        helper.__file__, __name__, __file__,
    )

os.environ["SET_HERE"] = "yes"
[there] = pando.map(found, [0], workers=1, serve=False)
assert list(there) == list(found(0)), (there, found(0))
print("equal")
"""


@pytest.mark.parametrize(
    "options", [[], ["-O"], ["-W", "error"], ["-X", "utf8"], ["-X", "dev"], ["-s", "-B"]]
)
def test_what_the_function_finds(options, tmp_path):
    helper = "import sys\nFAST = '--fast' in sys.argv\n"
    write(tmp_path, {"script.py": FINDS, "lib/helper.py": helper})
    done = run(*options, "script.py", "--fast", "secret", cwd=tmp_path)
    assert done.stdout == "equal\n", done.stderr


BOOT = "import sys; from pando.cli.main import main; sys.exit(main())"
NAMES = [
    "pando.py",
    "types.py",
    "select.py",
    "struct.py",
    "queue.py",
    "signal.py",
    "socket.py",
    "json.py",
    "traceback.py",
    "asyncio.py",
    "copyreg.py",
]


def test_modules_named_like_those_of_pando_and_python(tmp_path):
    """The command's module lies among them; workers and the command start all the same."""
    write(tmp_path, dict.fromkeys(NAMES, "raise RuntimeError('not this one')\n"))
    write(tmp_path, {"work.py": "import own\n\ndef pando(x):\n    return own.twice(int(x))\n"})
    write(tmp_path, {"own.py": "def twice(x):\n    return 2 * x\n"})
    done = run("-P", "-c", BOOT, "--no-serve", "work.py", "1", "2", cwd=tmp_path)
    assert done.stdout == "2\n4\n", done.stderr
    failing = "def pando(x):\n    raise ValueError('own error')\n"
    write(tmp_path, {"failing.py": failing})
    done = run("-P", "-c", BOOT, "--no-serve", "failing.py", "1", cwd=tmp_path)
    assert "own error" in done.stderr
    assert "not this one" not in done.stderr


IMPORTS = """
import importlib, sys, pando
pando.map  # imports much of Python's own
sys.path.insert(0, "lib")
import colorsys

def is_own(name):
    return hasattr(importlib.import_module(name), "OWN")

def value(x):
    return colorsys.OWN + x

names = sys.argv[1:]
there = list(pando.map(is_own, names, workers=1, serve=False))
here = [is_own(name) for name in names]
assert there == here, (there, here)
print([name for name, own in zip(names, here) if own])
colorsys.OWN = 5
print(list(pando.map(value, [1], workers=1, serve=False)))
"""
SHADOWED = ["queue", "types", "select", "struct", "signal", "socket", "pando", "trio", "random"]
"""Imported with Pando, so that they are Python's and Trio's own."""
OWN = ["colorsys", "csv", "sched", "plistlib"]
"""Not imported before, so that they are the user's."""


def test_a_worker_imports_what_the_caller_imports(tmp_path):
    """Whatever has the same name, and whatever either of them has imported before."""
    write(tmp_path, {f"lib/{name}.py": "OWN = 1\n" for name in [*SHADOWED, *OWN]})
    write(tmp_path, {"script.py": IMPORTS})
    done = run("script.py", *SHADOWED, *OWN, cwd=tmp_path)
    assert done.stdout == f"{OWN}\n[6]\n", done.stderr


def test_the_module_of_the_command_imports_what_it_imports_in_workers(tmp_path):
    names = [*SHADOWED, *OWN]
    write(tmp_path, {f"{name}.py": "OWN = 1\n" for name in names})
    module = f"""
    import importlib

    def pando(x):
        return [hasattr(importlib.import_module(name), "OWN") for name in {names}]
    """
    write(tmp_path, {"work.py": module})
    here, there = (
        run("-P", "-c", BOOT, "--no-serve", *options, "work.py", "1", cwd=tmp_path)
        for options in (["--local"], ["--workers", "1"])
    )
    assert here.returncode == there.returncode == 0, here.stderr + there.stderr
    assert here.stdout == there.stdout


def test_a_map_at_the_top_of_a_module_that_is_imported(tmp_path):
    job = """\
    import pando

    def work(x):
        return x

    results = list(pando.map(work, [1, 2], workers=1, serve=False))
    """
    write(tmp_path, {"job.py": job})
    done = run("-c", "import job", cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "FunctionError" in last
    assert f"{tmp_path}/job.py, line 6: a run begins here when a worker imports" in done.stderr


EDITED = """
import os, time, pando, helper

def work(x):
    if x == 1:
        open("helper.py", "w").write("VALUE = 'edited'\\ndef value(): return VALUE\\n")
        os._exit(1)
    import helper
    return helper.value()

def once(x):
    if x == 1 and not os.path.exists("done"):
        open("done", "w").close()
        open("helper.py", "w").write("def value(): return 'edited'\\n")
        os._exit(1)
    return helper.value()

print(list(pando.map(once, [0, 1, 2], workers=1, serve=False)))
"""


def test_a_module_edited_while_the_run_goes_on(tmp_path):
    write(tmp_path, {"script.py": EDITED, "helper.py": "def value(): return 'as it was'\n"})
    done = run("script.py", cwd=tmp_path)
    assert done.stdout == "['as it was', 'as it was', 'as it was']\n", done.stderr


EDITED_LATER = """
import os, pando

def work(x):
    if x == 1 and not os.path.exists("done"):
        open("done", "w").close()
        open("helper.py", "w").write("def value(): return 'edited'\\n")
        open("package/part.py", "w").write("NAME = 'edited'\\n")
        os._exit(1)
    if x == 2:
        import helper
        from package.part import NAME
        return helper.value(), NAME, helper.__file__ == os.path.abspath("helper.py")

print(list(pando.map(work, [1, 2], workers=1, serve=False))[1])
assert "IMPORTED" not in os.environ
"""


def test_a_module_edited_before_it_is_first_imported(tmp_path):
    """A worker that replaces another imports what was there when the run began."""
    write(
        tmp_path,
        {
            "script.py": EDITED_LATER,
            "helper.py": "import other\ndef value(): return other.VALUE\n",
            "other.py": "VALUE = 'as it was'\n",
            "package/__init__.py": "import os\nos.environ['IMPORTED'] = 'by the caller'\n",
            "package/part.py": "from . import inner\nNAME = inner.NAME\n",
            "package/inner.py": "NAME = 'as well'\n",
        },
    )
    done = run("script.py", cwd=tmp_path)
    assert done.stdout == "('as it was', 'as well', True)\n", done.stderr


def test_a_module_edited_before_the_run(tmp_path):
    script = """
    import pando, helper
    open("helper.py", "w").write("def value(x): return 'edited, and longer'\\n")
    try:
        print(list(pando.map(helper.value, [0], workers=1, serve=False)))
    except pando.FunctionError as error:
        print(error)
    """
    write(tmp_path, {"script.py": script, "helper.py": "def value(x): return 1\n"})
    done = run("script.py", cwd=tmp_path)
    assert "helper.py has been edited since it was imported" in done.stdout, done.stderr


def test_a_comment_added_to_the_script_while_it_runs(tmp_path):
    script = "open(__file__, 'w').write('# a comment\\n\\n' + open(__file__).read())\n"
    write(tmp_path, {"script.py": script.replace("write('#", "write('#") + SCRIPT})
    done = run("script.py", cwd=tmp_path)
    assert done.stdout == EXPECTED, done.stderr


def test_a_module_in_latin_1(tmp_path):
    text = "# -*- coding: latin-1 -*-\nNAME = 'größe'\ndef name(x): return NAME\n"
    (tmp_path / "helper.py").write_bytes(text.encode("latin-1"))
    script = (
        "import pando, helper\nprint(list(pando.map(helper.name, [0], workers=1, serve=False)))"
    )
    write(tmp_path, {"script.py": script})
    assert run("script.py", cwd=tmp_path, PYTHONIOENCODING="utf-8").stdout == "['größe']\n"


def test_byte_order_marks(tmp_path):
    """Before the metadata of a module, and before the first line of input."""
    module = "# /// script\n# dependencies = ['no-such-package']\n# ///\ndef pando(x): return [x]\n"
    (tmp_path / "needs.py").write_bytes(b"\xef\xbb\xbf" + module.encode())
    (tmp_path / "work.py").write_bytes(b"\xef\xbb\xbfdef pando(x): return x + 1\n")
    command = ["-c", BOOT, "--no-serve", "--stdin"]
    done = run(*command, "work.py", cwd=tmp_path, input="\ufeff1\n2\n")
    assert done.stdout == "2\n3\n", done.stderr
    code = (
        "from pando.cli.user_module import open_module; "
        "print(open_module('needs.py', as_text=False).read_requirements())"
    )
    assert run("-c", code, cwd=tmp_path).stdout == "['no-such-package']\n"


def test_a_module_in_latin_1_by_the_command(tmp_path):
    text = "# -*- coding: latin-1 -*-\ndef pando(x): return 'größe' + str(x)\n"
    (tmp_path / "work.py").write_bytes(text.encode("latin-1"))
    done = run("-c", BOOT, "--no-serve", "work.py", "1", cwd=tmp_path, PYTHONIOENCODING="utf-8")
    assert done.stdout == "größe1\n", done.stderr


INSTALLED_BESIDE = """
import sys, pando
sys.path.insert(0, "target")
import fakelib

def work(x):
    return fakelib.double(x)

fakelib.state = "changed here"  # of a library, which is not sent
print(list(pando.map(work, [2], workers=1, serve=False)))
from pando.functions.capture import capture
print(sorted(capture(work).modules), capture(work).imports)
"""


def test_a_folder_into_which_packages_were_installed(tmp_path):
    """As by ``pip install --target``: what is in it is a requirement of volunteers."""
    write(
        tmp_path,
        {
            "script.py": INSTALLED_BESIDE,
            "target/fakelib/__init__.py": "def double(x): return 2 * x\n",
            "target/fakelib-1.0.dist-info/METADATA": "Name: fakelib\nVersion: 1.0\n",
        },
    )
    done = run("script.py", cwd=tmp_path)
    assert done.stdout == "[4]\n[] ['fakelib']\n", done.stderr


TARGET_NUMPY = """
import sys, pando
sys.path.insert(0, "target")
import numpy

weights = numpy.arange(3.0)

def work(x):
    return float((weights * x).sum()), numpy.__file__

[[result, there]] = pando.map(work, [2], workers=1, serve=False)
print(result, there == numpy.__file__, "target" in there)
from pando.functions.capture import capture
print(sorted(capture(work).modules), capture(work).imports)
"""


def test_numpy_in_a_folder_into_which_it_was_installed(tmp_path):
    import numpy

    installed = Path(numpy.__file__).parents[1]
    (tmp_path / "target").mkdir()
    for found in installed.glob("numpy*"):
        (tmp_path / "target" / found.name).symlink_to(found)
    write(tmp_path, {"script.py": TARGET_NUMPY})
    done = run("script.py", cwd=tmp_path)
    assert done.stdout == "6.0 True True\n[] ['numpy']\n", done.stderr


LOGS = """
import pando
from loguru import logger

bound = logger.bind(who="me")

def work(x):
    logger.info("item {}", x)
    bound.warning("bound {}", x)
    return x, type(logger).__module__

print(list(pando.map(work, [1], workers=1, serve=False)))
"""


def test_a_logger_of_loguru(tmp_path):
    """It is imported in workers, and logs as it does by default."""
    write(tmp_path, {"script.py": LOGS})
    done = run("script.py", cwd=tmp_path)
    assert done.stdout == "[(1, 'loguru._logger')]\n", done.stderr
    assert "INFO     | __main__:work:8 - item 1\n" in done.stderr
    assert "WARNING  | __main__:work:9 - bound 1\n" in done.stderr


def test_a_package_with_a_part_in_c(tmp_path):
    """It is found where it lies; here a part of Python's own stands in for it."""
    import _struct

    part = Path(_struct.__file__)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "_struct.so").write_bytes(part.read_bytes())
    write(
        tmp_path,
        {
            "own/__init__.py": "from . import _struct\n\ndef size(x): return _struct.calcsize(x)\n",
            "script.py": "import pando, own\n"
            "print(list(pando.map(own.size, ['<i'], workers=1, serve=False)))\n",
        },
    )
    done = run("script.py", cwd=tmp_path)
    assert done.stdout == "[4]\n", done.stderr
