"""Compressed pixels, decoded by a process beside this one with limits of time and memory.

The decoders of JPEG, JPEG-LS and JPEG 2000 are C and C++ libraries; a crash in one of them would end the program
without a word, and batch and node with it. One process serves a whole study: it starts at the first compressed file.
"""

from __future__ import annotations

import errno
import math
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, EnvironmentFailure, InputRefused, Problem, ScanweaveError
from scanweave.transforms.io.pixel_worker import FAILED, TOO_MUCH_MEMORY, UNSUPPORTED
from scanweave.transforms.io.worker_process import WorkerProcess

WORKER = "scanweave.transforms.io.pixel_worker"
BASE_SECONDS, SECONDS_PER_MILLION_PIXELS = 5.0, 1.0
"""Processor time of one file: JPEG 2000, the slowest, takes 0.05 s for a million pixels."""
BASE_BYTES, BYTES_PER_PIXEL = 256 << 20, 32
"""Memory of one file beyond what the libraries take: decoders hold a frame as 32-bit numbers, more than once."""
PATIENCE = 12.0
"""Times the processor time in which the pixels must be there: other programs may have the processors."""
AFTERWARDS_SECONDS = 5
"""After which the process ends itself, if nobody is there any more to end it."""
STARTING_SECONDS = 120.0
"""For the process to import its libraries, however busy the machine is."""
_TYPES = frozenset({"|u1", "|i1", "<u2", "<i2", "<u4", "<i4"})

Pixels = npt.NDArray[Any]
"""(frame, row, column) as stored, without unused bits."""


@dataclass(frozen=True)
class CompressedFile:
    """A file and what its header says of its pixels; `where` names it in messages."""

    path: Path
    frames: int
    rows: int
    columns: int
    where: str

    @property
    def seconds(self) -> int:
        """Processor time that it may take."""
        pixels = self.frames * self.rows * self.columns
        return math.ceil(BASE_SECONDS + SECONDS_PER_MILLION_PIXELS * pixels / 1e6)

    @property
    def bytes(self) -> int:
        """Memory that it may take: of one frame, and of the file itself."""
        return BASE_BYTES + BYTES_PER_PIXEL * self.rows * self.columns + 4 * self.path.stat().st_size


class PixelDecoder:
    """Decodes one file after another; a context, at whose end the process is gone."""

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None

    def __enter__(self) -> PixelDecoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def decode(self, file: CompressedFile) -> Pixels:
        """The pixels of a file, little endian.

        Raises
        ------
        InputRefused
            TRUNCATED for damaged pixels, also where the decoder crashed; UNSUPPORTED_SYNTAX; DECODING_LIMIT where
            more time or memory was needed than any such image takes.
        EnvironmentFailure
            OUT_OF_MEMORY where the system killed the process; ENVIRONMENT_INCOMPLETE where it does not run.
        """
        try:
            if self._process is None:
                self._process = _started()
                _await_ready(self._process)
            pixels = _decoded(self._process, file)
        except BaseException:  # what the process may still say would be taken for the pixels of another file
            self._stop()
            raise
        if isinstance(pixels, Problem):
            raise InputRefused(pixels)
        return pixels

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None


def _started() -> WorkerProcess:
    try:
        return WorkerProcess(WORKER)
    except OSError as error:
        code = Code.OUT_OF_MEMORY if error.errno in (errno.ENOMEM, errno.EAGAIN) else Code.ENVIRONMENT_INCOMPLETE
        message = f"no process could be started to decode compressed pixels ({error.strerror})"
        raise EnvironmentFailure(Problem(code, message)) from error


def _await_ready(process: WorkerProcess) -> None:
    try:
        process.answer(time.monotonic() + STARTING_SECONDS)
    except (EOFError, TimeoutError) as error:
        raise _does_not_run(process.status) from error


def _decoded(process: WorkerProcess, file: CompressedFile) -> Pixels | Problem:
    """The pixels of a file, or the last that the process has to say of it: why it does not decode them."""
    process.ask(
        {
            "path": str(file.path.absolute()),
            "frames": file.frames,
            "seconds": file.seconds,
            "patience": math.ceil(PATIENCE * file.seconds) + AFTERWARDS_SECONDS,
            "bytes": file.bytes,
        }
    )
    try:
        return _frames(process, file, time.monotonic() + PATIENCE * file.seconds)
    except EOFError as error:
        raise _death(process.status, file) from error
    except TimeoutError as error:
        raise InputRefused(_over_limit(f"{PATIENCE * file.seconds:.0f} s", file)) from error


def _frames(process: WorkerProcess, file: CompressedFile, deadline: float) -> Pixels | Problem:
    """The pixels, if each frame is what the header says it is."""
    pixels: Pixels | None = None
    for n in range(file.frames):
        answer = process.answer(deadline)
        if answer["answer"] == FAILED:
            return _failure(answer, file)
        if pixels is None and answer["type"] in _TYPES:
            pixels = np.empty((file.frames, file.rows, file.columns), answer["type"])
        if pixels is None or answer["type"] != pixels.dtype.str or tuple(answer["shape"]) != pixels.shape[1:]:
            message = f"expected {file.rows} x {file.columns} pixels of one type"
            message += f", decoded {answer['shape']} {answer['type']}"
            raise InputRefused(Problem(Code.TRUNCATED, message, file.where))
        process.fill(memoryview(pixels[n].reshape(-1).view(np.uint8)), deadline)
    if pixels is None:
        raise ValueError("expected at least one frame")
    return pixels


def _failure(answer: Mapping[str, Any], file: CompressedFile) -> Problem:
    """What a decoder raised."""
    if answer["why"] == TOO_MUCH_MEMORY:
        return _over_limit(f"{file.bytes >> 20} MB of memory", file)
    if answer["why"] == UNSUPPORTED:
        return Problem(Code.UNSUPPORTED_SYNTAX, "no installed decoder reads these pixels", file.where)
    return Problem(Code.TRUNCATED, f"the pixels cannot be decoded ({answer['error']})", file.where)


def _death(status: int | None, file: CompressedFile) -> ScanweaveError:
    """Of a process that ended in the middle of a file."""
    if status is None or status >= 0:
        return _does_not_run(status)
    if status == -signal.SIGKILL:
        message = "the process that decodes pixels was killed: too little memory?"
        return EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message, file.where))
    if status == -signal.SIGXCPU:
        return InputRefused(_over_limit(f"{file.seconds} s", file))
    message = f"the pixels cannot be decoded (the decoder crashed, {signal.Signals(-status).name})"
    return InputRefused(Problem(Code.TRUNCATED, message, file.where))


def _does_not_run(status: int | None) -> EnvironmentFailure:
    message = f"the process that decodes compressed pixels does not run (exit {status}); see scanweave doctor"
    return EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message))


def _over_limit(limit: str, file: CompressedFile) -> Problem:
    message = f"the pixels were not decoded within {limit}, many times what such an image takes"
    return Problem(Code.DECODING_LIMIT, message, file.where)
