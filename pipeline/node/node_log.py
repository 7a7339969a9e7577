"""What a node says: a log of JSON lines on stderr, and an audit trail below its folder. No identifiers in either."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, TextIO

from scanweave.errors import printable

AUDIT_FILE = "audit.jsonl"


class _Lines(logging.Formatter):
    """A JSON object a line: time (UTC), level, event, and whatever else is known of it."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said = {"time": moment, "level": record.levelname.lower(), "event": printable(record.getMessage())}
        facts: dict[str, Any] = getattr(record, "facts", {})
        return json.dumps(said | {name: _plain(value) for name, value in facts.items()})


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | bool) or value is None else printable(str(value))


class NodeLog:
    """Both; studies and instances go by their keyed hashes.

    The audit trail says who sent, what was done with it, where it went; a program that rotates files may take it away
    at any time (`WatchedFileHandler` opens another).
    """

    def __init__(self, folder: Path, stream: TextIO | None = None) -> None:
        self._log = _logger(logging.StreamHandler(stream or sys.stderr))
        self._audit = _logger(WatchedFileHandler(folder / AUDIT_FILE, encoding="utf-8"))

    def info(self, event: str, **facts: object) -> None:
        """Something went as it should."""
        self._log.info(event, extra={"facts": facts})

    def warning(self, event: str, **facts: object) -> None:
        """Something that a person should know of."""
        self._log.warning(event, extra={"facts": facts})

    def error(self, event: str, **facts: object) -> None:
        """Something that a person has to mend."""
        self._log.error(event, extra={"facts": facts})

    def audit(self, event: str, **facts: object) -> None:
        """Part of the trail; the log has it too."""
        self._audit.info(event, extra={"facts": facts})
        self._log.info(event, extra={"facts": facts})


def _logger(handler: logging.Handler) -> logging.Logger:
    """Its own, below nobody: libraries' loggers, which name what they handle, are not heard."""
    handler.setFormatter(_Lines())
    logger = logging.Logger(f"scanweave-{id(handler)}", logging.INFO)
    logger.addHandler(handler)
    return logger
