"""The ledger of a batch, `OUT/ledger.sqlite`: the only truth on which study is queued, running, done, refused, failed.

A row changes in one transaction, which SQLite (write-ahead log, synchronous=FULL) has on the disk before the call
returns. Only the process that owns OUT writes (`owner`), its threads one at a time; anybody may read meanwhile.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.pipeline.batch.entry import Entry, Outcome, State
from scanweave.pipeline.batch.ledger_file import LEDGER_FILE, ledger_refusals, open_ledger

LEASE_S = 120.0
"""A running study whose lease is older than this runs no more, whatever its row says."""


@dataclass(frozen=True)
class Row:
    """One study's row; times are seconds since 1970, UTC.

    `attempts` were ended by the study itself or are not ended yet; `interrupted` ones were ended with their batch.
    """

    entry: Entry
    state: State
    attempts: int
    interrupted: int
    leased: float | None
    begun: float | None
    ended: float | None
    code: str | None
    message: str | None
    result: Mapping[str, Any]

    @property
    def abandoned(self) -> bool:
        """Whether it is said to run, and nobody has renewed its lease: the next batch takes it up."""
        return self.state is State.RUNNING and (self.leased or 0) + LEASE_S < time.time()


class Ledger:
    """The ledger below `out`; `writing` makes it where there is none.

    Raises
    ------
    EnvironmentFailure
        LEDGER_INVALID for what is no ledger, or a newer one's; DISK_FULL and OUTPUT_UNWRITABLE, here and in each call.
    """

    leasable = f"state = '{State.QUEUED}'"
    """Which rows may be taken."""

    def __init__(self, out: Path, *, writing: bool) -> None:
        self.path = out / LEDGER_FILE
        self._database = open_ledger(self.path, writing=writing)
        self._lock = threading.RLock()

    def close(self) -> None:
        """Fold the log into the ledger, which is then one file."""
        with self._lock, ledger_refusals(self.path):
            self._database.close()

    @contextmanager
    def _changes(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of the block's changes, and of those within it, or none."""
        with self._lock, ledger_refusals(self.path):
            if self._database.in_transaction:
                yield self._database
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def _rows(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Iterator[sqlite3.Row]:
        with self._lock, ledger_refusals(self.path):
            yield from self._database.execute(query, values)

    # facts of the whole batch

    def fact(self, name: str) -> str | None:
        """What was stored under `name`."""
        found = next(self._rows("SELECT value FROM facts WHERE name = ?", (name,)), None)
        return found["value"] if found else None

    def store_fact(self, name: str, value: str) -> None:
        """Store `value` under `name`, over what was there."""
        with self._changes() as database:
            database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def forget_fact(self, name: str) -> bool:
        """Whether there was one."""
        with self._changes() as database:
            return bool(database.execute("DELETE FROM facts WHERE name = ?", (name,)).rowcount)

    # files that the index has looked at

    def unchanged_files(self, pass_number: int, files: Iterable[tuple[str, int, int]]) -> set[str]:
        """Of (path, size, mtime in ns) those that were looked at and have not changed; they count as seen."""
        known = set()
        with self._changes() as database:
            for path, size, mtime_ns in files:
                query = "UPDATE files SET seen = ? WHERE path = ? AND size = ? AND mtime_ns = ?"
                if database.execute(query, (pass_number, os.fsencode(path), size, mtime_ns)).rowcount:
                    known.add(path)
        return known

    def store_files(self, pass_number: int, files: Iterable[tuple[str, int, int, str, str]]) -> None:
        """Store what was seen of files: path, size, mtime in ns, kind, key of the study."""
        with self._changes() as database:
            database.executemany(
                "INSERT OR REPLACE INTO files (seen, path, size, mtime_ns, kind, study) VALUES (?, ?, ?, ?, ?, ?)",
                ((pass_number, os.fsencode(path), *rest) for path, *rest in files),
            )

    def forget_files(self, pass_number: int) -> None:
        """Drop the files that this pass has not seen: they are gone."""
        with self._changes() as database:
            database.execute("DELETE FROM files WHERE seen != ?", (pass_number,))

    def files(self) -> Iterator[tuple[str, int, int, str, str]]:
        """(path, size, mtime in ns, kind, study), by study and path."""
        for row in self._rows("SELECT path, size, mtime_ns, kind, study FROM files ORDER BY study, path"):
            yield os.fsdecode(row["path"]), row["size"], row["mtime_ns"], row["kind"], row["study"]

    # studies

    def store_entries(self, pass_number: int, entries: Iterable[Entry]) -> None:
        """New studies are queued; of known ones those whose files have changed are queued again."""
        with self._changes() as database:
            for entry in entries:
                known = database.execute("SELECT fingerprint FROM studies WHERE name = ?", (entry.name,)).fetchone()
                if known is None:
                    database.execute(
                        "INSERT INTO studies (name, fingerprint, source, state, seen) VALUES (?, ?, ?, ?, ?)",
                        (entry.name, entry.fingerprint, entry.to_json(), State.QUEUED, pass_number),
                    )
                    continue
                changed = known["fingerprint"] != entry.fingerprint
                database.execute(
                    "UPDATE studies SET seen = ?, source = ?, fingerprint = ? WHERE name = ?",
                    (pass_number, entry.to_json(), entry.fingerprint, entry.name),
                )
                if changed:
                    _requeue(database, "name = ?", (entry.name,))

    def forget_unseen(self, pass_number: int) -> int:
        """Take out of the queue what this pass has not found; what ended stays on record. How many."""
        with self._changes() as database:
            query = "DELETE FROM studies WHERE seen != ? AND state IN (?, ?)"
            return database.execute(query, (pass_number, State.QUEUED, State.RUNNING)).rowcount

    def take_up(self) -> None:
        """Queue again what a killed batch has left running, behind what nobody has tried; it has lost no attempt."""
        with self._changes() as database:
            database.execute(
                "UPDATE studies SET state = ?, leased = NULL, attempts = attempts - 1, interrupted = interrupted + 1 "
                "WHERE state = ?",
                (State.QUEUED, State.RUNNING),
            )

    def requeue(self, states: Sequence[State]) -> int:
        """Queue again what ended so; how many."""
        marks = ", ".join("?" * len(states))
        with self._changes() as database:
            return _requeue(database, f"state IN ({marks})", tuple(states))

    def lease(self, count: int) -> list[Row]:
        """Take up to `count` queued studies: they run from now on, and this is an attempt at each."""
        now = time.time()
        with self._changes() as database:
            query = f"{_SELECT} WHERE {self.leasable} ORDER BY interrupted, id LIMIT ?"
            rows = database.execute(query, (count,)).fetchall()
            database.executemany(
                "UPDATE studies SET state = ?, leased = ?, begun = ?, attempts = attempts + 1 WHERE name = ?",
                [(State.RUNNING, now, now, row["name"]) for row in rows],
            )
        return [_row(row) for row in rows]

    def heartbeat(self) -> None:
        """Renew the lease of what runs."""
        with self._changes() as database:
            database.execute("UPDATE studies SET leased = ? WHERE state = ?", (time.time(), State.RUNNING))

    def end(self, name: str, outcome: Outcome) -> None:
        """A study has ended; of one that is done the results are whole on the disk."""
        result = json.dumps(outcome.result) if outcome.result else None
        values = (outcome.state, time.time(), outcome.code, outcome.message or None, result, name)
        with self._changes() as database:
            database.execute(
                "UPDATE studies SET state = ?, ended = ?, leased = NULL, code = ?, message = ?, result = ? "
                "WHERE name = ?",
                values,
            )

    def try_again(self, name: str) -> None:
        """Queue a running study again."""
        with self._changes() as database:
            database.execute("UPDATE studies SET state = ?, leased = NULL WHERE name = ?", (State.QUEUED, name))

    def give_back(self) -> None:
        """Queue again whatever runs, as if it had never been taken."""
        with self._changes() as database:
            database.execute(
                "UPDATE studies SET state = ?, leased = NULL, attempts = attempts - 1 WHERE state = ?",
                (State.QUEUED, State.RUNNING),
            )

    def attempts(self, name: str) -> int:
        """How often a study was tried."""
        return int(next(self._rows("SELECT attempts FROM studies WHERE name = ?", (name,)))["attempts"])

    def counts(self) -> dict[State, int]:
        """How many studies are in each state."""
        found = {row["state"]: row["n"] for row in self._rows("SELECT state, count(*) n FROM studies GROUP BY state")}
        return {state: found.get(state, 0) for state in State}

    def rows(self, states: Sequence[State] = tuple(State)) -> Iterator[Row]:
        """Every row in one of `states`, in the order in which they were found."""
        marks = ", ".join("?" * len(states))
        for row in self._rows(f"{_SELECT} WHERE state IN ({marks}) ORDER BY id", tuple(states)):
            yield _row(row)

    def latest(self, states: Sequence[State], count: int) -> list[Row]:
        """The `count` rows in one of `states` that changed last."""
        marks = ", ".join("?" * len(states))
        query = f"{_SELECT} WHERE state IN ({marks}) ORDER BY coalesce(ended, begun, 0) DESC, id DESC LIMIT ?"
        return [_row(row) for row in self._rows(query, (*states, count))]

    def retry(self, name: str) -> bool:
        """Queue again one study that was refused or has failed; whether it had."""
        with self._changes() as database:
            return bool(_requeue(database, "name = ? AND state IN (?, ?)", (name, State.REFUSED, State.FAILED)))

    def row(self, name: str) -> Row | None:
        """The row of one study."""
        found = next(self._rows(f"{_SELECT} WHERE name = ?", (name,)), None)
        return _row(found) if found else None


_SELECT = (
    "SELECT name, fingerprint, source, state, attempts, interrupted, leased, begun, ended, code, message, result "
    "FROM studies"
)


def _requeue(database: sqlite3.Connection, where: str, values: Sequence[Any]) -> int:
    return database.execute(
        "UPDATE studies SET state = ?, attempts = 0, interrupted = 0, leased = NULL, begun = NULL, ended = NULL, "
        f"code = NULL, message = NULL, result = NULL WHERE {where}",
        (State.QUEUED, *values),
    ).rowcount


def _entry(row: sqlite3.Row) -> Entry:
    return Entry.from_json(row["name"], row["fingerprint"], row["source"])


def _row(row: sqlite3.Row) -> Row:
    return Row(
        _entry(row),
        State(row["state"]),
        row["attempts"],
        row["interrupted"],
        row["leased"],
        row["begun"],
        row["ended"],
        row["code"],
        row["message"],
        json.loads(row["result"] or "{}"),
    )
