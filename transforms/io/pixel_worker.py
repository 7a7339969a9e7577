"""Decodes compressed pixels in a process of its own, which a damaged or hostile image may crash, hang or swell.

`PixelDecoder` runs it as `python -P -m scanweave.transforms.io.pixel_worker`. On stdin comes one JSON object a line,
{"path", "frames", "seconds", "patience", "bytes"}: the processor time, the time by the clock and the memory that the
file may take.
On stdout each answer is four bytes of length, that much JSON, and for a frame its pixels: as many frames as were
asked for, or before them why there are no more. Nothing else comes out: what decoders print goes nowhere.
"""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

READY, FRAME, FAILED = "ready", "frame", "failed"
DAMAGED, TOO_MUCH_MEMORY, UNSUPPORTED = "damaged", "memory", "unsupported"


def main() -> None:
    """Answer requests until stdin ends."""
    answers = _own_stdout()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which closes stdin
    _limit(resource.RLIMIT_CORE, 0)
    # Before the limits, of which libraries should take nothing.
    import pydicom.pixels  # noqa: F401

    import scanweave.transforms.io.dicom_file  # noqa: F401

    logging.getLogger("pydicom").addHandler(failures := _Failures())
    _send(answers, {"answer": READY})
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit(resource.RLIMIT_AS, _address_space() + request["bytes"])
        usage = resource.getrusage(resource.RUSAGE_SELF)
        _limit(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + request["seconds"]))
        signal.alarm(request["patience"])  # by the clock: a parent that was killed ends nobody
        failures.kinds.clear()
        try:
            _decode(answers, Path(request["path"]), request["frames"])
        except BrokenPipeError:
            return
        except Exception as error:  # decoders raise nearly anything on damaged bytes
            kinds = [*failures.kinds, type(error)]
            _send(answers, {"answer": FAILED, "why": _reason(kinds), "error": kinds[0].__name__})
        signal.alarm(0)


class _Failures(logging.Handler):
    """What decoders raised: pydicom tells it to its log alone, and raises a RuntimeError for all of it."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[type[BaseException]] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[0]:
            self.kinds.append(record.exc_info[0])


def _reason(kinds: Sequence[type[BaseException]]) -> str:
    if any(issubclass(kind, MemoryError) for kind in kinds):
        return TOO_MUCH_MEMORY
    return UNSUPPORTED if issubclass(kinds[0], NotImplementedError) else DAMAGED


def _decode(answers: BinaryIO, path: Path, frames: int) -> None:
    """That many frames of a file, one after another, so that only one is held here."""
    import numpy as np
    from pydicom.pixels import get_decoder

    from scanweave.transforms.io.dicom_file import read_dataset

    dataset = read_dataset(path)
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    for n in range(frames):  # not by iter_array, which fails on signed JPEG-LS (pydicom 3.0.2)
        frame, _ = decoder.as_array(dataset, index=n)
        pixels = np.ascontiguousarray(frame, dtype=frame.dtype.newbyteorder("<"))
        _send(answers, {"answer": FRAME, "shape": pixels.shape, "type": pixels.dtype.str}, pixels.data)


def _send(answers: BinaryIO, message: dict[str, Any], pixels: Any = b"") -> None:
    head = json.dumps(message).encode()
    answers.write(struct.pack("<I", len(head)) + head)
    answers.write(pixels)
    answers.flush()


def _own_stdout() -> BinaryIO:
    """A stream to the parent that no library knows of."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
    return answers


def _limit(which: int, soft: int) -> None:
    """Lower or raise a limit as far as the hard one allows; a system that knows no such limit goes without."""
    _, hard = resource.getrlimit(which)
    wanted = soft if hard == resource.RLIM_INFINITY else min(soft, hard)
    try:
        resource.setrlimit(which, (wanted, hard))
    except (OSError, ValueError):
        return


def _address_space() -> int:
    from scanweave.transforms.io.memory import address_space

    return address_space()


if __name__ == "__main__":
    main()
