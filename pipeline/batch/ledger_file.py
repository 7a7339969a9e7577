"""The file of a ledger: its tables, how it is opened, and what SQLite refuses in the words of scanweave."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.batch.batch_file import GOES_ON
from scanweave.pipeline.batch.entry import State

LEDGER_FILE = "ledger.sqlite"
VERSION = 1
BUSY_S = 30.0
"""How long a reader or writer waits for another."""
SPACE_BYTES = 1 << 20
"""Less than this is left where SQLite's log cannot grow and it says no more than "I/O error"."""
_SCHEMA = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, seen INTEGER NOT NULL,
    kind TEXT NOT NULL, study TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE studies (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, fingerprint TEXT NOT NULL, source TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ({", ".join(f"'{state}'" for state in State)})),
    seen INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, interrupted INTEGER NOT NULL DEFAULT 0,
    leased REAL, begun REAL, ended REAL, code TEXT, message TEXT, result TEXT
);
CREATE INDEX studies_by_state ON studies (state, interrupted, id);
PRAGMA user_version = {VERSION};
"""


def open_ledger(path: Path, *, writing: bool) -> sqlite3.Connection:
    """A connection that commits nothing by itself; `writing` makes the file where there is none.

    Raises
    ------
    EnvironmentFailure
        LEDGER_INVALID for what is no ledger, or a newer one's; DISK_FULL, OUTPUT_UNWRITABLE.
    """
    with ledger_refusals(path):
        if not writing and not path.is_file():
            message = f"expected {path.name} in this folder"
            raise EnvironmentFailure(Problem(Code.LEDGER_INVALID, message, path.parent.name))
        if writing and not path.exists():
            path.touch(mode=0o600)  # it holds the paths of studies, which may name patients
        database = _connected(path, "mode=rw" if writing else "mode=ro")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        empty = not database.execute("SELECT 1 FROM sqlite_master").fetchone()
        if version != VERSION and not (writing and empty and version == 0):
            message = f"expected a ledger of version {VERSION}, found {version or 'none'}"
            raise EnvironmentFailure(Problem(Code.LEDGER_INVALID, message, path.name))
        if writing:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
        if empty:
            for statement in ("BEGIN IMMEDIATE", *_SCHEMA.split(";\n"), "COMMIT"):
                database.execute(statement)
        return database


def _connected(path: Path, how: str) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?{how}"
    database = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    database.row_factory = sqlite3.Row
    try:
        database.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        database.close()
        # To read beside a writer needs a file of shared memory; in a folder that is read-only nobody writes.
        if how != "mode=ro" or os.access(path.parent, os.W_OK):
            raise
        return _connected(path, "immutable=1")
    return database


@contextmanager
def ledger_refusals(path: Path) -> Iterator[None]:
    """What SQLite refuses inside the block, as EnvironmentFailure."""
    try:
        yield
    except sqlite3.OperationalError as error:
        words = str(error)
        full = shutil.disk_usage(path.parent).free < SPACE_BYTES if "I/O" in words else "full" in words
        if full:
            problem = Problem(Code.DISK_FULL, f"the disk is full; {GOES_ON}", path.name)
        elif "not a database" in words:
            problem = _no_ledger(path)
        else:
            problem = Problem(Code.OUTPUT_UNWRITABLE, f"the ledger cannot be used: {words}", path.name)
        raise EnvironmentFailure(problem) from error
    except sqlite3.DatabaseError as error:
        raise EnvironmentFailure(_no_ledger(path)) from error
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise EnvironmentFailure(
            Problem(Code.OUTPUT_UNWRITABLE, f"the ledger cannot be used: {reason}", path.name)
        ) from error


def _no_ledger(path: Path) -> Problem:
    return Problem(Code.LEDGER_INVALID, "the file is damaged, or no ledger of scanweave", path.name)
