"""A study's results appear whole or not at all: written beside their place, renamed when complete."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem
from scanweave.pipeline.disk_refusals import disk_refusals
from scanweave.pipeline.whole_file import flush_folder, flush_names
from scanweave.transforms.io.files import reachable

_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY})
_PREFIX = ".scanweave-"
"""Of what is not whole yet; short, for a name near the longest that the disk takes must not become too long."""
_PARTIAL, _OLD = ".partial", ".old"
_UNFINISHED = re.compile(rf"{re.escape(_PREFIX)}(\d+)-\w+({re.escape(_PARTIAL)}|{re.escape(_OLD)}|)")


def check_place(folder: Path, *, overwrite: bool, mark: str | None = None) -> None:
    """Refuse before the work is done what would be refused after it; leaves nothing behind.

    With `mark`, only an empty folder or one that holds a file of that name is overwritten: a result and not,
    under the same name, somebody's data.

    Raises
    ------
    InputRefused
        OUTPUT_EXISTS.
    EnvironmentFailure
        OUTPUT_UNWRITABLE, DISK_FULL.
    """
    with _coded(folder):
        _check_free(folder, overwrite, mark)
    with _created_parents(folder.parent) as made, _coded(folder):
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=_own_prefix()).cleanup()
        _remove_empty(made)


@contextmanager
def staged(folder: Path, *, overwrite: bool, mark: str | None = None) -> Iterator[Path]:
    """A private folder that becomes `folder` when the block ends well and vanishes when it does not.

    An older result is replaced only then. What is there when the block has ended is there after a power failure too.
    Raises as `check_place`.
    """
    with _created_parents(folder.parent), _coded(folder):
        stage = Path(tempfile.mkdtemp(dir=folder.parent, prefix=_own_prefix(), suffix=_PARTIAL))
        try:
            yield stage
            stage.chmod(0o777 & ~_umask())
            flush_folder(stage)
            _check_free(folder, overwrite, mark)
            _move_into_place(stage, folder)
            flush_names(folder.parent)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def remove_unfinished(parent: Path) -> None:
    """Clear `parent` of what processes that were killed left unfinished; an older result that one of them had moved
    aside goes back to its place. What a living process of this machine is about to finish stays."""
    for entry in sorted(parent.glob(f"{_PREFIX}*")):
        found = _UNFINISHED.fullmatch(entry.name)
        if found is None or is_alive(int(found[1])):
            continue
        if found[2] == _OLD:
            for old in entry.iterdir():
                if not os.path.lexists(parent / old.name):
                    old.rename(parent / old.name)
        shutil.rmtree(entry, ignore_errors=True)


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs on this machine, whosever it is."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _own_prefix() -> str:
    return f"{_PREFIX}{os.getpid()}-"


def _check_free(folder: Path, overwrite: bool, mark: str | None) -> None:
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise _exists(folder)
    if mark and not _is_result(folder, mark):
        message = f"what is there holds no {mark} and so is no result to replace; choose another folder"
        raise InputRefused(Problem(Code.OUTPUT_EXISTS, message, folder.name))


def _is_result(folder: Path, mark: str) -> bool:
    if not folder.is_dir() or folder.is_symlink():
        return False
    return (folder / mark).is_file() or not any(folder.iterdir())


def _move_into_place(stage: Path, folder: Path) -> None:
    """The old result stays until the new one is whole; a rename within one folder cannot stop halfway."""
    if not os.path.lexists(folder):
        try:
            stage.rename(folder)
        except OSError as error:
            if error.errno in _TAKEN:  # another run was faster
                raise _exists(folder) from error
            raise
        return
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix=_own_prefix(), suffix=_OLD, ignore_cleanup_errors=True
    ) as attic:
        old = Path(attic) / folder.name
        try:
            folder.rename(old)
            stage.rename(folder)
        except BaseException:  # an interrupt between the two too
            if os.path.lexists(old) and not os.path.lexists(folder):
                old.rename(folder)
            raise


@contextmanager
def _created_parents(parent: Path) -> Iterator[list[Path]]:
    """Makes the missing folders above a result, and takes them away again when the block fails."""
    missing = [folder for folder in (parent, *parent.parents) if not reachable(folder)]
    try:
        with _coded(parent):
            parent.mkdir(parents=True, exist_ok=True)
        yield missing
    except BaseException:
        _remove_empty(missing)
        raise


def _remove_empty(folders: list[Path]) -> None:
    """Innermost first; one that was never made is passed over, one that is in use ends it."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            if reachable(folder):
                return


def _coded(folder: Path) -> AbstractContextManager[None]:
    return disk_refusals(folder, what="the results", full="nothing was written")


def _exists(folder: Path) -> InputRefused:
    message = "a result is already there; use --overwrite to replace it"
    return InputRefused(Problem(Code.OUTPUT_EXISTS, message, folder.name))


def _umask() -> int:
    """The process's umask can only be read by setting it."""
    current = os.umask(0o077)
    os.umask(current)
    return current
