"""How nodes connect, and whether this device can do so by WebRTC. aiortc is not imported."""

from __future__ import annotations

from importlib.util import find_spec

from ...errors import UsageError

AUTO, WEBSOCKET, WEBRTC = "auto", "websocket", "webrtc"
PROTOCOLS = (AUTO, WEBSOCKET, WEBRTC)
MISSING = (
    "WebRTC needs the package aiortc, which is not installed: pip install 'pando-computing[webrtc]'"
)


def is_available() -> bool:
    """Return whether aiortc is installed."""
    return find_spec("aiortc") is not None


def check_protocol(protocol: str) -> None:
    """Check how to connect.

    Raises:
        UsageError: it is none of the ways, or is not possible here.
    """
    if protocol not in PROTOCOLS:
        raise UsageError(f"protocol must be auto, websocket or webrtc, not {protocol!r}")
    if protocol == WEBRTC and not is_available():
        raise UsageError(MISSING)


def announced(protocol: str) -> str:
    """Return what a root tells joining nodes of how to connect; see `messages.RunInfo`."""
    return protocol if protocol != WEBSOCKET and is_available() else ""


def choose_protocol(wanted: str | None, run: str) -> str:
    """Return how a volunteer connects.

    Args:
        wanted: what its options or its link say; None where they say nothing.
        run: what the root has announced.
    """
    if not run or wanted == WEBSOCKET or not is_available():
        return WEBSOCKET
    return WEBRTC if WEBRTC in (wanted, run) and wanted != AUTO else AUTO


def answers_offers(protocol: str) -> bool:
    """Return whether others may connect to this node by WebRTC."""
    return protocol != WEBSOCKET and is_available()
