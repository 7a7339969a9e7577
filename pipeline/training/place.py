"""Where a training lies: is there one already."""

from __future__ import annotations

from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem

STATE_FILE = "last.pt"


def check_free(folder: Path, resume: bool) -> bool:
    """Whether a training is in `folder`; OUTPUT_EXISTS where one is and is not to be resumed."""
    there = (folder / STATE_FILE).exists()
    if there and not resume:
        message = "a training is there: --resume goes on with it, another --out begins anew"
        raise InputRefused(Problem(Code.OUTPUT_EXISTS, message, folder.name))
    return there
