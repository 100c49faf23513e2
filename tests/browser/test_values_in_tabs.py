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
OF_CLASSES = re.compile(rf"\b({'|'.join(cls.__name__ for cls in CLASSES)})\b")
VECTORS = [
    vector
    for vector in ALL_VECTORS
    if not vector.get("needs")
    and not OF_CLASSES.search(vector["python"])
    and not re.match(r"\[.*bytearray", vector["python"])
]
"""Those of values that need no class of a script, and nothing that may not be installed here.

Bytearrays inside of lists become bytes, and `with_name` puts each value into a tuple.
"""
NOT_IN_BROWSERS = ("numpy",)
"""What the function would have to name as its dependency, to find it in browsers."""


def test_values_come_back_as_they_were(party: Party, chromium: Chromium, tmp_path: Path) -> None:
    vectors = [vector["hex"] for vector in VECTORS]
    port = free_port()
    (tmp_path / "vectors.json").write_text(json.dumps(vectors))
    (tmp_path / "script.py").write_text(SCRIPT)
    with (tmp_path / "errors").open("wb") as errors, (tmp_path / "output").open("wb") as output:
        script = subprocess.Popen(
            [sys.executable, "script.py", "vectors.json", str(port)],
            stdout=output,
            stderr=errors,
            cwd=tmp_path,
            env=environment(),
        )
    party.processes.append(script)
    assert wait_until(lambda: "volunteers join" in (tmp_path / "errors").read_text())
    tab = Tab(chromium.context(), f"http://localhost:{port}/#start")
    assert script.wait(60) == 0, (tmp_path / "errors").read_text()
    tab.close()
    came = json.loads((tmp_path / "output").read_text())
    for vector, result in zip(VECTORS, came, strict=True):
        if any(name in vector["python"] for name in NOT_IN_BROWSERS):
            assert "MalformedValueError: not an encoded" in result
        else:
            kind = type(eval(vector["python"], dict(NAMES))).__qualname__
            pair = bytes.fromhex(result)
            assert values.decode(pair)[0] == kind
            assert pair.hex().endswith(vector["hex"])
