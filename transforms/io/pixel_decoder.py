"""Compressed pixels, decoded by a process beside this one with limits of time and memory.

The decoders of JPEG, JPEG-LS and JPEG 2000 are C and C++ libraries; a crash in one of them would end the program
without a word, and batch and node with it. One process serves a whole study: it starts at the first compressed file.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, EnvironmentFailure, InputRefused, Problem
from scanweave.transforms.io.pixel_worker import DONE, FAILED, FRAME, READY, TOO_MUCH_MEMORY, UNSUPPORTED

WORKER = "scanweave.transforms.io.pixel_worker"
BASE_SECONDS, SECONDS_PER_MILLION_PIXELS = 5.0, 1.0
"""Processor time of one file: JPEG 2000, the slowest, takes 0.05 s for a million pixels."""
BASE_BYTES, BYTES_PER_PIXEL = 256 << 20, 32
"""Memory of one file beyond what the libraries take: decoders hold a frame as 32-bit numbers, more than once."""
PATIENCE = 12.0
"""Times the processor time in which the answer must be there: other programs may have the processors."""
STARTING_SECONDS = 120.0
"""For the process to import its libraries, however busy the machine is."""
AHEAD = 3
"""Files that the process is asked for before the first is taken: it decodes while we read headers."""
_MAX_HEAD_BYTES, _PIPE_BYTES = 1 << 12, 1 << 20
_TYPES = frozenset({"|u1", "|i1", "<u2", "<i2", "<u4", "<i4"})
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Each thread of a library that is not needed takes addresses from the limit."""


@dataclass(frozen=True)
class CompressedFile:
    """A file and what its header says of its pixels; `where` names it in messages."""

    path: Path
    frames: int
    rows: int
    columns: int
    where: str

    @property
    def seconds(self) -> float:
        """Processor time that it may take."""
        return BASE_SECONDS + SECONDS_PER_MILLION_PIXELS * self.frames * self.rows * self.columns / 1e6

    @property
    def bytes(self) -> int:
        """Memory that it may take: of one frame, and of the file itself."""
        return BASE_BYTES + BYTES_PER_PIXEL * self.rows * self.columns + 4 * self.path.stat().st_size


