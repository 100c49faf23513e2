"""What a function needs installed: read, looked for, named where it is missing."""

from __future__ import annotations

import pytest

from pando.errors import FunctionError
from pando.requirements import find_missing, read_script_metadata
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
