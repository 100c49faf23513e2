"""One end of a bare data channel by aiortc: ``python bare_channel.py offer|answer SECONDS``.

Both ends send frames of the size that Pando uses, as fast as they go, and read all that comes.
Descriptions are lines of JSON: the one that offers says its own and reads the other one. Then, when
`WARM_UP_SECONDS` have passed, what comes is counted for so many seconds; the last line says how
many bytes came in a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

FRAME_BYTES = 16 * 1024
LOW_BYTES = 128 * 1024
HIGH_BYTES = 2 * LOW_BYTES
WARM_UP_SECONDS = 1.0


async def main(role: str, seconds: float) -> None:
    """Connect, send and count."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    channel = connection.createDataChannel("bare", negotiated=True, id=0)
    channel.bufferedAmountLowThreshold = LOW_BYTES
    frame = bytes(FRAME_BYTES)
    came = 0

    def fill() -> None:
        while channel.readyState == "open" and channel.bufferedAmount < HIGH_BYTES:
            channel.send(frame)

    def take(data: bytes) -> None:
        nonlocal came
        came += len(data)

    opened = asyncio.Event()
    channel.on("open", opened.set)
    channel.on("bufferedamountlow", fill)
    channel.on("message", take)
    if role == "offer":
        await connection.setLocalDescription(await connection.createOffer())
        say(connection.localDescription.sdp)
        await connection.setRemoteDescription(RTCSessionDescription(await hear(), "answer"))
    else:
        await connection.setRemoteDescription(RTCSessionDescription(await hear(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        say(connection.localDescription.sdp)
    await opened.wait()
    fill()
    await asyncio.sleep(WARM_UP_SECONDS)
    before, began = came, time.monotonic()
    await asyncio.sleep(seconds)
    say((came - before) / (time.monotonic() - began))
    await asyncio.sleep(seconds)  # the other end may still be counting
    await asyncio.wait_for(connection.close(), 5.0)


async def hear() -> str:
    """The other end's description."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return str(json.loads(line))


def say(what: str | float) -> None:
    """One line of output."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
