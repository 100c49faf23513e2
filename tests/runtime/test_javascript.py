"""A JavaScript function in V8: loaded, called, ended, and cut short."""

from __future__ import annotations

import itertools
import os
import threading
import time

import pytest

from pando import values
from pando.cli.local import compute_javascript_locally
from pando.errors import FunctionError
from pando.figures import tally
from pando.functions.javascript import read_module
from pando.functions.package import JavaScriptPackage
from pando.runtime import running_item, v8
from pando.runtime.batch import Batch
from pando.runtime.javascript import LIMIT, JavaScriptFunction
from pando.runtime.running_item import OFFSET

from ..processes import GENEROUS_SECONDS, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def load():
    """Load a script as a function; all are closed behind the test."""
    loaded = []

    def load(source, *, as_text=False):
        package = JavaScriptPackage("work", source, "folder/work.js", as_text, [])
        loaded.append(JavaScriptFunction(package))
        return loaded[-1]

    yield load
    for function in loaded:
        function.close()


def batch_of(function, items):
    return Batch(1, function.decode(values.encode(list(items))))


def results_of(function, items):
    """The results; where there is none, the failure's type and reason."""
    batch = batch_of(function, items)
    function.compute(batch, running_item.create())
    results = [values.decode(result) for result in batch.results]
    for place, failure in batch.failures.items():
        results[place] = failure[:2]
    return results


def callback(body):
    return f"module.exports['/pando/1.0.0'] = function (x, cb) {{ {body} }}"


# ---- loading ----

EXPORTS = {
    "callback": callback("cb(null, 2 * x)"),
    "later": callback("setTimeout(function () { cb(null, 2 * x) }, 1)"),
    "returns": "exports['/pando/1.0.0'] = x => 2 * x",
    "promises": "exports['/pando/1.0.0'] = x => Promise.resolve(2 * x)",
    "async": "module.exports = async function (x) { await null; return 2 * x }",
    "alone": "module.exports = x => 2 * x",
    "default": "exports.default = x => 2 * x",
    "sloppy": "twice = function (x) { result = 2 * x; return result }; module.exports = twice",
    "strict": "'use strict'; module.exports = x => 2 * x",
    "reports": "require('pando-computing').report({nbItems: 1}); module.exports = x => 2 * x",
    "global": "global.factor = 2; module.exports = x => factor * x",
    "pando": "pando = require('pando-computing'); module.exports = x => 2 * x",
}


@pytest.mark.parametrize("how", EXPORTS)
def test_what_modules_export(load, how):
    assert results_of(load(EXPORTS[how]), [1, 2, 3]) == [2, 4, 6]


REFUSED = {
    "var x = 3\n\nvar y = = 4": "folder/work.js, line 3: SyntaxError: Unexpected token '='",
    "var x = 3\nvar y = f(x,\n": "folder/work.js, line 2: SyntaxError: Unexpected end of input",
    "module.exports = function (": "folder/work.js, line 1: SyntaxError: Unexpected end of input",
    "module.exports = 3": "folder/work.js exports no function: it should set module.",
    "": "folder/work.js exports no function",
    "module.exports['/pando/1.0.0'] = 'x'": "folder/work.js exports no function",
    "\nfoo.bar()": "folder/work.js, line 2 fails to load: ReferenceError: foo is not defined",
    "throw 'text'": "folder/work.js fails to load: Error: text",
    "require('a' + 'b')": "folder/work.js: it requires ab, which was not bundled",
}


@pytest.mark.parametrize("source", REFUSED)
def test_a_wrong_module_is_refused_in_one_sentence(load, source):
    with pytest.raises(FunctionError) as refused:
        load(source)
    assert str(refused.value).startswith(REFUSED[source])
    assert "\n" not in str(refused.value)


def test_without_the_engine_there_is_a_sentence(load, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "py_mini_racer", None)
    with pytest.raises(FunctionError, match="need mini-racer: pip install"):
        load("module.exports = x => x")


# ---- values ----


