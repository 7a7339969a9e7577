"""A study's results appear whole or not at all: written beside their place, renamed when complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanweave.errors import Code, EnvironmentFailure, InputRefused, Problem, ScanweaveError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_place(folder: Path, *, overwrite: bool) -> None:
    """Refuse before the work is done what would be refused after it; leaves nothing behind.

    Raises
    ------
    InputRefused
        OUTPUT_EXISTS.
    EnvironmentFailure
        OUTPUT_UNWRITABLE, DISK_FULL.
    """
    if folder.exists() and not overwrite:
        raise _exists(folder)
    with _created_parents(folder.parent) as made, _coded(folder):
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=".scanweave-").cleanup()
        _remove_empty(made)


@contextmanager
def staged(folder: Path, *, overwrite: bool) -> Iterator[Path]:
    """A private folder that becomes `folder` when the block ends well and vanishes when it does not.

    An older result is replaced only then. Raises as `check_place`.
    """
    with _created_parents(folder.parent), _coded(folder):
        stage = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".partial"))
        try:
            yield stage
            stage.chmod(0o777 & ~_umask())
            _move_into_place(stage, folder, overwrite)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _move_into_place(stage: Path, folder: Path, overwrite: bool) -> None:
    """The old result stays until the new one is whole; a rename within one folder cannot stop halfway."""
    if not folder.exists():
        stage.rename(folder)
        return
    if not overwrite:
        raise _exists(folder)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", suffix=".old") as attic:
        old = Path(attic) / folder.name
        folder.rename(old)
        try:
            stage.rename(folder)
        except OSError:
            old.rename(folder)
            raise


@contextmanager
def _created_parents(parent: Path) -> Iterator[list[Path]]:
    """Makes the missing folders above a result, and takes them away again when the block fails."""
    missing = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        with _coded(parent):
            parent.mkdir(parents=True, exist_ok=True)
        yield missing
    except BaseException:
        _remove_empty(missing)
        raise


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


@contextmanager
def _coded(folder: Path) -> Iterator[None]:
    try:
        yield
    except ScanweaveError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            problem = Problem(Code.DISK_FULL, "the disk is full; nothing was written", folder.name)
        else:
            reason = error.strerror or type(error).__name__
            problem = Problem(Code.OUTPUT_UNWRITABLE, f"the results cannot be written: {reason}", folder.name)
        raise EnvironmentFailure(problem) from error


def _exists(folder: Path) -> InputRefused:
    message = "a result is already there; use --overwrite to replace it"
    return InputRefused(Problem(Code.OUTPUT_EXISTS, message, folder.name))


def _umask() -> int:
    """The process's umask can only be read by setting it."""
    current = os.umask(0o077)
    os.umask(current)
    return current
