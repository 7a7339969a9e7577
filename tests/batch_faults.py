"""A step for a bundle's chain that fails as real processes do, where a study's folder holds a file that says how."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

FAULT_FILE = "fault.txt"
GROWN_BYTES = 3 << 30


class Fault:
    """Crash, hang, grow or raise; a fault of "<kind> once" happens at the first attempt alone."""

    def __call__(self, study: dict[str, Any]) -> dict[str, Any]:
        file = Path(study["study"].path or "/nowhere") / FAULT_FILE
        if file.is_file():
            kind, _, once = file.read_text().strip().partition(" ")
            if once:
                file.unlink()
            _happen(kind)
        return study


def _happen(kind: str) -> None:
    if kind == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif kind == "exit":
        os._exit(3)
    elif kind == "hang":
        time.sleep(3600)
    elif kind == "grow":
        held = [bytearray(os.urandom(1 << 20) * 256) for _ in range(GROWN_BYTES >> 28)]
        time.sleep(60 + len(held))
    elif kind == "whose":
        with Path(os.environ["WHOSE_FILE"]).open("a") as stream:
            stream.write("x")
    elif kind == "raise":
        raise ValueError("a defect")