def test_values_go_in_and_come_out_as_they_are(load):
    items = [
        None, True, 0, -5, 2**31, 2**53 - 1, -(2**53), 2**63, 2**64 - 1, -(10**40), 0.5, 1e300,
        "", "ü€😀", "x" * 100_000, b"\x00\xff", [1, [2, "3"]], {"a": {"b": [None]}}, {1, 2},
    ]  # fmt: skip
    assert results_of(load("module.exports = x => x"), items) == items


def test_numbers_are_numbers_as_far_as_they_are_exact(load):
    items = [1, 0.5, 2**53 - 1, 2**53, 10**40]
    kinds = ["number", "number", "number", "bigint", "bigint"]
    assert results_of(load("module.exports = x => typeof x"), items) == kinds


TEXTS = {
    "({})": "[object Object]", "undefined": "undefined", "null": "null", "[1, 2, 3]": "1,2,3",
    "1e21": "1e+21", "''": "", "10n ** 20n": "100000000000000000000", "0 / 0": "NaN", "-0": "0",
    "true": "true", "Symbol('s')": "Symbol(s)", "new Error('e')": "Error: e", "[[], [null]]": ",",
}  # fmt: skip


def test_results_as_text_are_what_string_makes_of_them(load):
    source = f"var values = [{', '.join(TEXTS)}]; module.exports = x => values[x]"
    assert results_of(load(source, as_text=True), range(len(TEXTS))) == list(TEXTS.values())
    source = f"var values = [{', '.join(TEXTS)}]; module.exports = async x => values[x]"
    assert results_of(load(source, as_text=True), range(len(TEXTS))) == list(TEXTS.values())


def test_a_result_that_cannot_be_serialized_fails_alone(load):
    source = "module.exports = x => x === 1 ? function () {} : x"
    function = load(source)
    assert results_of(function, [0, 1, 2]) == [
        0, ("UnsupportedValueError", "a function cannot be serialized"), 2,
    ]  # fmt: skip
    source = "module.exports = x => x === 1 ? Object.create(null) : x"
    assert results_of(load(source, as_text=True), [0, 1, 2])[1][0] == "TypeError"


# ---- failures ----

FAILING = """\
module.exports['/pando/1.0.0'] = function work(x, cb) {
  if (x === 1) throw new TypeError('thrown')
  if (x === 2) return cb(new RangeError('called back'))
  if (x === 3) return cb('a text')
  if (x === 4) return setTimeout(function () { cb(new Error('later')) }, 1)
  if (x === 5) return setTimeout(function () { throw new Error('thrown later') }, 1)
  if (x === 6) { cb(null, 6); cb(null, 7); return }
  if (x === 7) return setTimeout(function () { cb(null, 7); cb(null, 8); cb('no') }, 1)
  if (x === 8) { cb(null, 8); throw new Error('behind its result') }
  cb(null, x)
}
"""


def test_errors_fail_their_item_and_no_other(load):
    assert results_of(load(FAILING), range(11)) == [
        0,
        ("TypeError", "thrown"),
        ("RangeError", "called back"),
        ("Error", "a text"),
        ("Error", "later"),
        ("Error", "thrown later"),
        6,
        7,
        ("Error", "behind its result"),
        9,
        10,
    ]


def test_an_async_function_that_takes_a_callback_and_fails(load):
    source = callback("cb(null, x)").replace("function", "async function")
    assert results_of(load(source), [1]) == [1]
    source = callback("throw new Error('no')").replace("function", "async function")
    assert results_of(load(source), [1]) == [("Error", "no")]


def test_the_stack_is_the_user_s_own(load):
    function = load(FAILING)
    batch = batch_of(function, [1, 5])
    function.compute(batch, running_item.create())
    stack = batch.failures[0][2].splitlines()
    assert stack == ["TypeError: thrown", "    at work (folder/work.js:2:22)"]
    stack = batch.failures[1][2].splitlines()
    assert stack[0] == "Error: thrown later"
    assert "folder/work.js:6:" in stack[1]
    assert len(stack) == 2


def test_the_stack_of_a_bundled_module_has_its_own_lines(tmp_path):
    path = tmp_path / "work.js"
    path.write_text(
        "var url = require('url')\n\nmodule.exports = x => {\n  throw new Error('no') }"
    )
    function = JavaScriptFunction(read_module(path, as_text=True, say=lambda text: None))
    batch = batch_of(function, [1])
    function.compute(batch, running_item.create())
    assert f"{path}:4:" in batch.failures[0][2]
    function.close()


