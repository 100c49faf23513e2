"""Programs without standard error, without a working directory, or with patched threads."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

import pando

from ..processes import environment, run_script

pytestmark = pytest.mark.process

SERVED = """\
import sys, time
import pando
{before}
results = list(pando.map(lambda x: time.sleep(0.4) or x * x, range(4), workers=1))
print(results)
"""


@pytest.mark.parametrize(
    "before",
    [
        "sys.stderr = None",
        "sys.stderr.close()",
        "import os; os.close(2)",
        "sys.stderr = open('/dev/full', 'w')",
    ],
)
def test_results_come_without_standard_error(before, tmp_path):
    done = run_script(tmp_path / "script.py", SERVED.format(before=before))
    assert done.stdout == "[0, 1, 4, 9]\n", done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    program = (
        "import os; os.rmdir(os.getcwd()); import pando; "
        "print(list(pando.map(abs, [-1], workers=1)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=gone,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment(tmp_path),
    )
    assert (done.stdout, done.stderr) == ("[1]\n", "")


@pytest.mark.parametrize("patched", ["threading", "socket", "select"])
def test_threads_that_gevent_has_replaced(patched, monkeypatch):
    monkey = types.ModuleType("gevent.monkey")
    monkey.is_module_patched = lambda name: name == patched
    monkeypatch.setitem(sys.modules, "gevent.monkey", monkey)
    with pytest.raises(pando.UsageError, match="gevent has replaced"):
        list(pando.map(abs, [-1], workers=1))
    with pytest.raises(pando.UsageError, match="gevent"), pando.run(abs, workers=1):
        pass
    monkey.is_module_patched = lambda name: False
    assert list(pando.map(abs, [-1], workers=1)) == [1]


@pytest.mark.parametrize(
    "awaits", ["await trio.sleep(0)", "async with trio.open_nursery(): pass", "trio.current_time()"]
)
def test_a_coroutine_that_uses_trio_is_told_that_it_runs_under_asyncio(awaits, tmp_path):
    done = run_script(
        tmp_path / "script.py",
        "import pando, trio\n"
        f"async def work(x):\n    {awaits}\n    return x\n"
        "try:\n    list(pando.map(work, [1], workers=1, serve=False))\n"
        "except pando.ItemError as error:\n    print(error.type, error.reason)\n",
    )
    told = "RuntimeError this function uses Trio; Pando runs coroutines under asyncio\n"
    assert (done.stdout, done.stderr) == (told, "")
