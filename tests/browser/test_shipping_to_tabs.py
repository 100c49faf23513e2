"""A tenth of the table of cases goes through a tab."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ..processes import environment, wait_until
from ..roots import Party, free_port
from .chromium import Chromium, Tab

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

FIXTURE = Path(__file__).parents[1] / "functions" / "fixtures" / "state.py"
SHARE = 10
"""One of so many cases of the whole table."""
DRIVER = """

def outcome(function, item):
    try:
        return repr(function(item))
    except Exception as error:
        return f"{type(error).__qualname__}: {error}"


def call(name):
    function, items = CHOSEN[name]
    return [outcome(function, item) for item in items]


REFUSED = ("class made by type()", "function made by exec", "lambda made by eval")
names = [name for name in CASES if name not in REFUSED][:COUNT]
CHOSEN = {name: CASES[name] for name in names}

if __name__ == "__main__":
    import json, pando

    serve = pando.ServeOptions(port=int(sys.argv[1]))
    expected = {}
    came = dict(zip(names, pando.map(call, names, workers=0, serve=serve)))
    json.dump([{name: call(name) for name in names}, came], sys.stdout)
"""


def start(party: Party, folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start ``script.py``, and wait until tabs may join."""
    with (folder / "errors").open("wb") as errors, (folder / "output").open("wb") as output:
        script = subprocess.Popen(
            [sys.executable, "script.py", str(port)],
            stdout=output,
            stderr=errors,
            cwd=folder,
            env=environment(),
        )
    party.processes.append(script)
    assert wait_until(lambda: "volunteers join" in (folder / "errors").read_text())
    return script


def test_functions_in_a_tab_give_the_same(party: Party, chromium: Chromium, tmp_path: Path) -> None:
    port = free_port()
    text = (
        FIXTURE.read_text().replace("from shipping import ship\n", "").replace("\nship(CASES)", "")
    )
    driver = DRIVER.replace("COUNT", str(200 // SHARE))
    (tmp_path / "script.py").write_text(text + driver)
    script = start(party, tmp_path, port)
    tab = Tab(chromium.context(), f"http://localhost:{port}/#start")
    assert script.wait(60) == 0, (tmp_path / "errors").read_text()
    tab.close()
    expected, came = json.loads((tmp_path / "output").read_text())
    assert len(came) == 200 // SHARE
    assert came == expected


WITHOUT_SOURCE = """
import os, sys, time, pando

def wait():
    while not os.path.exists("told"):
        time.sleep(0.05)

function = eval("lambda x: wait() or x")
serve = pando.ServeOptions(port=int(sys.argv[1]))
print(list(pando.map(function, range(60), workers=1, serve=serve)) == list(range(60)))
"""


def test_a_tab_that_cannot_have_the_function_says_why(
    party: Party, chromium: Chromium, tmp_path: Path
) -> None:
    """The run goes on without it."""
    port = free_port()
    (tmp_path / "script.py").write_text(WITHOUT_SOURCE)
    script = start(party, tmp_path, port)
    tab = Tab(chromium.context(), f"http://localhost:{port}/#start")
    assert tab.says("This device cannot take part"), tab.state
    assert "its source cannot be read" in tab.state
    tab.close()
    (tmp_path / "told").touch()
    assert script.wait(60) == 0, (tmp_path / "errors").read_text()
    assert (tmp_path / "output").read_text() == "True\n"
