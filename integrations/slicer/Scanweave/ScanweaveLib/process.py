"""A program that runs beside Slicer: its lines are read as they come, and it can be ended."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_PROGRESS = re.compile(r"<filter-progress>([0-9.]+)</filter-progress>")
_COMMENT = re.compile(r"<filter-comment>(.*)</filter-comment>")
_TAG = re.compile(r"\s*<filter-")
END_S = 10.0
"""Until what was asked to end is ended."""


class Process:
    """Started at once; `progress` (0..1) and `words` say how far it is, where it tells by Slicer's filter tags.

    With `one_stream` stdout is for people, too, and `out` stays empty.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], *, one_stream: bool = False) -> None:
        self.progress, self.words = 0.0, ""
        self.errors: list[str] = []
        self._out: list[str] = []
        self._new: list[str] = []
        self._started = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0) if os.name == "nt" else 0,
        )
        hears_out = self._hear if one_stream else self._out.append
        streams = ((self._started.stdout, hears_out), (self._started.stderr, self._hear))
        self._readers = [threading.Thread(target=_read, args=stream, daemon=True) for stream in streams]
        for reader in self._readers:
            reader.start()

    @property
    def ended(self) -> bool:
        """Whether it has, and all that it said was read."""
        return self._started.poll() is not None and not any(reader.is_alive() for reader in self._readers)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._started.poll()

    @property
    def out(self) -> str:
        """All of stdout."""
        return "".join(self._out)

    def new_lines(self) -> list[str]:
        """For people, of stderr: those since the last call."""
        lines, self._new = self._new, []
        return lines

    def end(self) -> None:
        """Have it clean up and end; if it does not, end it."""
        if self._started.poll() is None:
            self._started.terminate()
            try:
                self._started.wait(END_S)
            except subprocess.TimeoutExpired:
                self._started.kill()
                self._started.wait()

    def _hear(self, line: str) -> None:
        if (found := _PROGRESS.search(line)) is not None:
            self.progress = float(found[1])
        if (found := _COMMENT.search(line)) is not None:
            self.words = found[1] or self.words
            self._new += [self.words] if found[1] else []
        if not _TAG.match(line):
            self.errors.append(line.rstrip("\n"))
            self._new.append(line.rstrip("\n"))


def _read(stream: Any, take: Callable[[str], object]) -> None:
    with stream:
        for line in stream:
            take(line)
