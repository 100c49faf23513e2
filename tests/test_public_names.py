"""The public names are what the documentation lists, and importing them is cheap."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pando
from pando.scheduler import LenderStatistics

API_PAGE = Path(__file__).parent.parent / "docs" / "api.md"
SLOW = ["msgspec", "typing", "re", "enum", "dataclasses", "inspect", "socket", "traceback", "uuid"]
PAGES = ["quart", "quart_trio", "hypercorn"]
HEAVY = [
    "trio",
    "quart",
    "quart_trio",
    "hypercorn",
    "websockets",
    "numpy",
    "asyncio",
    "cryptography",
]


def documented_names() -> list[str]:
    return re.findall(r"^\| `(\w+)` \| \S", API_PAGE.read_text("utf-8"), re.MULTILINE)


def test_the_public_names_are_those_of_the_documentation():
    assert sorted(documented_names()) == sorted(pando.__all__)
    assert len(set(pando.__all__)) == len(pando.__all__)


@pytest.mark.parametrize("name", pando.__all__)
def test_each_public_name_has_a_docstring_and_lives_here(name):
    public = getattr(pando, name)
    assert inspect.getdoc(public)
    assert public.__module__.startswith("pando.")
    assert name in dir(pando)
    if inspect.isclass(public):
        for member, value in vars(public).items():
            if callable(value) and not member.startswith("_"):
                assert inspect.getdoc(value), f"{name}.{member}"


def test_every_error_is_a_pando_error():
    errors = [getattr(pando, name) for name in pando.__all__ if name.endswith("Error")]
    assert len(errors) > 5
    assert all(issubclass(error, pando.PandoError) for error in errors)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pando' has no attribute 'mapp'"):
        _ = pando.mapp


def test_the_version_is_the_package_s():
    assert importlib.metadata.version("pando-computing") == pando.__version__


def test_counters_are_named_by_identifiers():
    named = re.compile(r'(?:[Cc]ounters|violations)\["([^"]+)"\]|raise Refused\(\s*"([^"]+)"')
    package = Path(pando.__file__).parent
    found = {
        name
        for path in package.rglob("*.py")
        for names in named.findall(path.read_text("utf-8"))
        for name in names
        if name
    }
    assert {"joined", "load_failures", "joins_deferred", "internal_errors"} <= found
    assert not [name for name in found if not re.fullmatch("[a-z]+(_[a-z]+)*", name)]


def test_the_names_of_a_stream_s_metrics():
    names = list(LenderStatistics.__struct_fields__)
    assert names[:7] == [
        "read",
        "queued",
        "in_flight",
        "finished",
        "delivered",
        "borrowers",
        "reassigned",
    ]


@pytest.mark.process
@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import pando", HEAVY),
        ("import pando.runtime.main, pando.functions.restore", HEAVY + SLOW),
        ("import pando.scheduler, pando.tree.overlay", [*HEAVY, "ssl"]),
        ("import pando.tree.uplink", ["websockets", "pando.net.websocket"]),
        ("import pando.cli.main; pando.cli.main.main(['-h'])", HEAVY),
        (
            "import pando; pando.map",
            ["quart", "quart_trio", "hypercorn", "websockets", "cryptography", "html"],
        ),
        (
            "import pando; r = pando.map(abs, [1, 2], workers=1, serve=False); next(iter(r))",
            ["pando.reporting.monitor", "pando.tree.reports", "quart", "cryptography"],
        ),
        ("import pando; pando.volunteer", [*PAGES, "cryptography"]),
    ],
)
def test_importing_loads_no_more_than_it_must(statement, forbidden):
    # What the environment has loaded before, such as a measurement of coverage, does not count.
    code = "import sys\nbefore = set(sys.modules)\n"
    code += f"{statement}\nprint('loaded:', *sys.modules.keys() - before)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = done.stdout.rpartition("loaded:")[2].split()
    assert "pando" in loaded
    assert not set(forbidden) & set(loaded)


@pytest.mark.process
@pytest.mark.parametrize(
    "prepared",
    ["gc.enable()", "gc.disable()", "gc.freeze()"],
    ids=["collecting", "not collecting", "frozen"],
)
def test_importing_leaves_the_garbage_collector_as_it_was(prepared):
    code = f"""
import gc, pando
{prepared}
before = gc.isenabled(), gc.get_freeze_count() > 0
pando.map
assert (gc.isenabled(), gc.get_freeze_count() > 0) == before
"""
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
