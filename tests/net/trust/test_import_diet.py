"""Cryptography is imported when somebody joins, and not before."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    "program",
    [
        "import pando; pando.map, pando.volunteer, pando.ServeOptions",
        "import pando; assert list(pando.map(abs, range(-3, 0), workers=1)) == [3, 2, 1]",
        "import pando.cli.main",
        "import pando.net.trust.join_link, pando.net.trust.key_store, pando.net.trust.peer_user",
    ],
)
def test_cryptography_waits_until_somebody_joins(program):
    code = f"{program}\nimport sys\nprint('loaded:', *(m for m in sys.modules if 'crypto' in m))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.rpartition("loaded:")[2].split() == []


SERVING = """
import sys
import trio
from pando.running.serve_options import ServeOptions
from pando.running.shared_server import shared_server

async def main():
    async with shared_server(ServeOptions(port=0, link_for=__file__), print) as server:
        print(server.links[0])

trio.run(main)
print("loaded:", *(m for m in sys.modules if "crypto" in m))
"""


def test_a_link_that_is_kept_is_printed_without_cryptography(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SERVING)
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        said.append(done.stdout.rpartition("loaded:"))
    assert said[0][0] == said[1][0]
    assert "#" in said[0][0]
    assert said[0][2].split() != [], "it makes the keys"
    assert said[1][2].split() == []


def test_the_handshake_needs_no_trio_of_its_own():
    """The state machines do no I/O: nothing in them waits, opens or connects."""
    code = (
        "import sys\nfrom pando.net.trust import initiator, responder\n"
        "own = [m for n, m in sys.modules.items() if n.startswith('pando.net.trust.')]\n"
        "print(sum(hasattr(m, name) for m in own for name in ('trio', 'socket')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0\n"
