"""A server of files on this machine's loopback that can be told to misbehave, as the networks of hospitals do."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["_Handler", bytes], None]
PATIENCE = 15.0
"""Seconds of silence, after which a client without a time limit shall fail rather than hang."""


@dataclass
class Server:
    """`answer` decides what is done with the file; `asked` lists what was asked for, CONNECT of a proxy too."""

    port: int
    content: bytes = b""
    answer: Answer | None = None
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    record: Server

    def do_GET(self) -> None:
        self.record.asked.append(self.path)
        (self.record.answer or whole)(self, self.record.content)

    def do_CONNECT(self) -> None:
        self.record.asked.append(self.path)
        self.send_error(403)

    def log_message(self, *arguments: object) -> None:
        pass


def whole(handler: _Handler, content: bytes) -> None:
    """As it should be."""
    _send(handler, content, len(content))


def cut_short(handler: _Handler, content: bytes) -> None:
    """Half of what was announced."""
    _send(handler, content, len(content) // 2)


def missing(handler: _Handler, content: bytes) -> None:
    """404."""
    handler.send_error(404)


def login_page(handler: _Handler, content: bytes) -> None:
    """What a proxy that wants a password shows, with status 200."""
    whole(handler, b"<html>Please log in</html>")


def silent(handler: _Handler, content: bytes) -> None:
    """Takes the request and never answers."""
    handler.record.ended.wait(PATIENCE)


def stuck_halfway(handler: _Handler, content: bytes) -> None:
    """Sends half and then nothing, with the connection open."""
    _send(handler, content, len(content) // 2)
    handler.record.ended.wait(PATIENCE)


def interrupted_halfway(handler: _Handler, content: bytes) -> None:
    """The user presses Ctrl-C when half is there."""
    _send(handler, content, len(content) // 2)
    os.kill(os.getpid(), signal.SIGINT)
    handler.record.ended.wait(PATIENCE)


def _send(handler: _Handler, content: bytes, size: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[:size])
    handler.wfile.flush()


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port, in threads of this process."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as http:
        record = Server(http.server_port)
        http.RequestHandlerClass = type("Handler", (_Handler,), {"record": record})
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield record
        finally:
            record.ended.set()
            http.shutdown()
            thread.join()


def closed_port() -> int:
    """A port of loopback at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
