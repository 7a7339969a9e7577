"""The ledger of a node: that of a batch, and what came in, which version of a study a row is, and what was delivered.

All threads share one connection, one at a time; what a method has changed is on the disk when it returns.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from scanweave.pipeline.batch.entry import Entry, State
from scanweave.pipeline.node.delivery_ledger import DeliveryLedger, Sending

_TABLES = """
CREATE TABLE IF NOT EXISTS arrivals (
    study TEXT PRIMARY KEY, latest REAL NOT NULL, open INTEGER NOT NULL DEFAULT 1,
    forced INTEGER NOT NULL DEFAULT 0, looked_at INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS instances (
    instance TEXT PRIMARY KEY, study TEXT NOT NULL, kind TEXT NOT NULL, sender TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS instances_by_study ON instances (study);
CREATE TABLE IF NOT EXISTS versions (
    name TEXT PRIMARY KEY, study TEXT NOT NULL, number INTEGER NOT NULL, removed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS versions_by_study ON versions (study, number);
"""


class Kind(StrEnum):
    """Of an instance: IMAGE may be input, OTHER (secondary capture, ours too) is only kept beside."""

    IMAGE = "image"
    OTHER = "other"


@dataclass(frozen=True)
class Arrival:
    """A study of which instances have come; times are seconds since 1970. `images` counts those that may be input."""

    study: str
    latest: float
    forced: bool
    looked_at: int
    complete: bool
    images: int


class NodeLedger(DeliveryLedger):
    """As `DeliveryLedger`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._make(_TABLES)

    # what came in

    def has_instance(self, instance: str) -> bool:
        """Whether an instance was stored, and is still there."""
        return bool(self._all("SELECT 1 FROM instances WHERE instance = ?", (instance,)))

    def receive(self, instance: str, study: str, kind: Kind, sender: str) -> None:
        """An instance lies whole on the disk: its study waits for more, or has changed."""
        with self._changes() as database:
            query = "INSERT OR IGNORE INTO instances VALUES (?, ?, ?, ?)"
            new = database.execute(query, (instance, study, kind, sender)).rowcount
            if kind is Kind.IMAGE and new:
                database.execute(
                    "INSERT INTO arrivals (study, latest) VALUES (?, ?) "
                    "ON CONFLICT (study) DO UPDATE SET latest = excluded.latest, open = 1",
                    (study, time.time()),
                )

    def arrivals(self) -> list[Arrival]:
        """Studies that have images which no version of them has, the longest quiet first."""
        query = (
            "SELECT a.*, (SELECT count(*) FROM instances i WHERE i.study = a.study AND i.kind = ?) images "
            "FROM arrivals a WHERE a.open ORDER BY a.latest"
        )
        return [
            Arrival(row["study"], row["latest"], bool(row["forced"]), row["looked_at"],
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

    def instances(self, study: str) -> list[str]:
        """All instances of a study."""
        return [row["instance"] for row in self._all("SELECT instance FROM instances WHERE study = ?", (study,))]

    def images(self, study: str) -> list[str]:
        """The instances of a study that may be input, in the order of their keys."""
        query = "SELECT instance FROM instances WHERE study = ? AND kind = ? ORDER BY instance"
        return [row["instance"] for row in self._all(query, (study, Kind.IMAGE))]

    def senders(self, study: str) -> list[str]:
        """Who sent it."""
        query = "SELECT DISTINCT sender FROM instances WHERE study = ? ORDER BY sender"
        return [row["sender"] for row in self._all(query, (study,))]

    # versions of studies

    def take(self, study: str, entry: Entry, latest: float) -> bool:
        """Queue `entry`, made of what was there at `latest`, as the next version of `study`.

        False, and nothing is changed but that nothing waits, where a version was made of the same already, or of all
        that there is and more, which was removed since. One that nobody has begun is replaced. What came meanwhile
        still waits.
        """
        with self._changes() as database:
            query = "UPDATE arrivals SET open = 0, forced = 0 WHERE study = ? AND latest = ?"
            database.execute(query, (study, latest))
            query = (
                "SELECT s.name, s.fingerprint, s.state, s.source FROM versions v JOIN studies s USING (name) "
                "WHERE v.study = ? ORDER BY v.number DESC"
            )
            known = database.execute(query, (study,)).fetchall()
            if any(row["fingerprint"] == entry.fingerprint or _holds(row, entry) for row in known):
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

    def predecessor(self, name: str) -> str | None:
        """The latest version before `name` of which there are results."""
        query = (
            "SELECT older.name FROM versions mine JOIN versions older USING (study) "
            "JOIN studies s ON s.name = older.name WHERE mine.name = ? AND older.number < mine.number AND s.state = ? "
            "AND NOT older.removed ORDER BY older.number DESC LIMIT 1"
        )
        found = self._all(query, (name, State.DONE))
        return str(found[0]["name"]) if found else None

    # what may go

    def settled(self, done_before: float, refused_before: float | None) -> list[str]:
        """Studies of which nothing waits and nothing came since, and whose input is not needed any more.

        Those that are done and delivered everywhere, before `done_before`; those that were refused or have failed
        before `refused_before`, where it is given.
        """
        query = (
            "SELECT a.study FROM arrivals a WHERE NOT a.open AND a.latest < :done AND EXISTS "
            "(SELECT 1 FROM versions v WHERE v.study = a.study) AND NOT EXISTS ("
            "SELECT 1 FROM versions v JOIN studies s USING (name) WHERE v.study = a.study AND CASE s.state "
            "WHEN 'done' THEN s.ended >= :done OR EXISTS (SELECT 1 FROM deliveries d WHERE d.name = v.name "
            "AND d.state != 'delivered') WHEN 'refused' THEN s.ended >= :refused "
            "WHEN 'failed' THEN s.ended >= :refused ELSE 1 END)"
        )
        values = {"done": done_before, "refused": float("-inf") if refused_before is None else refused_before}
        return [row["study"] for row in self._all(query, values)]

    def forget_input(self, study: str) -> None:
        """The instances of a study are about to be removed: one that comes again is a new one."""
        with self._changes() as database:
            database.execute("DELETE FROM instances WHERE study = ?", (study,))
            database.execute("DELETE FROM arrivals WHERE study = ?", (study,))

    def delivered_before(self, moment: float) -> list[str]:
        """Versions of which every destination has the results since before `moment`."""
        query = (
            "SELECT v.name FROM versions v JOIN studies s USING (name) WHERE s.state = 'done' AND s.ended < ? "
            "AND NOT v.removed AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.name = v.name "
            "AND (d.state != 'delivered' OR d.changed >= ?))"
        )
        return [row["name"] for row in self._all(query, (moment, moment))]

    def note_removed(self, name: str) -> None:
        """The results of a version are gone."""
        with self._changes() as database:
            database.execute("UPDATE versions SET removed = 1 WHERE name = ?", (name,))

    def figures(self) -> Mapping[str, int]:
        """Counts for `/metrics`: instances that are here, studies that wait for more, deliveries by state."""
        (row,) = self._all("SELECT (SELECT count(*) FROM instances) i, (SELECT count(*) FROM arrivals WHERE open) a")
        states = {
            row["state"]: row["n"] for row in self._all("SELECT state, count(*) n FROM deliveries GROUP BY state")
        }
        return {"instances": row["i"], "arriving": row["a"], **{str(state): states.get(state, 0) for state in Sending}}


def _holds(row: sqlite3.Row, entry: Entry) -> bool:
    """Whether a version that is done was made of more than `entry`: a part of a study that was sent again."""
    files = set(Entry.from_json(row["name"], row["fingerprint"], row["source"]).files)
    return row["state"] == State.DONE and set(entry.files) < files
