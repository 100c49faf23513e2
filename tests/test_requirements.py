"""What a function needs installed: read, looked for, named where it is missing."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import pytest
import trio

from pando import messages
from pando.errors import FunctionError
from pando.limits import MAX_REQUIREMENTS
from pando.requirements import find_missing, read_script_metadata
from pando.volunteering import session_start
from pando.worker import virtual_environment
from pando.worker.environment import Environment
from pando.worker.virtual_environment import prepare_environment

METADATA = """\
# /// script
# requires-python = ">=3.11"
# dependencies = ["msgspec>=0.10", "no-such-package>=2; python_version >= '3'"]
# ///
def pando(x): return x
"""


def test_script_metadata_is_read() -> None:
    assert read_script_metadata("def pando(x): ...") == []
    found = read_script_metadata(METADATA)
    assert found[:2] == ["python>=3.11", "msgspec>=0.10"]
    assert find_missing(found) == [found[2]]


def test_pando_itself_is_not_looked_for() -> None:
    """A script may name it, for tools that run scripts with what they require."""
    text = '# /// script\n# dependencies = ["Pando_Computing>=0.1", "msgspec"]\n# ///\n'
    assert read_script_metadata(text) == ["msgspec"]


@pytest.mark.parametrize(
    "content", ["dependencies = [1]", "dependencies = [", "requires-python = 3"]
)
def test_script_metadata_that_makes_no_sense_is_refused(content: str) -> None:
    with pytest.raises(FunctionError, match="script metadata"):
        read_script_metadata(f"# /// script\n# {content}\n# ///\n")


def test_a_version_that_is_too_old_is_missing() -> None:
    assert find_missing(["msgspec>=9999"]) == ["msgspec>=9999"]


async def test_what_is_missing_is_named() -> None:
    with pytest.raises(FunctionError, match="needs no-such-package>=2"):
        await prepare_environment(["no-such-package>=2"], install=False, say=print)


async def test_the_wrong_python_is_named_and_never_installed() -> None:
    with pytest.raises(FunctionError, match=r"needs python>=99, and this is Python 3\."):
        await prepare_environment(["python>=99", "msgspec"], install=True, say=print)


def write_wheel(folder: Path) -> str:
    """A small package, and what requires it."""
    path = folder / "tiny_thing-1-py3-none-any.whl"
    about = "tiny_thing-1.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_thing.py", "three = 3")
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1\n")
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    return f"tiny-thing @ {path.as_uri()}"


@pytest.mark.process
async def test_what_was_half_installed_is_begun_anew_and_by_one_of_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    requirement = write_wheel(tmp_path)
    said: list[str] = []
    found: list[Environment] = []

    async def prepare() -> None:
        found.append(await prepare_environment([requirement], install=True, say=said.append))

    await prepare()
    folder = Path(found[0].python).parent.parent
    (folder / ".done").unlink()
    (folder / "half-installed").touch()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(prepare)
        nursery.start_soon(prepare)
    assert len(said) == 2
    assert found[0] == found[1] == found[2]
    assert not (folder / "half-installed").exists()
    shown = await trio.run_process(
        [found[0].python, "-c", "import tiny_thing; print(tiny_thing.three)"], capture_stdout=True
    )
    assert shown.stdout == b"3\n"


@pytest.mark.process
async def test_a_cache_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with pytest.raises(FunctionError, match=r"cannot be installed: .*/dev/null"):
        await prepare_environment(["never-installed"], install=True, say=print)


@pytest.mark.parametrize("count", [MAX_REQUIREMENTS, MAX_REQUIREMENTS + 1])
def test_a_root_names_no_more_requirements_than_are_looked_for(count: int) -> None:
    said = messages.RunInfo(messages.VERSION, bytes(8), "run", "f", b"", ["numpy"] * count)
    encoded = messages.encode(said)
    if count <= MAX_REQUIREMENTS:
        assert messages.decode(encoded) == said
    else:
        with pytest.raises(messages.MalformedMessageError):
            messages.decode(encoded)


async def test_requirements_are_looked_for_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of many each takes a while: heartbeats and signals are not to wait for that."""
    here, looked = threading.current_thread(), list[threading.Thread]()

    def find(requirements: list[str]) -> list[str]:
        looked.append(threading.current_thread())
        return find_missing(requirements)

    monkeypatch.setattr(virtual_environment, "find_missing", find)
    monkeypatch.setattr(session_start, "find_missing", find)
    many = ["msgspec"] * MAX_REQUIREMENTS
    assert await prepare_environment(many, install=False, say=print) == Environment()
    assigned = messages.RunInfo(messages.VERSION, bytes(8), "run", "f", b"", many)
    assert await session_start._can_load_exactly(assigned)
    assert len(looked) == 2
    assert here not in looked
