"""A STUN server for tests, which says the same address to everybody."""

from __future__ import annotations

import socket
import threading
from types import TracebackType

MAPPED = ("203.0.113.11", 40123)


class StunServer:
    """Answers in a thread; `asked` is set with the first request."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("0.0.0.0", 0))
        self.url = f"stun:127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> StunServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", ("127.0.0.1", self._socket.getsockname()[1]))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        from aioice import stun

        while True:
            data, sender = self._socket.recvfrom(2048)
            if data == b"end":
                return
            request = stun.parse_message(data)
            answer = stun.Message(
                message_method=stun.Method.BINDING,
                message_class=stun.Class.RESPONSE,
                transaction_id=request.transaction_id,
            )
            answer.attributes["XOR-MAPPED-ADDRESS"] = MAPPED
            self._socket.sendto(bytes(answer), sender)
            self.asked.set()
