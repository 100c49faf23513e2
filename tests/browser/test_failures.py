"""Functions that fail in tabs, each in its own way: their item fails alone, and says why."""

from __future__ import annotations

import re

import pytest

from ..processes import wait_until
from ..roots import Party
from .conftest import OpenTab

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

MISBEHAVES = """\
import sys

class Odd(Exception):
    pass

def deep(n): return deep(n + 1)
def stack(n): return max([n], key=lambda n: stack(n + 1))

def pando(x):
    if x == 3:
        raise Odd("<b>bold</b> & <script>alert(1)</script>")
    if x == 5:
        while True: pass
    if x == 7:
        return [bytearray(2**31 - 64) for _ in range(3)]
    if x == 9:
        deep(0)
    if x == 11:
        sys.setrecursionlimit(10**6)
        stack(0)
    if x == 13:
        sys.exit(3)
    if x == 15:
        return object()
    if x == 17:
        raise KeyboardInterrupt
    if x == 19:
        input("in vain")
    return x * x
"""
REASONS = {
    3: "Odd: <b>bold</b> & <script>alert(1)</script> (on my phone)",
    5: "TimeoutError: it took longer than 3 s (on my phone)",
    9: "RecursionError: maximum recursion depth exceeded (on my phone)",
    11: "WorkerLost: gave up after 3 workers crashed on this item "
    "(last: Uncaught RangeError: Maximum call stack size exceeded",
    13: "SystemExit: the function called sys.exit(3) (on my phone)",
    15: "UnsupportedValueError: result: a value of type object cannot be serialized: see "
    "pando.register_type (on my phone)",
    17: "KeyboardInterrupt (on my phone)",
    19: "EOFError: EOF when reading a line (on my phone)",
}
TOO_MUCH = re.compile(
    r"pando: item 7 \(7\): (MemoryError(: .*)?|TimeoutError: it took longer than 3 s)"
    r" \(on my phone\)$",
    re.MULTILINE,
)
"""A machine that is busy takes longer to find that out than an item may take."""


def test_each_item_fails_alone(party: Party, tab: OpenTab) -> None:
    options = ["--start-idle", "--on-error=null", "--timeout=3"]
    root = party.root(*options, items=40, module=MISBEHAVES)
    own = tab(root, name="my%20phone", workers=2)
    assert root.process.wait(90) == 1
    lines = root.output.read_text().split("\n")
    assert lines[:-1] == ["" if n in (7, *REASONS) else str(n * n) for n in range(40)]
    said = root.errors.read_text()
    for item, reason in REASONS.items():
        assert f"pando: item {item} ({item}): {reason}" in said
    assert 'module.py", line 11, in pando\n        raise Odd(' in said
    assert TOO_MUCH.search(said)
    assert own.results >= 40 - len(REASONS) - 1


def test_a_failure_is_shown_as_text(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", "--on-error=skip", items=4, module=MISBEHAVES)
    own = tab(root)
    assert root.process.wait(60) == 1
    assert wait_until(lambda: own["failure-count"].text_content() == "1 item failed")
    own["failure-count"].click()
    shown = own["failure"].inner_text()
    assert "Odd: <b>bold</b> & <script>alert(1)</script>" in shown
    assert "module.py" in shown
    assert str(party.folder) not in shown, "how disks are arranged is nobody's business"
    assert "line 11, in pando" in shown
    assert own["failure"].locator("*").count() == 0


JAVASCRIPT = """\
function check(x) {
  if (x === 3) throw new RangeError('<b>three</b>')
}

module.exports['/pando/1.0.0'] = function (x, cb) {
  check(x)
  if (x === 5) while (true);
  if (x === 7) return cb(new Error('called back'))
  if (x === 9) return setTimeout(() => { throw new Error('late') }, 1)
  setTimeout(() => cb(null, x * x), 1)
}
"""


def test_javascript_fails_in_its_own_ways(party: Party, tab: OpenTab) -> None:
    options = ["--start-idle", "--on-error=null", "--timeout=1"]
    root = party.root(*options, items=20, module=JAVASCRIPT, name="module.js")
    own = tab(root, name="my%20phone")
    assert root.process.wait(60) == 1
    lines = root.output.read_text().split("\n")
    assert lines[:-1] == ["" if n in (3, 5, 7, 9) else str(n * n) for n in range(20)]
    said = root.errors.read_text()
    assert "item 3 (3): RangeError: <b>three</b> (on my phone)" in said
    assert "item 5 (5): TimeoutError: it took longer than 1 s (on my phone)" in said
    assert "item 7 (7): Error: called back (on my phone)" in said
    assert "item 9 (9): Error: late (on my phone)" in said
    stack = said.partition("RangeError: <b>three</b>\n")[2].partition("\npando: item 3")[0]
    frames = stack.splitlines()
    assert [line.rpartition("(")[2] for line in frames] == ["module.js:2:22)", "module.js:6:3)"]
    assert own["failure"].locator("*").count() == 0


HANGS_WHILE_ENCODING = {
    "module.js": """\
module.exports['/pando/1.0.0'] = (x) => {
  if (x === 5) return { toString() { while (true); } }
  return x * x
}
""",
    "module.py": """\
import pando as library

class Endless:
    pass

def encode(endless):
    while True: pass

library.register_type(Endless, encode=encode, decode=lambda fields: Endless())

def pando(x):
    return Endless() if x == 5 else x * x
""",
}


@pytest.mark.parametrize("name", HANGS_WHILE_ENCODING)
def test_a_result_that_is_never_encoded_fails_alone(party: Party, tab: OpenTab, name: str) -> None:
    options = ["--start-idle", "--on-error=null", "--timeout=3"]
    root = party.root(*options, items=20, module=HANGS_WHILE_ENCODING[name], name=name)
    tab(root, name="my%20phone")
    assert root.process.wait(90) == 1
    lines = root.output.read_text().split("\n")
    assert lines[:-1] == ["" if n == 5 else str(n * n) for n in range(20)]
    said = root.errors.read_text()
    assert "item 5 (5): TimeoutError: it took longer than 3 s (on my phone)" in said
