"""What was delivered is removed after a while; what was not, never."""

from __future__ import annotations

import shutil
import time

from scanweave.pipeline.node.config import NodeConfig
from scanweave.pipeline.node.inbox import Inbox
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.node_log import NodeLog

DAY_S = 86_400.0
SWEEP_S = 20.0


class Retention:
    """Looks every `SWEEP_S` at what may go."""

    def __init__(self, config: NodeConfig, ledger: NodeLedger, inbox: Inbox, log: NodeLog) -> None:
        self.config, self.ledger, self.inbox, self.log = config, ledger, inbox, log
        self._swept = 0.0

    def sweep(self) -> None:
        """Remove what is old enough, now and then."""
        now = time.time()
        if now - self._swept < SWEEP_S:
            return
        self._swept = now
        keep = self.config.keep
        for study in self.ledger.settled(now - keep.input_days * DAY_S, _before(now, keep.refused_days)):
            self.inbox.remove(study)
            self.log.audit("input removed", study=study)
        if (before := _before(now, keep.results_days)) is not None:
            for name in self.ledger.delivered_before(before):
                self.ledger.note_removed(name)
                shutil.rmtree(self.config.results / name, ignore_errors=True)
                self.log.audit("results removed", study=name)


def _before(now: float, days: float | None) -> float | None:
    return None if days is None else now - days * DAY_S
