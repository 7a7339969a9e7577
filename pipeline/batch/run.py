"""From the queue to the executor and back: what a batch and a node have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.batch.bids import publish_mask
from scanweave.pipeline.batch.entry import Entry, Outcome, State
from scanweave.pipeline.batch.executor import Ending, Executor
from scanweave.pipeline.batch.job import Job
from scanweave.pipeline.batch.ledger import Ledger, Row
from scanweave.pipeline.batch.owner import RENEW_S, renew_ownership

WAIT_S = 1.0
"""For an ending, before it is asked whether anything else is to be done."""
MOST_ATTEMPTS = 2
"""At a study that crashes, hangs or fails: the second in a fresh process."""
Told = Callable[[Mapping[State, int]], None]
"""Hears how many studies are in each state."""


class StudyRun:
    """One process's work on a ledger that it owns; `running` are the jobs that an executor has."""

    def __init__(self, ledger: Ledger, out: Path, *, phi: bool) -> None:
        self.ledger, self.out, self.phi = ledger, out, phi
        self.running: dict[str, Job] = {}
        self._renewed = time.monotonic()

    def fill(self, executor: Executor) -> int:
        """Give the executor what it has room for; how many studies."""
        room = executor.slots - len(self.running)
        rows = self.ledger.lease(room) if room > 0 else []
        for row in rows:
            self.running[row.entry.name] = self.job_of(row)
            executor.submit(self.running[row.entry.name])
        return len(rows)

    def collect(self, executor: Executor, wait_s: float) -> None:
        """Commit what has ended; waits for it, `wait_s` at most.

        Raises
        ------
        EnvironmentFailure
            Where the machine lacks what every study needs.
        """
        for ending in executor.ended(wait_s) if self.running else ():
            self._end(ending)

    def renew(self) -> None:
        """Say now and then that this process and what it has begun still run."""
        if time.monotonic() - self._renewed > RENEW_S:
            self._renewed = time.monotonic()
            self.ledger.heartbeat()
            renew_ownership(self.ledger)

    def give_back(self) -> None:
        """Queue again what was not finished, once nobody computes it any more."""
        self.running.clear()
        with suppress(EnvironmentFailure):  # a disk that is full may refuse even that; `take_up` does it then
            self.ledger.give_back()

    def job_of(self, row: Row) -> Job:
        """What the executor is told of a study."""
        return Job(row.entry, self.out, self.phi)

    def commit(self, entry: Entry, outcome: Outcome) -> None:
        """The last step of a study: what the ledger says is done lies whole on the disk."""
        if outcome.state is State.DONE:
            publish_mask(self.out, entry, outcome.result)
        self.ledger.end(entry.name, outcome)

    def _end(self, ending: Ending) -> None:
        entry, outcome = ending.job.entry, ending.outcome
        self.running.pop(entry.name, None)
        if outcome.fatal:
            raise EnvironmentFailure(Problem(outcome.code or Code.INTERNAL, outcome.message))
        if outcome.state is State.FAILED and self.ledger.attempts(entry.name) < MOST_ATTEMPTS:
            self.ledger.try_again(entry.name)
        else:
            self.commit(entry, outcome)


class BatchRun(StudyRun):
    """Until the queue is empty."""

    def __init__(self, ledger: Ledger, out: Path, *, phi: bool, told: Told) -> None:
        super().__init__(ledger, out, phi=phi)
        self.told = told

    def run(self, executor: Executor) -> None:
        """Until nothing is queued; raises as `collect`, and what was not finished is queued then."""
        self.told(self.ledger.counts())
        try:
            while self.fill(executor) or self.running:
                self.collect(executor, WAIT_S)
                self.renew()
        except BaseException:
            self.give_back()
            raise

    def commit(self, entry: Entry, outcome: Outcome) -> None:
        """As `StudyRun`."""
        super().commit(entry, outcome)
        self.told(self.ledger.counts())
