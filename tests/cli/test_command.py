"""The `pando` command as a process: its output, errors and exit status."""

from __future__ import annotations

import subprocess

import pytest

from pando.cli.main import main
from pando.cli.options import parse

from ..processes import COMMAND, environment, run_command
from .modules import ECHO, TYPES, errors_of

pytestmark = pytest.mark.process

FAIL_ON_3 = """\
def pando(x):
    if x in (3, "abc"):
        raise ValueError(f"no {x}")
    return x
"""


# ---- functions that meddle ----

MEDDLING = """\
import os, sys
print("printed while importing")
os.system("echo said while importing")

def pando(x):
    print(f"printed {x}")
    os.write(1, b"written\\n")
    os.system("echo said")
    os.chdir("/")
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    if x == 3:
        sys.exit("enough")
    return x
"""


@pytest.mark.parametrize("option", ["--workers=2", "--local"])
def test_whatever_a_function_does_results_are_not_corrupted(python_module, option):
    done = run_command(python_module(MEDDLING), option, "1", "2", "3", "4", "--on-error=skip")
    assert (done.returncode, done.stdout) == (1, b"1\n2\n4\n")
    errors = errors_of(done)
    for words in ("printed while importing", "said while importing", "printed 4", "written"):
        assert words in errors
    assert "pando: item 2 (3): SystemExit: the function called sys.exit('enough')" in errors


def test_a_function_cannot_read_the_items(python_module):
    path = python_module("import sys\n\ndef pando(x):\n    return [x, sys.stdin.read()]\n")
    done = run_command(path, "--stdin", "--json", stdin=b"1\n2\n3\n")
    assert (done.returncode, done.stdout) == (0, b'[1, ""]\n[2, ""]\n[3, ""]\n')


def test_an_asynchronous_function(python_module):
    path = python_module(
        "import asyncio\n\nasync def pando(x):\n    await asyncio.sleep(0)\n    return x\n"
    )
    assert run_command(path, "1", "2").stdout == b"1\n2\n"
    assert run_command(path, "1", "2", "--local").stdout == b"1\n2\n"


# ---- errors of items ----


@pytest.mark.parametrize("option", ["--workers=2", "--local"])
def test_what_happens_when_items_fail(python_module, option):
    path = python_module(FAIL_ON_3)
    items = ["1", "2", "3", "4", "abc", "6"]

    done = run_command(path, option, *items)
    assert (done.returncode, done.stdout) == (1, b"1\n2\n")
    errors = errors_of(done)
    assert errors.startswith("    Traceback (most recent call last):\n")
    assert 'raise ValueError(f"no {x}")' in errors
    assert f'File "{path}", line 3' in errors
    assert "pando/" not in errors.replace(str(path), "")
    assert errors.endswith("pando: item 2 (3): ValueError: no 3\n")

    done = run_command(path, option, "--on-error", "skip", *items)
    assert (done.returncode, done.stdout) == (1, b"1\n2\n4\n6\n")
    assert "pando: item 2 (3): ValueError: no 3\n" in errors_of(done)
    assert errors_of(done).endswith("pando: item 4 ('abc'): ValueError: no abc\n")

    done = run_command(path, option, "--on-error=null", *items)
    assert (done.returncode, done.stdout) == (1, b"1\n2\n\n4\n\n6\n")


def test_a_crash_and_a_timeout_on_the_command_line(python_module):
    path = python_module(
        "import os, time\n\ndef pando(x):\n    if x == 'die':\n        os._exit(4)\n"
        "    if x == 'sleep':\n        time.sleep(600)\n    return x\n"
    )
    done = run_command(path, "--timeout=0.3", "--on-error=skip", "1", "die", "2", "sleep", "3")
    assert (done.returncode, done.stdout) == (1, b"1\n2\n3\n")
    died, slow = errors_of(done).splitlines()
    assert died.startswith("pando: item 1 ('die'): WorkerLost: gave up after 3 workers crashed")
    assert slow == "pando: item 3 ('sleep'): TimeoutError: it took longer than 0.3 s"


def test_a_function_that_cannot_be_loaded_by_workers(python_module):
    path = python_module(
        "import sys\nif 'pando.runtime.main' in sys.modules:\n    raise OSError('not there')\n"
        "def helper():\n    pass\nclass A:\n    pass\ndef pando(x):\n    return A and x\n"
    )
    done = run_command(path, "1", "2")
    assert (done.returncode, done.stdout) == (2, b"")
    assert errors_of(done).count("Traceback") == 1
    assert errors_of(done).endswith("pando: the function cannot be loaded: OSError: not there\n")


