"""From the queue to the executor and back: the loop in which a batch lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.batch.bids import publish_mask
from scanweave.pipeline.batch.entry import Entry, Outcome, State
from scanweave.pipeline.batch.executor import Ending, Executor
from scanweave.pipeline.batch.job import Job
from scanweave.pipeline.batch.ledger import Ledger
from scanweave.pipeline.batch.owner import RENEW_S, renew_ownership

WAIT_S = 1.0
"""For an ending, before it is asked whether anything else is to be done."""
MOST_ATTEMPTS = 2
"""At a study that crashes, hangs or fails: the second in a fresh process."""
Told = Callable[[Mapping[State, int]], None]
"""Hears how many studies are in each state."""


@dataclass
class BatchRun:
    """One process's work on a ledger that it owns."""

    ledger: Ledger
    out: Path
    phi: bool
    told: Told

    def run(self, executor: Executor) -> None:
        """Until nothing is queued.

        Raises
        ------
        EnvironmentFailure
            Where the machine lacks what every study needs; what was not finished is queued.
        """
        running: dict[str, Job] = {}
        beat = time.monotonic()
        self.told(self.ledger.counts())
        try:
            while self._fill(executor, running) or running:
                for ending in executor.ended(WAIT_S) if running else ():
                    self._end(ending, running)
                if time.monotonic() - beat > RENEW_S:
                    beat = time.monotonic()
                    self.ledger.heartbeat()
                    renew_ownership(self.ledger)
        except BaseException:
            with suppress(EnvironmentFailure):  # a disk that is full may refuse even that; `take_up` does it then
                self.ledger.give_back()
            raise

    def _fill(self, executor: Executor, running: dict[str, Job]) -> int:
        """Give the executor what it has room for; how many studies."""
        room = executor.slots - len(running)
        rows = self.ledger.lease(room) if room > 0 else []
        for row in rows:
            running[row.entry.name] = Job(row.entry, self.out, self.phi)
            executor.submit(running[row.entry.name])
        return len(rows)

    def _end(self, ending: Ending, running: dict[str, Job]) -> None:
        entry, outcome = ending.job.entry, ending.outcome
        running.pop(entry.name, None)
        if outcome.fatal:
            raise EnvironmentFailure(Problem(outcome.code or Code.INTERNAL, outcome.message))
        if outcome.state is State.FAILED and self.ledger.attempts(entry.name) < MOST_ATTEMPTS:
            self.ledger.try_again(entry.name)
        else:
            self._commit(entry, outcome)

    def _commit(self, entry: Entry, outcome: Outcome) -> None:
        """The last step of a study: what the ledger says is done lies whole on the disk."""
        if outcome.state is State.DONE:
            publish_mask(self.out, entry, outcome.result)
        self.ledger.end(entry.name, outcome)
        self.told(self.ledger.counts())
