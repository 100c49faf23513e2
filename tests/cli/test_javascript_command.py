"""The `pando` command with JavaScript modules, as users of the original tool have them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from pando.cache import cache_folder
from pando.cli.main import main
from pando.functions import npm_packages
from pando.runtime import v8

from ..functions.test_javascript import install
from ..processes import COMMAND, environment, run_command
from ..volunteering.test_volunteers import Party, all_gone

pytestmark = pytest.mark.process

EXAMPLES = Path(__file__).parents[2] / "examples"
ANYWHERE = pytest.mark.parametrize("where", [("--workers=2",), ("--local",)], ids=["2", "local"])


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """What bundling needs is installed before, since the command's user here has no home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_folder().parent))
    npm_packages.find_esbuild(Path(__file__).parent, lambda text: None)
    npm_packages.find_built_ins(lambda text: None)


@pytest.fixture
def party(tmp_path):
    party = Party(tmp_path)
    yield party
    for process in party.processes:
        process.kill()
        process.wait()
    for root in party.roots:
        if root.process.stdin:
            root.process.stdin.close()


def callback(body):
    return f"module.exports['/pando/1.0.0'] = function (x, cb) {{ {body} }}"


def lines_of(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().splitlines()


# ---- examples ----

SHOWN = {
    "square.js": {"1": "1", "2": "4", "-3": "9", "0.5": "0.25", "abc": "NaN", "1e200": "Infinity"},
    "collatz.js": {"1": "0", "27": "111", "12345678901234567890": "516", "9" * 50: "1601"},
}


@ANYWHERE
@pytest.mark.parametrize("example", SHOWN)
def test_examples(example, where):
    shown = SHOWN[example]
    done = run_command(EXAMPLES / example, *where, "--", *shown)
    assert lines_of(done) == list(shown.values())
    assert done.stderr == b""


def test_a_number_that_never_gets_to_1():
    done = run_command(EXAMPLES / "collatz.js", "--local", "0")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == (
        "pando: item 0 (0): RangeError: 0 never gets to 1"
    )


# ---- results ----


@ANYWHERE
def test_results_are_printed_as_the_original_did(module, where):
    texts = {
        "{}": "[object Object]",
        "undefined": "undefined",
        "null": "null",
        "[1,2,3]": "1,2,3",
        "1e21": "1e+21",
        "''": "",
        "2n ** 70n": str(2**70),
    }
    path = module(callback(f"cb(null, [{', '.join(texts)}][x])"))
    assert lines_of(run_command(path, *where, *map(str, range(7)))) == list(texts.values())


@ANYWHERE
def test_values_with_json(module, where):
    lines = ["1", '"a"', "null", "[1, [2]]", '{"a": {"b": 0.5}}', str(2**70), "true", '"ü€"']
    path = module(callback("cb(null, x === null ? undefined : x)"))
    done = run_command(path, *where, "--json", "--stdin", stdin="\n".join(lines).encode())
    assert list(map(json.loads, lines_of(done))) == list(map(json.loads, lines))


@ANYWHERE
def test_lines_stay_in_order_whatever_each_takes(module, where):
    path = module(callback("setTimeout(function () { cb(null, x) }, x % 7 ? 0 : 20)"))
    done = run_command(path, *where, "--stdin", stdin=b"".join(b"%d\n" % n for n in range(100)))
    assert lines_of(done) == [str(n) for n in range(100)]


@ANYWHERE
def test_items_that_fail(module, where):
    path = module(
        "module.exports['/pando/1.0.0'] = function work (x, cb) {\n"
        "  if (x === 2) throw new TypeError('no two')\n"
        "  cb(x === 4 ? 'no four' : null, x)\n"
        "}"
    )
    done = run_command(
        path, *where, "--on-error=skip", "--json", "--stdin", stdin=b"1\n2\n3x\n4\n5"
    )
    assert (done.returncode, done.stdout) == (1, b"1\n5\n")
    errors = done.stderr.decode().splitlines()
    assert errors[:2] == ["    TypeError: no two", f"        at work ({path}:2:22)"]
    assert errors[2].startswith("pando: item 1 (2): TypeError: no two")
    assert errors[3].startswith("pando: item 2 ('3x'): UnsupportedValueError: the line is not JSON")
    assert errors[4].startswith("pando: item 3 (4): Error: no four")
    done = run_command(path, *where, *"12345")
    assert (done.returncode, done.stdout) == (1, b"1\n")


@ANYWHERE
def test_what_a_module_prints_is_no_result(module, where):
    path = module("console.log('loaded')\nmodule.exports = x => (console.error('at', x), x)")
    done = run_command(path, *where, "1", "2")
    assert lines_of(done) == ["1", "2"]
    assert {b"loaded", b"at 1", b"at 2"} == set(done.stderr.splitlines())


def test_many_items(module):
    count = 100_000
    stdin = b"".join(b"%d\n" % n for n in range(count))
    for where in ("--workers=2", "--local"):
        done = run_command(EXAMPLES / "square.js", where, "--stdin", stdin=stdin)
        assert done.stdout == b"".join(b"%d\n" % (n * n) for n in range(count))


# ---- modules ----

MODULES = {
    "work.js": "tmp = 3\nmodule.exports['/pando/1.0.0'] = function (x, cb) { cb(null, x * tmp) }",
    "work.cjs": "module.exports = async x => 3 * x",
    "work.mjs": "import {three} from './three.mjs'\nexport default x => three * x",
    "es.js": "import {three} from './three.mjs'\nexport default (x, cb) => cb(null, three * x)",
    "helped.js": "var three = require('./deep/three').three\nmodule.exports = x => three * x",
    "packed.js": "module.exports = x => require('three').three * x",
    "data.js": "var data = require('./three.json')\nmodule.exports = x => data.three * x",
    "global.js": "module.exports = x => Buffer.from([x, x, x]).reduce((a, b) => a + b)",
}


@ANYWHERE
@pytest.mark.parametrize("name", MODULES)
def test_modules_of_all_kinds(module, tmp_path, where, name):
    module("export const three = 3", "three.mjs")
    module("exports.three = 3", "deep/three.js")
    module('{"three": 3}', "three.json")
    install(tmp_path, "three", "exports.three = 3")
    assert lines_of(run_command(module(MODULES[name], name), *where, "1", "2")) == ["3", "6"]


BUILT_INS = {
    "assert": "(assert.ok(true), 1)",
    "buffer": "buffer.Buffer.from('YQ==', 'base64').toString()",
    "crypto": "crypto.createHash('sha256').update(String(x)).digest('hex').slice(0, 8)",
    "events": "(e => { var n = 0; e.on('a', () => n++); e.emit('a'); return n })(new events())",
    "node:path": "node_path.join('a', '..', 'b')",
    "os": "typeof os.EOL",
    "punycode": "punycode.toASCII('ü.de')",
    "querystring": "querystring.stringify({a: 1})",
    "stream": "typeof stream.Readable",
    "string_decoder": "typeof string_decoder.StringDecoder",
    "timers": "typeof timers.setTimeout",
    "url": "url.parse('http://a/b?c').pathname",
    "util": "util.inspect({a: [1]})",
    "vm": "typeof vm.runInThisContext",
    "zlib": "zlib.inflateSync(zlib.deflateSync(Buffer.from('zip'))).toString()",
}
GIVEN = ["1", "a", "6b86b273", "1", "b", "string", "xn--tda.de", "a=1", "function", "function",
         "function", "/b", "{ a: [ 1 ] }", "function", "zip"]  # fmt: skip


def test_node_s_own_modules(module):
    requires = "".join(f"var {name.replace(':', '_')} = require('{name}')\n" for name in BUILT_INS)
    source = f"{requires}module.exports = x => [{', '.join(BUILT_INS.values())}].join('\\n')"
    assert lines_of(run_command(module(source), "1")) == GIVEN


@pytest.mark.parametrize(
    ("source", "message"),
    {
        "var a = 3\nvar b = = 4": "{path}, line 2: SyntaxError: Unexpected token '=': var b = = 4",
        "exports.x = 3": "{path} exports no function: it should set module.exports",
        "module.exports['/pando/1.0.0'] = 3": "{path} exports no function: it should set",
        "\nrequire('left-pad')": "{path}, line 2: it requires 'left-pad', which is not installed",
        "\nnone()": "{path}, line 2 fails to load: ReferenceError: none is not defined",
    }.items(),
)
def test_a_wrong_module_is_refused_in_one_sentence(module, source, message):
    path = module(source)
    for where in ("--workers=1", "--local"):
        done = run_command(path, where, "1")
        assert (done.returncode, done.stdout) == (2, b"")
        error = done.stderr.decode()
        assert error.startswith("pando: " + message.format(path=path))
        assert error.count("\n") == 1


def test_without_the_engine_only_volunteers_may_compute(module, monkeypatch, capfd):
    monkeypatch.setattr(v8, "is_installed", lambda: False)
    path = str(module("module.exports = x => x"))
    for where in ("--no-serve", "--local"):
        assert main([path, where, "1"]) == 2
        assert capfd.readouterr().err == (
            "pando: JavaScript modules need mini-racer: pip install mini-racer; "
            "with --start-idle only volunteers compute\n"
        )


# ---- workers ----


def test_an_endless_loop_and_a_time_limit(module):
    path = module(callback("if (x === 3) for (;;) {} cb(null, x)"))
    done = run_command(path, "--timeout=1", "--on-error=skip", "--workers=2", *"123456")
    assert done.stdout.split() == [b"1", b"2", b"4", b"5", b"6"]
    assert b"item 2 (3): TimeoutError: it took longer than 1 s" in done.stderr


def test_a_callback_that_never_comes_and_a_time_limit(module):
    path = module(callback("if (x !== 3) cb(null, x)"))
    done = run_command(path, "--timeout=1", "--on-error=skip", "--workers=2", *"123456")
    assert done.stdout.split() == [b"1", b"2", b"4", b"5", b"6"]
    assert b"item 2 (3): TimeoutError" in done.stderr


def test_a_worker_that_is_killed_while_it_computes(module):
    path = module(callback("var end = Date.now() + 50; while (Date.now() < end); cb(null, x)"))
    command = [*COMMAND, str(path), "--workers=2", *map(str, range(40))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout
        first = process.stdout.readline()
        workers = children_of(process.pid)
        assert len(workers) == 2
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert first + output == b"".join(b"%d\n" % n for n in range(40))


def children_of(pid):
    """The processes that a process has started."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, check=False)
    return list(map(int, found.stdout.split()))


@ANYWHERE
def test_ctrl_c_ends_an_endless_loop(module, where):
    path = module("console.log('begun')\nmodule.exports = function (x) { for (;;); }")
    command = [*COMMAND, str(path), *where, "1", "2"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stderr
        assert b"begun" in process.stderr.readline()
        workers = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert all_gone(workers)


# ---- volunteers ----


@pytest.mark.socket
def test_a_volunteer_computes(party):
    source = (EXAMPLES / "square.js").read_text()
    root = party.root("--start-idle", items=5000, module=source, name="square.js")
    party.volunteer(root, "one", "--once")
    root.finish()
    assert "computing square for" in party.said("one")


@pytest.mark.socket
def test_a_wrong_module_is_refused_before_volunteers_are_asked(module):
    command = [*COMMAND, str(module("exports.x = 3")), "--serve", "--start-idle", "1"]
    done = subprocess.run(command, capture_output=True, timeout=60, env=environment(), check=False)
    assert done.returncode == 2
    assert b"exports no function" in done.stderr
    assert done.stderr.count(b"\n") == 1
