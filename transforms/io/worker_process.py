"""A process beside this one that answers over a pipe, and may die or fall silent: neither is waited for in vain."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENDING_SECONDS = 5.0
"""For a process to be gone once it has closed its pipe."""
_MAX_HEAD_BYTES, _PIPE_BYTES = 1 << 12, 1 << 20
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""For processes beside others: threads that are not needed take each other's cores, and addresses from a limit."""


class WorkerProcess:
    """`python -m module`: a request is a line of JSON; an answer four bytes of length, that much JSON, maybe bytes.

    Modules of the working directory stay out of it. Deadlines are on the clock of `time.monotonic`.

    Raises
    ------
    OSError
        The process cannot be started.
    """

    def __init__(self, module: str) -> None:
        path = os.pathsep.join(entry for entry in sys.path if Path(entry).is_absolute())  # MONAI adds a bundle's "."
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise OSError("no pipes")
        self._requests = self._process.stdin
        self._answers = self._process.stdout.fileno()
        # A large pipe is only quicker, and the system gives a user no more than 32 of them (pipe-user-pages-soft).
        with contextlib.suppress(OSError, AttributeError):
            fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._poll = select.poll()
        self._poll.register(self._answers, select.POLLIN)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Exit code, or minus the signal that killed it, of a process that has closed its pipe; None if it stays."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(ENDING_SECONDS)
        return None

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send a request, when all answers to the one before are taken; a process that died says so in `answer`."""
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()

    def answer(self, deadline: float) -> dict[str, Any]:
        """The next answer, without the bytes that may follow; errors as `fill`."""
        (length,) = struct.unpack("<I", self.fill(memoryview(bytearray(4)), deadline))
        head = self.fill(memoryview(bytearray(min(length, _MAX_HEAD_BYTES))), deadline)
        return dict(json.loads(head.tobytes()))

    def fill(self, into: memoryview, deadline: float) -> memoryview:
        """Fill `into`, bytes, with what the process writes.

        Raises
        ------
        EOFError
            The process has closed its pipe: it died.
        TimeoutError
            It was silent until the deadline.
        """
        filled = 0
        while filled < len(into):
            if not self._poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                raise TimeoutError
            count = os.readv(self._answers, [into[filled:]])
            if count == 0:
                raise EOFError
            filled += count
        return into

    def kill(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