# ---- wrong use ----

WRONG_MODULES = {
    "def pando(x:\n": "line 1: SyntaxError",
    "import not_there\ndef pando(x): return x": "ModuleNotFoundError: No module named 'not_there'",
    "1 / 0": "line 1 fails to import: ZeroDivisionError",
    "import sys\nsys.exit(3)": "line 2 fails to import: SystemExit: 3",
    "x = 1": "exports no function: it should define `def pando(x)`",
    "pando = 5": "pando is not a function",
    "def pando(): pass": "the function must take one value",
    "def pando(x): pass\nexports = {'/pando/1.0.0': len}": "exports more than one function",
}


@pytest.mark.parametrize("text", WRONG_MODULES)
def test_a_wrong_module_is_refused_in_one_sentence(python_module, text, capfd):
    path = python_module(text)
    assert main([str(path), "1"]) == 2
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.startswith("pando: ")
    assert output.err.count("\n") == 1
    assert WRONG_MODULES[text] in output.err
    assert str(path) in output.err


def test_wrong_use_is_refused_in_one_sentence(python_module, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = str(python_module(ECHO))
    text_file = python_module("hello", "words.txt")
    for arguments, message in {
        (): "missing MODULE",
        ("not_there.py", "1"): "there is no file not_there.py",
        (str(tmp_path), "1"): "is a folder, not a Python file",
        (str(text_file), "1"): "its name should end in .py",
        (path, "--frobnicate=3", "1"): "unknown option --frobnicate; put items that",
        (path, "--stdin", "1"): "not from both",
        (path, "--no-serve", "--workers", "0", "1"): "nothing would compute",
        (path, "--no-serve", "--start-idle", "1"): "nothing would compute",
        (path, "--on-error=x", "1"): "must be stop, skip or null",
    }.items():
        assert main(list(arguments)) == 2
        output = capfd.readouterr()
        assert output.out == ""
        assert output.err.startswith("pando: ")
        assert output.err.count("\n") == 1
        assert message in output.err

    (tmp_path / ".pando").mkdir()
    (tmp_path / ".pando" / "config.json").write_text('{"wrokers": 2}')
    assert main([path, "1"]) == 2
    assert "config.json: 'wrokers' is not an option" in capfd.readouterr().err


def test_the_whole_command_in_wrong_use_and_in_config(python_module, tmp_path):
    done = run_command("not_there.py")
    assert (done.returncode, done.stdout) == (2, b"")
    assert errors_of(done) == "pando: there is no file not_there.py\n"

    (tmp_path / ".pando").mkdir()
    (tmp_path / ".pando" / "config.json").write_text('{"strings": true, "on-error": "skip"}')
    done = run_command(python_module(TYPES), "1", home=tmp_path)
    assert (done.returncode, done.stdout) == (0, b"str '1'\n")


def test_an_option_that_does_nothing_says_so(python_module, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert main([str(python_module(ECHO)), "--headless"]) == 0
    assert "pando: --headless is not needed" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "reason"),
    [("public", "would tell strangers of the run"), ("sync-stdio", "is not implemented yet")],
)
def test_a_run_is_not_another_one_than_was_asked_for(python_module, capfd, name, reason, tmp_path):
    path = str(python_module(ECHO))
    assert main([path, f"--{name}", "1"]) == 2
    said = capfd.readouterr().err
    assert said.startswith(f"pando: --{name} {reason}")
    assert said.count("\n") == 1
    (tmp_path / ".pando").mkdir()
    (tmp_path / ".pando" / "config.json").write_text(f'{{"{name}": true, "serve": false}}')
    done = run_command(path, "1", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert f"{name!r} in config.json {reason}" in errors_of(done)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--host"], "--host needs a value after an equals sign, as in --host=localhost"),
        (["--host", "localhost"], "as in --host=localhost"),
        (["--host=localhost", "--no-serve"], "--no-serve and --host are mutually exclusive"),
        (["--host=localhost", "--open"], "open and host exclude each other"),
        (["--host=localhost", "--secret=short"], "a server's secret must have 12 to 200"),
        (["--host=not a host"], "--host takes a host such as pando.example.org"),
        (["--host=https://localhost", "--cafile=/nowhere"], "/nowhere holds no certificates"),
    ],
)
def test_a_wrong_server_is_one_sentence(python_module, capfd, options, reason):
    assert main([str(python_module(ECHO)), "1", *options]) == 2
    said = capfd.readouterr().err
    assert reason in said
    assert said.count("\n") == 1


