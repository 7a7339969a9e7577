"""Libraries' remarks quote headers, names and UIDs included: where files are read or written, they are kept quiet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_NOISY = ("nibabel.global", "highdicom", "pydicom")
_SILENT = logging.CRITICAL + 1


@contextmanager
def quiet(*, wanted: bool = True) -> Iterator[None]:
    """Keeps libraries' remarks off stderr, where each line is one of ours; they quote headers, names included."""
    if not wanted:
        yield
        return
    loggers = {name: logging.getLogger(name) for name in _NOISY}
    before = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(before[name])
