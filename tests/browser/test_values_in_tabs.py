"""Values of every kind go through a tab and come back as they were."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pando import values

from ..processes import environment, wait_until
from ..roots import Party, free_port
from ..test_values import CLASSES, NAMES
from ..test_values import VECTORS as ALL_VECTORS
from .chromium import Chromium, Tab

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

SCRIPT = """\
import json, sys
import pando
from pando import values

def with_name(value):
    return type(value).__qualname__, value

vectors = json.load(open(sys.argv[1]))
items = [values.decode(bytes.fromhex(vector)) for vector in vectors]
serve = pando.ServeOptions(port=int(sys.argv[2]))
came = []
for result in pando.map(with_name, items, workers=0, serve=serve, return_exceptions=True):
    came.append(str(result) if isinstance(result, Exception) else values.encode(result).hex())
json.dump(came, sys.stdout)
"""
DOUBLING = """\
import sys, pando

def double(data):
    return data[:1] + data

items = [bytes([number]) * 20_000_000 for number in range(3)]
serve = pando.ServeOptions(port=int(sys.argv[1]))
for item, result in zip(items, pando.map(double, items, workers=0, serve=serve)):
    print(result == item[:1] + item, flush=True)
"""
OF_CLASSES = re.compile(rf"\b({'|'.join(cls.__name__ for cls in CLASSES)})\b")
VECTORS = [
    vector
    for vector in ALL_VECTORS
    if not vector.get("needs") and not OF_CLASSES.search(vector["python"])
]
"""Those of values that need no class of a script, and nothing that may not be installed here."""
NOT_IN_BROWSERS = ("numpy",)
"""What the function would have to name as its dependency, to find it in browsers."""


def compute_in_tab(
    party: Party, chromium: Chromium, folder: Path, script: str, *arguments: str
) -> str:
    """What a script prints whose items a tab computes; its last argument is its port."""
    port = free_port()
    (folder / "script.py").write_text(script)
    with (folder / "errors").open("wb") as errors, (folder / "output").open("wb") as output:
        root = subprocess.Popen(
            [sys.executable, "script.py", *arguments, str(port)],
            stdout=output,
            stderr=errors,
            cwd=folder,
            env=environment(),
        )
    party.processes.append(root)
    assert wait_until(lambda: "volunteers join" in (folder / "errors").read_text())
    tab = Tab(chromium.context(), f"http://localhost:{port}/#start")
    assert root.wait(60) == 0, (folder / "errors").read_text()
    tab.close()
    return (folder / "output").read_text()


def test_values_come_back_as_they_were(party: Party, chromium: Chromium, tmp_path: Path) -> None:
    vectors = [vector["hex"] for vector in VECTORS]
    (tmp_path / "vectors.json").write_text(json.dumps(vectors))
    came = json.loads(compute_in_tab(party, chromium, tmp_path, SCRIPT, "vectors.json"))
    for vector, result in zip(VECTORS, came, strict=True):
        if any(name in vector["python"] for name in NOT_IN_BROWSERS):
            assert "UnavailableValueError: numpy is not installed" in result
        else:
            kind = type(eval(vector["python"], dict(NAMES))).__qualname__
            pair = bytes.fromhex(result)
            assert values.decode(pair)[0] == kind
            assert pair.hex().endswith(vector["hex"])


def test_items_and_results_of_20_mb(party: Party, chromium: Chromium, tmp_path: Path) -> None:
    """They need a grant each way, and go in parts."""
    assert compute_in_tab(party, chromium, tmp_path, DOUBLING).split() == ["True"] * 3


HANGS_WHILE_DECODING = """\
import sys, pando

class Number:
    def __init__(self, n):
        self.n = n

def encode(number):
    return number.n

def decode(n):
    while n == 5: pass
    return Number(n)

pando.register_type(Number, encode=encode, decode=decode)

def square(number):
    return number.n ** 2

serve = pando.ServeOptions(port=int(sys.argv[1]))
items = map(Number, range(20))
for result in pando.map(
    square, items, workers=0, serve=serve, timeout=3, return_exceptions=True, speculate=False
):
    print(result)
"""


def test_an_item_that_is_never_decoded_fails_alone(
    party: Party, chromium: Chromium, tmp_path: Path
) -> None:
    came = compute_in_tab(party, chromium, tmp_path, HANGS_WHILE_DECODING).splitlines()
    assert "it took longer than 3 s" in came[5]
    assert came[:5] + came[6:] == [str(n * n) for n in range(20) if n != 5]
