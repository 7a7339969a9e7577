"""Files that are the old or the new one at any moment, never a part of it, and that a power failure does not empty."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def whole_file(path: Path, mark: str = "") -> Iterator[IO[bytes]]:
    """A stream whose content is at `path`, flushed to the disk, when the block ends well, and gone when it does not.

    `mark` tells the unfinished files of several writers apart; a single one overwrites what it left when killed.
    Raises what the system does (`disk_refusals` words it).
    """
    beside = path.with_name(f".{path.name}{mark}.part")
    try:
        with beside.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def flush_folder(folder: Path) -> None:
    """Wait until every file below `folder`, and their names, are on the disk itself."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _flush(Path(parent, name))
        _flush(Path(parent))


def flush_names(folder: Path) -> None:
    """Wait until the names in `folder` are on the disk itself: a file that was renamed into it has only then a name."""
    _flush(folder)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # of a folder some file systems (FUSE, network) know no fsync
            raise
    finally:
        os.close(descriptor)
