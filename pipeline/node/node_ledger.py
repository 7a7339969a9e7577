"""The ledger of a node: that of a batch, and what came in, which version of a study a row is, and what was delivered.

All threads share one connection, one at a time; what a method has changed is on the disk when it returns.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from scanweave.pipeline.batch.entry import Entry, Outcome, State
from scanweave.pipeline.batch.ledger import Ledger

_TABLES = """
CREATE TABLE IF NOT EXISTS arrivals (
    study TEXT PRIMARY KEY, began REAL NOT NULL, latest REAL NOT NULL, open INTEGER NOT NULL DEFAULT 1,
    forced INTEGER NOT NULL DEFAULT 0, looked_at INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS instances (
    instance TEXT PRIMARY KEY, study TEXT NOT NULL, kind TEXT NOT NULL, sender TEXT NOT NULL, received REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS instances_by_study ON instances (study);
CREATE TABLE IF NOT EXISTS versions (
    name TEXT PRIMARY KEY, study TEXT NOT NULL, number INTEGER NOT NULL, removed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS versions_by_study ON versions (study, number);
CREATE TABLE IF NOT EXISTS deliveries (
    name TEXT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL, changed REAL NOT NULL, reason TEXT, question TEXT, PRIMARY KEY (name, destination)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, destination, due);
"""


class Kind(StrEnum):
    """Of an instance: IMAGE may be input, OTHER (secondary capture, ours too) is only kept beside."""

    IMAGE = "image"
    OTHER = "other"


class Sending(StrEnum):
    """State of a delivery: of one study's results to one destination. ASKED waits for storage commitment."""

    QUEUED = "queued"
    ASKED = "asked"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True)
class Arrival:
    """A study of which instances have come; times are seconds since 1970. `images` counts those that may be input."""

    study: str
    began: float
    latest: float
    forced: bool
    looked_at: int
    complete: bool
    images: int


@dataclass(frozen=True)
class Delivery:
    """Results of `name` that a destination does not have yet, or never got."""

    name: str
    destination: str
    state: Sending
    attempts: int
    due: float
    changed: float
    reason: str | None


class NodeLedger(Ledger):
    """As `Ledger`, below `folder`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, writing=True)
        with self._changes() as database:
            for statement in _TABLES.split(";\n"):
                database.execute(statement)

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        return list(self._rows(query, values))

    # what came in

    def has_instance(self, instance: str) -> bool:
        """Whether an instance was stored, and is still there."""
        return bool(self._all("SELECT 1 FROM instances WHERE instance = ?", (instance,)))

    def receive(self, instance: str, study: str, kind: Kind, sender: str) -> None:
        """An instance lies whole on the disk: its study waits for more, or has changed."""
        now = time.time()
        with self._changes() as database:
            query = "INSERT OR IGNORE INTO instances VALUES (?, ?, ?, ?, ?)"
            new = database.execute(query, (instance, study, kind, sender, now)).rowcount
            if kind is Kind.IMAGE and new:
                database.execute(
                    "INSERT INTO arrivals (study, began, latest) VALUES (?, ?, ?) ON CONFLICT (study) DO UPDATE SET "
                    "began = CASE open WHEN 1 THEN began ELSE excluded.began END, latest = excluded.latest, open = 1",
                    (study, now, now),
                )

    def arrivals(self) -> list[Arrival]:
        """Studies that have images which no version of them has, the longest quiet first."""
        query = (
            "SELECT a.*, (SELECT count(*) FROM instances i WHERE i.study = a.study AND i.kind = ?) images "
            "FROM arrivals a WHERE a.open ORDER BY a.latest"
        )
        return [
            Arrival(row["study"], row["began"], row["latest"], bool(row["forced"]), row["looked_at"],
                    bool(row["complete"]), row["images"])
            for row in self._all(query, (Kind.IMAGE,))
        ]  # fmt: skip

    def note_look(self, study: str, images: int, *, complete: bool) -> None:
        """Somebody has looked whether every role has its series, when there were `images`."""
        with self._changes() as database:
            query = "UPDATE arrivals SET looked_at = ?, complete = ? WHERE study = ?"
            database.execute(query, (images, complete, study))

    def force(self, study: str) -> bool:
        """Have a study taken as it is; False where nothing of it waits."""
        with self._changes() as database:
            return bool(database.execute("UPDATE arrivals SET forced = 1 WHERE study = ? AND open", (study,)).rowcount)

    def images(self, study: str) -> list[str]:
        """The instances of a study that may be input, in the order of their keys."""
        query = "SELECT instance FROM instances WHERE study = ? AND kind = ? ORDER BY instance"
        return [row["instance"] for row in self._all(query, (study, Kind.IMAGE))]

    # versions of studies

    def take(self, study: str, entry: Entry, latest: float) -> bool:
        """Queue `entry`, made of what was there at `latest`, as the next version of `study`.

        False, and nothing is changed but that nothing waits, where a version was made of the same already. One that
        nobody has begun is replaced. What came meanwhile still waits.
        """
        with self._changes() as database:
            query = "UPDATE arrivals SET open = 0, forced = 0 WHERE study = ? AND latest = ?"
            database.execute(query, (study, latest))
            query = (
                "SELECT s.name, s.fingerprint, s.state FROM versions v JOIN studies s USING (name) WHERE v.study = ? "
                "ORDER BY v.number DESC"
            )
            known = database.execute(query, (study,)).fetchall()
            if any(row["fingerprint"] == entry.fingerprint for row in known):
                return False
            for row in known:
                if row["state"] == State.QUEUED:
                    query = "UPDATE studies SET fingerprint = ?, source = ? WHERE name = ?"
                    database.execute(query, (entry.fingerprint, entry.to_json(), row["name"]))
                    return True
            database.execute(
                "INSERT INTO studies (name, fingerprint, source, state, seen) VALUES (?, ?, ?, ?, 0)",
                (entry.name, entry.fingerprint, entry.to_json(), State.QUEUED),
            )
            query = "INSERT INTO versions (name, study, number) VALUES (?, ?, ?)"
            database.execute(query, (entry.name, study, len(known) + 1))
            return True

    def next_name(self, study: str) -> str:
        """What the next version of a study will be called."""
        (row,) = self._all("SELECT count(*) n FROM versions WHERE study = ?", (study,))
        return study if not row["n"] else f"{study}-{row['n'] + 1}"

    leasable = (
        "state = 'queued' AND NOT EXISTS (SELECT 1 FROM versions mine JOIN versions other USING (study) "
        "JOIN studies busy ON busy.name = other.name WHERE mine.name = studies.name AND busy.state = 'running')"
    )
    """One version of a study after the other: a result names its predecessor."""

    def study_of(self, name: str) -> str:
        """The study that `name` is a version of."""
        return str(self._all("SELECT study FROM versions WHERE name = ?", (name,))[0]["study"])

    def predecessor(self, name: str) -> str | None:
        """The latest version before `name` of which there are results."""
        query = (
            "SELECT older.name FROM versions mine JOIN versions older USING (study) "
            "JOIN studies s ON s.name = older.name WHERE mine.name = ? AND older.number < mine.number AND s.state = ? "
            "AND NOT older.removed ORDER BY older.number DESC LIMIT 1"
        )
        found = self._all(query, (name, State.DONE))
        return str(found[0]["name"]) if found else None

    # results on their way

    def end_and_send(self, name: str, outcome: Outcome, destinations: Sequence[str]) -> None:
        """As `end`; results are due at `destinations` from now on."""
        now = time.time()
        with self._changes() as database:
            self.end(name, outcome)
            database.executemany(
                "INSERT OR REPLACE INTO deliveries (name, destination, state, due, changed) VALUES (?, ?, ?, ?, ?)",
                [(name, destination, Sending.QUEUED, now, now) for destination in destinations],
            )

    def due(self, destination: str) -> Delivery | None:
        """What `destination` waits for longest, where it is time to try."""
        query = "SELECT * FROM deliveries WHERE destination = ? AND state IN (?, ?) AND due <= ? ORDER BY due LIMIT 1"
        found = self._all(query, (destination, Sending.QUEUED, Sending.ASKED, time.time()))
        return _delivery(found[0]) if found else None

    def ask(self, name: str, destination: str, question: str, due: float) -> None:
        """The destination has the results, and is asked `question`; without an answer by `due` they are sent again."""
        query = (
            "UPDATE deliveries SET state = ?, due = ?, question = ?, attempts = attempts + 1 "
            "WHERE name = ? AND destination = ?"
        )
        with self._changes() as database:
            database.execute(query, (Sending.ASKED, due, question, name, destination))

    def asked_for(self, question: str) -> Delivery | None:
        """What a question was about that waits for its answer."""
        found = self._all("SELECT * FROM deliveries WHERE question = ? AND state = ?", (question, Sending.ASKED))
        return _delivery(found[0]) if found else None

    def delivered(self, name: str, destination: str) -> None:
        """The destination has said that it has the results."""
        self._sending(name, destination, Sending.DELIVERED, 0.0, None)

    def try_later(self, name: str, destination: str, due: float, reason: str) -> None:
        """An attempt has failed; the next is not before `due`."""
        self._sending(name, destination, Sending.QUEUED, due, reason)

    def give_up(self, name: str, destination: str, reason: str) -> None:
        """The last attempt has failed."""
        self._sending(name, destination, Sending.UNDELIVERED, 0.0, reason)

    def _sending(self, name: str, destination: str, state: Sending, due: float, reason: str | None) -> None:
        query = (
            "UPDATE deliveries SET state = ?, due = ?, reason = ?, changed = ?, "
            "attempts = attempts + (state = 'queued') WHERE name = ? AND destination = ?"
        )
        with self._changes() as database:
            database.execute(query, (state, due, reason, time.time(), name, destination))

    def resend(self, name: str | None = None) -> int:
        """Have what was not delivered (of one version, or all) tried again from the first attempt on; how many."""
        query = "UPDATE deliveries SET state = ?, attempts = 0, due = ?, reason = NULL WHERE state = ?"
        values: tuple[Any, ...] = (Sending.QUEUED, time.time(), Sending.UNDELIVERED)
        if name is not None:
            query, values = f"{query} AND name = ?", (*values, name)
        with self._changes() as database:
            return database.execute(query, values).rowcount

    def deliveries(self, state: Sending | None = None) -> list[Delivery]:
        """All, or those in one state, the latest change first."""
        where, values = ("WHERE state = ?", (state,)) if state else ("", ())
        return [_delivery(row) for row in self._all(f"SELECT * FROM deliveries {where} ORDER BY changed DESC", values)]

    def figures(self) -> Mapping[str, int]:
        """Counts for `/metrics`: instances that are here, studies that wait for more, deliveries by state."""
        (row,) = self._all("SELECT (SELECT count(*) FROM instances) i, (SELECT count(*) FROM arrivals WHERE open) a")
        states = {
            row["state"]: row["n"] for row in self._all("SELECT state, count(*) n FROM deliveries GROUP BY state")
        }
        return {"instances": row["i"], "arriving": row["a"], **{str(state): states.get(state, 0) for state in Sending}}


def _delivery(row: Any) -> Delivery:
    return Delivery(row["name"], row["destination"], Sending(row["state"]), row["attempts"], row["due"], row["changed"],
                    row["reason"])  # fmt: skip