# ---- time ----


def test_one_item_runs_at_a_time_and_in_order(load):
    source = "var runs = 0;" + callback(
        "if (runs++) throw new Error('two at once');"
        "setTimeout(function () { runs--; cb(null, x) }, x % 3 ? 1 : 20)"
    )
    assert results_of(load(source), range(20)) == list(range(20))


def test_timers(load):
    source = """\
module.exports = function (x) {
  return new Promise(function (resolve) {
    var told = []
    clearTimeout(setTimeout(function () { told.push('never') }, 1))
    var times = 0, interval = setInterval(function (a) {
      told.push(a)
      if (++times === 3) { clearInterval(interval); setTimeout(resolve, 5, told) }
    }, 1, 'tick')
    setImmediate(function () { told.unshift('at once') })
    queueMicrotask(function () { told.unshift('before') })
  })
}"""
    assert results_of(load(source), [1]) == [["at once", "before", "tick", "tick", "tick"]]


def test_an_error_in_a_timer_is_that_of_the_item_that_has_set_it(load, capfd):
    source = callback(
        "if (x === 0) {"
        "  setTimeout(function () { setTimeout(function () { throw new Error('stray') }, 1) }, 1);"
        "  return cb(null, x)"
        "}"
        "setTimeout(cb, 500, null, x)"
    )
    assert results_of(load(source), [0, 1]) == [0, 1]
    assert capfd.readouterr().out.startswith("after its item's result: Error: stray\n    at ")


def test_which_item_runs_is_told_while_it_runs(load):
    function = load(
        "module.exports = function (x) { var end = Date.now() + x; while (Date.now() < end); }"
    )
    shared = running_item.create()
    results_of(function, [0] * 100)  # so that many are taken at once
    batch = batch_of(function, [0] * 20 + [300, 0])
    seen = set()
    thread = threading.Thread(target=lambda: function.compute(batch, shared))
    thread.start()
    while thread.is_alive():
        seen.add(shared.cells[OFFSET])
        time.sleep(0.001)
    assert 20 in seen


def test_what_has_not_been_started_is_cut_off(load):
    function = load(
        "module.exports = function (x) { var end = Date.now() + x; while (Date.now() < end); }"
    )
    results_of(function, [0] * 1000)
    batch = batch_of(function, [0] * 20 + [2000] + [0] * 1000)
    shared = running_item.create()
    thread = threading.Thread(target=lambda: function.compute(batch, shared))
    thread.start()
    assert wait_until(lambda: shared.cells[OFFSET] == 20)
    since = time.monotonic()
    assert function.truncate_batch(batch, shared) == 21
    assert time.monotonic() - since < 1
    thread.join()
    assert len(batch.results) == len(batch.items) == 21


def test_cutting_at_any_moment_loses_and_doubles_nothing(load):
    function = load("module.exports = x => x")
    results_of(function, range(1000))
    for round_ in range(30):
        batch = batch_of(function, range(50_000))
        shared = running_item.create()
        thread = threading.Thread(target=lambda b=batch, s=shared: function.compute(b, s))
        thread.start()
        time.sleep(round_ / 1000)
        kept = function.truncate_batch(batch, shared)
        thread.join()
        assert len(batch.results) == len(batch.items) <= kept
        assert [values.decode(r) for r in batch.results] == list(range(len(batch.results)))


GARBAGE = "for (let n = 0; n < 100; n++) new Uint8Array(100_000); 0"


def test_an_answer_stays_as_it_is_until_it_is_read(load):
    """However often V8 collects garbage meanwhile: the host sees memory that it does not hold."""
    function = load("module.exports = x => x")
    items = values.encode(list(range(1000)))

    async def ask() -> tuple[bytes, bytes]:
        function._shared[LIMIT] = 1000
        answer = await function._run(items, running_item.create())
        before = bytes(answer)
        for _ in range(200):
            function._engine.evaluate(GARBAGE)
        return before, bytes(answer)

    before, after = function._runner.run(ask())
    assert before == after


