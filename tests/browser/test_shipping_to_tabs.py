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


def test_functions_in_a_tab_give_the_same(party: Party, chromium: Chromium, tmp_path: Path) -> None:
    port = free_port()
    text = (
        FIXTURE.read_text().replace("from shipping import ship\n", "").replace("\nship(CASES)", "")
    )
    driver = DRIVER.replace("COUNT", str(200 // SHARE))
    (tmp_path / "script.py").write_text(text + driver)
    with (tmp_path / "errors").open("wb") as errors, (tmp_path / "output").open("wb") as output:
        script = subprocess.Popen(
            [sys.executable, "script.py", str(port)],
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
    expected, came = json.loads((tmp_path / "output").read_text())
    assert len(came) == 200 // SHARE
    assert came == expected
