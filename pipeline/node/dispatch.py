"""The node's heart: studies that came in are taken, computed and handed on, one loop in one thread."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from contextlib import suppress

from scanweave import __version__
from scanweave.errors import EnvironmentFailure, Problem
from scanweave.pipeline.batch.batch import executor_of
from scanweave.pipeline.batch.entry import Entry, Outcome, State
from scanweave.pipeline.batch.executor import Executor
from scanweave.pipeline.batch.job import Job, read_result
from scanweave.pipeline.batch.ledger import Row
from scanweave.pipeline.batch.run import StudyRun
from scanweave.pipeline.batch.settings import BatchSettings
from scanweave.pipeline.batch.temporary import private_folder
from scanweave.pipeline.node.config import NodeConfig
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_ledger import Arrival, NodeLedger
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.readiness import Readiness
from scanweave.pipeline.node.retention import Retention
from scanweave.pipeline.outputs import OUTPUTS

STEP_S = 0.5
MEND_S = 30.0
"""After the machine lacked what every study needs, until it is tried again."""
PAUSED = "paused"
"""The ledger's fact that no study is begun: survives a restart."""


class NodeRun(StudyRun):
    """Studies of a node: each names the result that it follows, and is due at every destination when it is done."""

    def __init__(self, ledger: NodeLedger, config: NodeConfig, metrics: NodeMetrics, log: NodeLog) -> None:
        super().__init__(ledger, config.results, phi=False)
        self.node_ledger, self.config, self.metrics, self.log = ledger, config, metrics, log

    def job_of(self, row: Row) -> Job:
        """As `StudyRun`."""
        name = row.entry.name
        self.log.audit("begun", study=name, attempt=row.attempts + 1)
        older = self.node_ledger.predecessor(name)
        report = None if older is None else self.out / older / OUTPUTS["sr"].file
        return Job(row.entry, self.out, predecessor=report if report and report.is_file() else None)

    def commit(self, entry: Entry, outcome: Outcome) -> None:
        """As `StudyRun`."""
        names = [destination.name for destination in self.config.destinations] if outcome.state is State.DONE else []
        self.node_ledger.end_and_send(entry.name, outcome, names)
        seconds = read_result(self.out / entry.name).get("seconds", {}) if outcome.state is State.DONE else {}
        self.metrics.ended(outcome, seconds)
        facts = {"study": entry.name, "state": str(outcome.state), "code": outcome.code, "reason": outcome.message}
        self.log.audit("ended", **{name: value for name, value in facts.items() if value})


class Dispatcher:
    """Runs until `stopping` is set, and then until what has begun has ended, or `drain_s` are over."""

    def __init__(
        self,
        config: NodeConfig,
        settings: BatchSettings,
        ledger: NodeLedger,
        retention: Retention,
        metrics: NodeMetrics,
        log: NodeLog,
    ) -> None:
        self.config, self.settings, self.ledger, self.log = config, settings, ledger, log
        self.readiness = Readiness(config.taking, config.incoming, config.segment.bundle, ledger)
        self.retention = retention
        self.run = NodeRun(ledger, config, metrics, log)
        self.version = hashlib.sha256(json.dumps([__version__, settings.of_results]).encode()).hexdigest()
        self.problem: Problem | None = None
        """Why nothing is computed at present."""
        self.beat = time.monotonic()
        """When the loop was last seen, on the clock of `time.monotonic`."""

    def work(self, stopping: threading.Event) -> None:
        """The loop."""
        self.ledger.take_up()
        while not stopping.is_set():
            try:
                with private_folder() as temporary, executor_of(self.settings, self.run.out, temporary) as executor:
                    self.problem = None
                    self._loop(executor, stopping)
            except EnvironmentFailure as failure:
                self.problem = failure.problems[0]
                self.log.error(self.problem.message, code=self.problem.code)
                self._wait(stopping, MEND_S)
            finally:
                self.run.give_back()

    def _loop(self, executor: Executor, stopping: threading.Event) -> None:
        while not stopping.is_set():
            self._beat()
            self._take()
            self.retention.sweep()
            if self.ledger.fact(PAUSED) is None:
                self.run.fill(executor)
            if self.run.running:
                self.run.collect(executor, STEP_S)
            else:
                stopping.wait(STEP_S)
        deadline = time.monotonic() + self.config.drain_s
        while self.run.running and time.monotonic() < deadline:
            self._beat()
            self.run.collect(executor, STEP_S)

    def _wait(self, stopping: threading.Event, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not stopping.is_set() and time.monotonic() < end:
            with suppress(EnvironmentFailure):  # which is why it waits
                self._beat()
                self._take()
            stopping.wait(STEP_S)

    def _beat(self) -> None:
        self.beat = time.monotonic()
        self.run.renew()

    def _take(self) -> None:
        """For a while: whoever computes must not wait until thousands of headers were looked at."""
        end = time.monotonic() + STEP_S
        for arrival in self.ledger.arrivals():
            if time.monotonic() > end:
                return
            if self.readiness.is_ready(arrival):
                entry = self._entry(arrival)
                new = self.ledger.take(arrival.study, entry, arrival.latest)
                senders = " ".join(self.ledger.senders(arrival.study))
                what = "taken" if new else "known already"
                self.log.audit(what, study=arrival.study, images=len(entry.files), senders=senders)

    def _entry(self, arrival: Arrival) -> Entry:
        """What is there now; late instances make another version of the study."""
        images = self.ledger.images(arrival.study)
        made_of = hashlib.sha256("\n".join([self.version, *images]).encode()).hexdigest()[:32]
        name = self.ledger.next_name(arrival.study)
        files = tuple(f"{instance}.dcm" for instance in images)
        return Entry(name, str(self.config.incoming / arrival.study), files, fingerprint=made_of)