def test_an_item_that_takes_too_much_memory_fails_alone(load, monkeypatch):
    monkeypatch.setattr(v8, "MEMORY_SHARE", 0.05)
    source = """\
function fill() { for (var all = []; ;) all.push(new Array(1000).fill(0)) }
module.exports = function (x) {
  if (x === 2) fill()
  if (x === 4) return new Promise(function () { setTimeout(fill, 1) })
  return x
}"""
    failure = ("RangeError", "it took too much memory")
    assert results_of(load(source), range(6)) == [0, 1, failure, 3, failure, 5]


def test_what_is_printed_is_shown_while_the_item_runs(load, capfdbinary):
    function = load(
        "console.log('loaded', {a: 1n}, [2])\n"
        "module.exports = function (x) {\n"
        "  for (var i = 0; i < 10000; i++) console.log('line ü', i)\n"
        "  var end = Date.now() + 1000; while (Date.now() < end);\n"
        "}"
    )
    assert capfdbinary.readouterr().out == b'loaded {"a":"1n"} [2]\n'
    batch = batch_of(function, [1])
    thread = threading.Thread(target=lambda: function.compute(batch, running_item.create()))
    thread.start()
    printed = b""
    since = time.monotonic()
    while b"9999\n" not in printed and time.monotonic() - since < GENEROUS_SECONDS:
        printed += capfdbinary.readouterr().out
    assert thread.is_alive()
    thread.join()
    assert printed.decode() == "".join(f"line ü {i}\n" for i in range(10_000))


def test_items_that_cannot_be_decoded_fail_alone(load):
    import msgpack

    function = load("module.exports = x => x")
    wrong = msgpack.packb(msgpack.ExtType(2, b"\xc1"))
    for count in (0, 1, 40):
        good = [msgpack.packb(n) for n in range(count)]
        encoded = b"\xdd" + (2 * count + 1).to_bytes(4, "big") + b"".join([*good, wrong, *good])
        batch = Batch(1, function.decode(encoded))
        function.compute(batch, running_item.create())
        assert list(batch.failures) == [count]
        assert len(batch.results) == 2 * count + 1


def test_random_numbers_never_run_out(load):
    source = """\
module.exports = function (size) {
  var bytes = crypto.getRandomValues(new Uint8Array(size))
  return [new Set(bytes).size, bytes.slice(0, 8), bytes.slice(-8)]
}"""
    results = results_of(load(source), [200_000, 65_536, 65_536, 1000])
    assert all(kinds == 256 for kinds, *_ in results[:3])
    assert len({bytes(end) for _, *ends in results for end in ends}) == 8


# ---- reporting ----

REPORT = "require('pando-computing').report({nbItems: x, units: 'gr\\ud800n'})"
SPOILT = ["'nonsense'", "'[1]'", "'[1, 2, 3, -4]'", "3", "fail()", "'[1e99, \"x\", 0, 0]'"]


def test_what_is_reported_is_added_up(load):
    tally.take()
    assert results_of(load(f"module.exports = x => {REPORT} || x"), [1, 2, 3]) == [1, 2, 3]
    assert tally.take() == (6.0, "gr\ufffdn", 0.0, 0.0)


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_report_that_is_none_is_lost_and_nothing_else(load, spoilt, capsys):
    tally.take()
    function = load(f"JSON.stringify = () => {spoilt}; module.exports = x => {REPORT} || x")
    for _ in range(2):
        assert results_of(function, [1, 2, 3]) == [1, 2, 3]
    assert tally.take() is None
    assert capsys.readouterr().err.count("what the function has reported is lost: ") == 2


# ---- in the command's own process ----


class Closed(JavaScriptFunction):
    """Tells when it is closed."""

    closed = 0

    def close(self):
        Closed.closed += 1
        super().close()


def test_computing_locally_leaves_nothing_open_where_it_ends_early(monkeypatch):
    monkeypatch.setattr("pando.runtime.javascript.JavaScriptFunction", Closed)
    package = JavaScriptPackage("work", "module.exports = x => x", "work.js", False, [])
    results = compute_javascript_locally(package, ([n, object()] for n in itertools.count()))
    open_files = [len(os.listdir("/dev/fd")) for _ in itertools.islice(results, 40)]
    assert open_files[-1] < open_files[0] + 10
    results.close()
    assert Closed.closed == 1