class PixelDecoder:
    """The process; a context, at whose end it is gone."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._refused = False

    def __enter__(self) -> PixelDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def decode(self, files: Iterable[CompressedFile]) -> Iterator[npt.NDArray[Any]]:
        """The pixels of each file in turn, (frame, row, column) in the type they are stored in, little endian.

        Raises
        ------
        InputRefused
            TRUNCATED for damaged pixels, also where the decoder crashed; UNSUPPORTED_SYNTAX; DECODING_LIMIT where
            more time or memory was needed than any such image takes.
        EnvironmentFailure
            OUT_OF_MEMORY where the system killed the process; ENVIRONMENT_INCOMPLETE where it did not start.
        """
        waiting: deque[CompressedFile] = deque()
        try:
            for file in files:
                waiting.append(file)
                self._ask(file)
                if len(waiting) > AHEAD:
                    yield self._take(waiting.popleft())
            while waiting:
                yield self._take(waiting.popleft())
        finally:
            if waiting:  # answers would be taken for those of other files
                self._stop()

    def _ask(self, file: CompressedFile) -> None:
        request = {
            "path": str(file.path.absolute()),
            "frames": file.frames,
            "seconds": math.ceil(file.seconds),
            "bytes": file.bytes,
        }
        _, requests, _ = self._running()
        with contextlib.suppress(BrokenPipeError):  # of what it died is told by the file that it worked on
            requests.write(json.dumps(request).encode() + b"\n")
            requests.flush()

    def _take(self, file: CompressedFile) -> npt.NDArray[Any]:
        self._refused = False
        try:
            if not self._ready:
                self._answer(file, time.monotonic() + STARTING_SECONDS, READY)
                self._ready = True
            return self._frames(file, time.monotonic() + PATIENCE * file.seconds)
        except BaseException:
            if not self._refused:  # a refusal ends the answers to a file; after anything else more may come
                self._stop()
            raise

    def _frames(self, file: CompressedFile, deadline: float) -> npt.NDArray[Any]:
        pixels: npt.NDArray[Any] | None = None
        for n in range(file.frames):
            frame = self._answer(file, deadline, FRAME)
            if tuple(frame["shape"]) != (file.rows, file.columns) or frame["type"] not in _TYPES:
                message = f"expected {file.rows} x {file.columns} pixels, decoded {frame['shape']} {frame['type']}"
                raise InputRefused(Problem(Code.TRUNCATED, message, file.where))
            if pixels is None:
                pixels = np.empty((file.frames, file.rows, file.columns), frame["type"])
            elif pixels.dtype.str != frame["type"]:
                message = f"expected pixels of one type, decoded {pixels.dtype.str} and {frame['type']}"
                raise InputRefused(Problem(Code.TRUNCATED, message, file.where))
            self._read(memoryview(pixels[n].reshape(-1).view(np.uint8)), file, deadline)
        self._answer(file, deadline, DONE)
        if pixels is None:
            raise ValueError("expected at least one frame")
        return pixels

    def _answer(self, file: CompressedFile, deadline: float, expected: str) -> dict[str, Any]:
        """The next answer, which must be of the `expected` kind."""
        (length,) = struct.unpack("<I", self._read(memoryview(bytearray(4)), file, deadline))
        answer = json.loads(self._read(memoryview(bytearray(min(length, _MAX_HEAD_BYTES))), file, deadline).tobytes())
        if answer["answer"] == expected:
            return dict(answer)
        self._refused = answer["answer"] == FAILED
        why = answer.get("why", "")
        if why == TOO_MUCH_MEMORY:
            raise InputRefused(_over_limit(f"{file.bytes >> 20} MB of memory", file))
        if why == UNSUPPORTED:
            message = "no installed decoder reads these pixels"
            raise InputRefused(Problem(Code.UNSUPPORTED_SYNTAX, message, file.where))
        message = f"the pixels cannot be decoded ({answer.get('error', 'fewer or more frames than the header says')})"
        raise InputRefused(Problem(Code.TRUNCATED, message, file.where))

    def _read(self, into: memoryview, file: CompressedFile, deadline: float) -> memoryview:
        """Fill `into` with what the process writes; it may die or fall silent instead."""
        process, _, answers = self._running()
        poll = select.poll()
        poll.register(answers, select.POLLIN)
        filled = 0
        while filled < len(into):
            if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
                raise InputRefused(_over_limit(f"{PATIENCE * file.seconds:.0f} s", file))
            count = os.readv(answers, [into[filled:]])
            if count == 0:
                _refuse_death(process.wait(), file, ready=self._ready)
            filled += count
        return into

    def _running(self) -> tuple[subprocess.Popen[bytes], IO[bytes], int]:
        """The process, started where there is none, with its stdin and what it writes to."""
        if self._process is None:
            self._process, self._ready = _started(), False
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("expected a process with pipes")
        return self._process, self._process.stdin, self._process.stdout.fileno()

    def _stop(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        with contextlib.suppress(BrokenPipeError):
            process.communicate()


def _started() -> subprocess.Popen[bytes]:
    """A process that will say that it is ready; -P keeps modules of the working directory out of it."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pipesize=_PIPE_BYTES,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
        )
    except OSError as error:
        code = Code.OUT_OF_MEMORY if error.errno in (errno.ENOMEM, errno.EAGAIN) else Code.ENVIRONMENT_INCOMPLETE
        message = f"no process could be started to decode compressed pixels ({error.strerror})"
        raise EnvironmentFailure(Problem(code, message)) from error


def _refuse_death(status: int, file: CompressedFile, *, ready: bool) -> NoReturn:
    """The process ended in the middle of a file: `status` is its exit code, or minus the signal that killed it."""
    if status == -signal.SIGKILL:
        message = "the process that decodes pixels was killed: too little memory?"
        raise EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message, file.where))
    if status >= 0 or not ready:
        message = f"the process that decodes compressed pixels does not run (exit {status}); see scanweave doctor"
        raise EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message))
    if status == -signal.SIGXCPU:
        raise InputRefused(_over_limit(f"{file.seconds:.0f} s", file))
    message = f"the pixels cannot be decoded (the decoder crashed, {signal.Signals(-status).name})"
    raise InputRefused(Problem(Code.TRUNCATED, message, file.where))


def _over_limit(limit: str, file: CompressedFile) -> Problem:
    message = f"the pixels were not decoded within {limit}, many times what such an image takes"
    return Problem(Code.DECODING_LIMIT, message, file.where)
