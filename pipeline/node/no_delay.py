"""TCP without its waits: an instance is a command and its data, and each of them may cost 40 ms for nothing.

A sender's kernel holds the second of two small writes back until the first is acknowledged (Nagle, RFC 896), and the
receiver's delays that acknowledgement (RFC 1122 4.2.3.2).
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from pynetdicom import evt

QUICKACK = getattr(socket, "TCP_QUICKACK", None)
"""Of Linux alone."""


def _send_at_once(event: evt.Event) -> None:
    _set(event, socket.TCP_NODELAY)


def _acknowledge_at_once(event: evt.Event) -> None:
    """The kernel forgets it with whatever we send."""
    if QUICKACK is not None:
        _set(event, QUICKACK)


def _set(event: evt.Event, option: int) -> None:
    transport = event.assoc.dul.socket
    connection = transport.socket if transport else None
    if connection is not None:
        with suppress(OSError):  # it has just ended
            connection.setsockopt(socket.IPPROTO_TCP, option, 1)


PROMPT: list[Any] = [
    (evt.EVT_CONN_OPEN, _send_at_once),
    (evt.EVT_DATA_SENT, _acknowledge_at_once),
]
"""Handlers for any association, whoever has asked for it."""
