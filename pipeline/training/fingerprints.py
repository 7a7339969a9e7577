"""Is it the same data: of a case's files, quickly by size and time, or surely by content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from scanweave.transforms.io.labelled_cases import Case


def state_of(case: Case) -> str:
    """Changes with the places, sizes and times of the files that the case is read from."""
    digest = hashlib.sha256()
    for file in _files(case):
        state = file.lstat() if file.is_symlink() and not file.exists() else file.stat()
        digest.update(f"{file}|{state.st_size}|{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def content_of(case: Case) -> str:
    """Changes with the names and bytes of the files, not with where they lie or when they were copied there.

    What cannot be read counts by its name: the chain refuses it with a code.
    """
    digest = hashlib.sha256(case.name.encode())
    for file in _files(case):
        digest.update(f"\n{file.name}\n".encode())
        with suppress(OSError):
            if file.is_file():  # to open a pipe is to wait for its writer
                with file.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _files(case: Case) -> Iterator[Path]:
    for path in case.files:
        yield from (file for file in sorted(path.rglob("*")) if not file.is_dir()) if path.is_dir() else (path,)
