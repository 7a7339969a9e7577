"""What a node shows, and what people may have it do: the same for the page, for probes and for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.pipeline.batch.entry import State
from scanweave.pipeline.batch.ledger import Row
from scanweave.pipeline.batch.ledger_text import short_record
from scanweave.pipeline.node.delivery_ledger import Sending
from scanweave.pipeline.node.dispatch import PAUSED, Dispatcher
from scanweave.pipeline.node.intake import NO_ROOM, Intake
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.receive import Receiver
from scanweave.pipeline.node.resend import resend
from scanweave.pipeline.outputs import OUTPUTS

ALIVE_S = 120.0
"""The loop was seen within that, or something holds it."""
SHOWN = 50
"""Studies of each kind on the page."""


class Watch:
    """Looks at the parts of a running node."""

    def __init__(
        self,
        ledger: NodeLedger,
        intake: Intake,
        receiver: Receiver,
        dispatcher: Dispatcher,
        metrics: NodeMetrics,
        log: NodeLog,
    ) -> None:
        self.ledger, self.intake, self.receiver, self.dispatcher = ledger, intake, receiver, dispatcher
        self.metrics, self.log = metrics, log

    def ailments(self) -> list[str]:
        """Why the process should be started again."""
        return [] if time.monotonic() - self.dispatcher.beat < ALIVE_S else ["the loop stands still"]

    def obstacles(self) -> list[str]:
        """Why instances are not taken, or studies not computed."""
        found = self.ailments()
        if self.receiver.stopping.is_set():
            found.append("stopping")
        if not self.intake.has_room:
            found.append(NO_ROOM)
        if self.dispatcher.problem is not None:
            found.append(f"{self.dispatcher.problem.code}: {self.dispatcher.problem.message}")
        return found

    def metrics_text(self) -> bytes:
        """For Prometheus."""
        return self.metrics.text

    def state(self) -> dict[str, Any]:
        """Everything that the page shows."""
        now, figures = time.time(), self.ledger.figures()
        return {
            "version": __version__,
            "notice": RESEARCH_NOTICE,
            "paused": self.ledger.fact(PAUSED) is not None,
            "obstacles": self.obstacles(),
            "disk_free_gb": round(self.intake.inbox.free_gb, 1),
            "associations": self.receiver.associations,
            "counts": {str(state): count for state, count in self.ledger.counts().items()},
            "deliveries": {str(state): figures[str(state)] for state in Sending},
            "arriving": [
                {"study": item.study, "images": item.images, "quiet_s": round(now - item.latest)}
                for item in self.ledger.arrivals()[:SHOWN]
            ],
            "waiting": [_shown(row) for row in self.ledger.latest((State.QUEUED, State.RUNNING), SHOWN)],
            "troubled": [_shown(row) for row in self.ledger.latest((State.REFUSED, State.FAILED), SHOWN)],
            "done": [
                _shown(row) | {"report": self._report(row).is_file()}
                for row in self.ledger.latest((State.DONE,), SHOWN)
            ],
            "undelivered": [
                {"study": item.name, "destination": item.destination, "attempts": item.attempts, "reason": item.reason}
                for item in self.ledger.deliveries(Sending.UNDELIVERED)[:SHOWN]
            ],
        }

    def report_of(self, study: str) -> Path | None:
        """The report on a study that is done; None where there is none, or no more."""
        row = self.ledger.row(study)
        if row is None or row.state is not State.DONE:
            return None
        return path if (path := self._report(row)).is_file() else None

    def _report(self, row: Row) -> Path:
        return self.dispatcher.config.results / row.entry.name / OUTPUTS["report"].file

    def act(self, action: str, study: str) -> bool:
        """Do what a button asks for: force, retry, resend, pause, resume; KeyError for anything else."""
        actions: dict[str, Callable[[], object]] = {
            "force": lambda: self.ledger.force(study),
            "retry": lambda: self.ledger.retry(study),
            "resend": lambda: resend(self.ledger, self.dispatcher.config, study or None),
            "pause": lambda: self.ledger.store_fact(PAUSED, "1"),
            "resume": lambda: self.ledger.forget_fact(PAUSED),
        }
        done = actions[action]() not in (False, 0)
        self.log.audit(f"asked to {action}", study=study, done=done)
        return done

    def note(self, event: str, **facts: object) -> None:
        """Something that the trail should have."""
        self.log.audit(event, **facts)


def _shown(row: Row) -> dict[str, Any]:
    result = row.result
    return short_record(row) | {
        "begun": row.begun,
        "ended": row.ended,
        "volume_ml": result.get("volume_ml"),
        "warnings": len(result.get("warnings", ())),
        "seconds": result.get("seconds"),
    }
