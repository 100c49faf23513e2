"""Frames and descriptions as both languages have them: vectors for both test suites.

`python -m tests.net.webrtc.test_frame_vectors` writes `vectors/data-channel.json` anew, which the
pages' own tests read, too.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pando.messages import MalformedMessageError
from pando.net.webrtc.channel import CREDIT, PART_BYTES, WINDOW_BYTES, cut
from pando.net.webrtc.description import Description

PATH = Path(__file__).parents[2] / "vectors" / "data-channel.json"
SIZES = [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES, 100_000]
FINGERPRINT = ":".join(f"{byte:02X}" for byte in range(32))
HEAD = "v=0\r\no=- 7 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n"
SECTION = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n"
CREDENTIALS = "a=ice-ufrag:XWgm\r\na=ice-pwd:ZSmseWOZ0dkXGKsDQJo6B7E0\r\na=ice-options:trickle\r\n"
NAME = "f440c4b5-8e47-42ef-8edf-18d8e524cc70.local"
CANDIDATES = [
    f"a=candidate:716117935 1 udp 2113937151 {NAME} 54722 typ host generation 0 network-cost 999",
    "a=candidate:1 1 UDP 2122252543 192.0.2.2 50000 typ host",
    "a=candidate:2 1 udp 1686052607 198.51.100.7 61000 typ srflx raddr 192.0.2.2 rport 50000",
    "a=candidate:3 1 tcp 1518280447 192.0.2.2 9 typ host tcptype active",
    "a=candidate:4 2 udp 2122252542 192.0.2.2 50001 typ host",
    "a=candidate:5 1 udp 2122252543 fd00::2 50002 typ host",
    "a=candidate:6 1 udp 2122252543 192.0.2.2 0 typ host",
    "a=candidate:7 1 udp 2122252543 not/a/host 50003 typ host",
]
HOSTS = [
    "10.1.2.3",
    "127.0.0.1",
    "127.1",
    "0.0.0.0",
    "224.0.0.251",
    "240.0.0.1",
    "256.1.1.1",
    "1.2.3.4.",
    "01.2.3.4",
    "2001:db8::7",
    "::1",
    "0:0:0:0:0:0:0:1",
    "::",
    "ff02::fb",
    "fe80::1",
    "::ffff:127.0.0.1",
    "::ffff:192.0.2.7",
    "ff::1",
    "1::2::3",
    "a-tab.local",
    "a.tab.local",
    "localhost",
]


def message(size: int) -> bytes:
    """Bytes that are the same in both languages, and unlike their neighbours."""
    return bytes((number * 7 + number // 256) % 251 for number in range(size))


def make_frames(size: int) -> dict[str, Any]:
    frames = list(cut(message(size)))
    digests = [hashlib.sha256(frame).hexdigest() for frame in frames]
    return {"size": size, "lengths": [len(frame) for frame in frames], "digests": digests}


def describe(setup: str, candidates: list[str], *, mid: str = "a=mid:0") -> str:
    tail = [f"a=fingerprint:sha-256 {FINGERPRINT}", f"a=setup:{setup}", mid, "a=sctp-port:5000"]
    lines = "".join(f"{line}\r\n" for line in candidates)
    return HEAD + SECTION + lines + CREDENTIALS + "".join(f"{line}\r\n" for line in tail)


DESCRIPTIONS = [
    ("offer", describe("actpass", CANDIDATES)),
    ("offer", describe("actpass", [])),
    ("offer", describe("actpass", [CANDIDATES[1]] * 20)),
    ("answer", describe("active", CANDIDATES[1:3])),
    ("answer", describe("passive", CANDIDATES[:1])),
    *(
        ("answer", describe("active", [f"a=candidate:1 1 udp 1 {host} 5000 typ host"]))
        for host in HOSTS
    ),
    ("offer", describe("active", CANDIDATES)),
    ("answer", describe("actpass", CANDIDATES)),
    ("answer", describe("active", []).replace(SECTION, "")),
    ("answer", describe("active", []).replace("sha-256", "sha-1")),
    ("answer", describe("active", []).replace("XWgm", "a b")),
    ("answer", describe("active", []) + "m=audio 9 RTP/AVP 0\r\n"),
    ("answer", ""),
]


def make_description(kind: str, sdp: str) -> dict[str, Any]:
    try:
        read = Description.parse(sdp, is_offer=kind == "offer")
    except MalformedMessageError:
        return {"kind": kind, "sdp": sdp, "written": None, "fingerprint": None}
    return {
        "kind": kind,
        "sdp": sdp,
        "written": read.sdp(),
        "fingerprint": read.fingerprint.hex(),
    }


def make_vectors() -> dict[str, Any]:
    credit = bytes([CREDIT]) + (WINDOW_BYTES // 2).to_bytes(4, "big")
    return {
        "messages": [make_frames(size) for size in SIZES],
        "credit": {"bytes": WINDOW_BYTES // 2, "frame": credit.hex()},
        "descriptions": [make_description(kind, sdp) for kind, sdp in DESCRIPTIONS],
    }


def test_the_vectors_are_what_is_sent() -> None:
    assert json.loads(PATH.read_text()) == make_vectors()


@pytest.mark.parametrize("vector", make_vectors()["descriptions"])
def test_what_is_written_anew_reads_the_same(vector: dict[str, Any]) -> None:
    if vector["written"] is None:
        return
    again = make_description(vector["kind"], vector["written"])
    assert (again["written"], again["fingerprint"]) == (vector["written"], vector["fingerprint"])


if __name__ == "__main__":
    PATH.write_text(json.dumps(make_vectors(), indent=1) + "\n")
