"""Something between a root and its volunteers."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from .roots import Root


class Proxy:
    """Passes connections on to a root, and cuts those off that it is told to."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.connections: list[tuple[socket.socket, socket.socket]] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._root.port))
                except OSError:  # the root has gone
                    near.close()
                    continue
                self.connections.append((near, far))
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self, number: int) -> None:
        """End a connection, counted from 0 in the order in which they came."""
        for end in self.connections[number]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more, and end those that are there."""
        with suppress(OSError):  # wakes the thread that accepts
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for number, ends in enumerate(self.connections):
            self.cut(number)
            for end in ends:
                end.close()
