"""A destination's answer to the question whether it keeps what it has (PS3.4 J.3.3)."""

from __future__ import annotations

from typing import Any

from pynetdicom import evt

from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.setback import Setbacks

SUCCESS, NO_SUCH_ARGUMENT = 0x0000, 0x0114
"""Of N-EVENT-REPORT (PS3.7 10.1.1)."""


class Commitments:
    """Takes the answers, over whichever association they come."""

    def __init__(self, ledger: NodeLedger, setbacks: Setbacks, metrics: NodeMetrics, log: NodeLog) -> None:
        self.ledger, self.setbacks, self.metrics, self.log = ledger, setbacks, metrics, log

    @property
    def handlers(self) -> list[Any]:
        """For pynetdicom."""
        return [(evt.EVT_N_EVENT_REPORT, self._reported)]

    def _reported(self, event: evt.Event) -> tuple[int, None]:
        """Success says of all instances that they are kept, anything else that some are not."""
        said = event.event_information
        delivery = self.ledger.asked_for(str(said.get("TransactionUID", "")))
        if delivery is None:
            return NO_SUCH_ARGUMENT, None
        facts = {"study": delivery.name, "destination": delivery.destination}
        failed = said.get("FailedSOPSequence") or []
        if failed:
            reasons = sorted({f"0x{int(item.get('FailureReason', 0)):04X}" for item in failed})
            self.setbacks.note(delivery, f"it does not keep {len(failed)} instances ({', '.join(reasons)})")
        else:
            self.ledger.delivered(delivery.name, delivery.destination)
            self.metrics.sent(delivery.destination, delivered=True)
            self.log.audit("committed", **facts)
        return SUCCESS, None