def test_the_secret_comes_from_the_command_line_else_the_environment_else_config(
    monkeypatch, tmp_path
):
    (tmp_path / ".pando").mkdir()
    (tmp_path / ".pando" / "config.json").write_text('{"secret": "of config.json"}')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse(["module.py", "1"]).settings.secret == "of config.json"
    monkeypatch.setenv("PANDO_SECRET", "of the environment")
    assert parse(["module.py", "1"]).settings.secret == "of the environment"
    assert parse(["module.py", "1", "--secret=of options"]).settings.secret == "of options"


@pytest.mark.parametrize(
    ("options", "serves_here"),
    [([], False), (["--port=1234"], True), (["--serve"], True), (["--listen=::1"], True)],
)
def test_with_a_host_there_is_a_port_only_where_one_is_asked_for(options, serves_here, tmp_path):
    parsed = parse(["module.py", "1", "--host=localhost", *options])
    options = parsed.settings.serve_options(parsed.given, "")
    assert options.serves_here is serves_here


def test_workers_that_cannot_start_say_why(python_module, tmp_path):
    """Here by a startup file that only workers trip over."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif '-c' in sys.orig_argv and 'pando.runtime' in str(sys.orig_argv):\n"
        "    print('no licence for this', file=sys.stderr)\n    import os; os._exit(9)\n"
    )
    done = subprocess.run(
        [*COMMAND, str(python_module(ECHO)), "--workers=1", "1"],
        capture_output=True,
        timeout=60,
        check=False,
        env={**environment(), "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (1, b"")
    last = errors_of(done).splitlines()[-1]
    assert last == (
        "pando: workers keep ending: the worker exited with status 9; "
        "the last line that it wrote: no licence for this"
    )


@pytest.mark.parametrize("home", [None, "/dev/null", "/nonexistent", ""])
def test_without_a_home(python_module, home):
    where = {key: value for key, value in environment().items() if key != "HOME"}
    if home is not None:
        where["HOME"] = home
    command = [*COMMAND, str(python_module(ECHO)), "1"]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=where)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")


def test_a_folder_that_is_gone(python_module, tmp_path):
    path = python_module(ECHO)
    gone = tmp_path / "gone"
    away = 'cd gone && rmdir ../gone && exec "$@"'
    for option in ("--workers=1", "--local"):
        gone.mkdir()
        done = subprocess.run(
            ["sh", "-c", away, "sh", *COMMAND, path, option, "1"],
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
            env=environment(),
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, b"1\n", b"")


def test_a_module_that_has_replaced_threads_is_refused(python_module, tmp_path):
    """As gevent does; a stand-in for it is enough to be noticed."""
    (tmp_path / "gevent").mkdir()
    (tmp_path / "gevent" / "__init__.py").write_text("")
    (tmp_path / "gevent" / "monkey.py").write_text("is_module_patched = lambda name: True\n")
    path = python_module(f"from gevent import monkey\n{ECHO}")
    done = run_command(path, "1")
    assert (done.returncode, done.stdout) == (2, b"")
    assert errors_of(done).startswith("pando: gevent has replaced the threads")
    assert errors_of(done).count("\n") == 1


def test_help_and_version():
    done = run_command("-h")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"usage: pando MODULE [OPTIONS] [ITEM ...]\n")
    done = run_command("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, b"pando")


def test_what_comes_from_other_devices_does_not_rule_the_terminal(python_module):
    done = run_command(
        python_module("def pando(x):\n    raise ValueError('\\x1b[31mred\\x07 \\u00e9\\tok')\n"),
        "1",
    )
    assert b"\x1b" not in done.stderr
    assert b"\x07" not in done.stderr
    assert "\\x1b[31mred\\x07 \u00e9\tok".encode() in done.stderr
    assert done.returncode == 1


def test_a_folder_of_wheels_must_be_there(python_module):
    done = subprocess.run(
        [arg for arg in COMMAND if arg != "--no-serve"]
        + [python_module(ECHO), "--port=0", "--wheels=nowhere", "1"],
        capture_output=True,
        timeout=60,
        check=False,
        env=environment(),
    )
    assert b"nowhere is not a folder with wheels" in done.stderr
    assert done.returncode == 2
