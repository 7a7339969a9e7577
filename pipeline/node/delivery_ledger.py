"""The ledger's part on results that leave: which destination has which, and which it still has to get."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from scanweave.pipeline.batch.entry import Outcome
from scanweave.pipeline.batch.ledger import Ledger

_TABLES = """
CREATE TABLE IF NOT EXISTS deliveries (
    name TEXT NOT NULL, destination TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL, changed REAL NOT NULL, reason TEXT, question TEXT, PRIMARY KEY (name, destination)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, destination, due);
"""


class Sending(StrEnum):
    """State of a delivery: of one study's results to one destination. ASKED waits for storage commitment."""

    QUEUED = "queued"
    ASKED = "asked"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


@dataclass(frozen=True)
class Delivery:
    """Results of `name` that a destination does not have yet, or never got."""

    name: str
    destination: str
    state: Sending
    attempts: int
    reason: str | None

    @property
    def tries(self) -> int:
        """How often it was tried, the present one among them: `attempts` has that once it is asked about."""
        return self.attempts + (self.state is Sending.QUEUED)


class DeliveryLedger(Ledger):
    """As `Ledger`, below `folder`; all threads share one connection, one at a time."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, writing=True)
        self._make(_TABLES)

    def _make(self, tables: str) -> None:
        with self._changes() as database:
            for statement in tables.split(";\n"):
                database.execute(statement)

    def _all(self, query: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[sqlite3.Row]:
        return list(self._rows(query, values))

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


def _delivery(row: Any) -> Delivery:
    return Delivery(row["name"], row["destination"], Sending(row["state"]), row["attempts"], row["reason"])
