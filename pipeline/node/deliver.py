"""Results leave: a thread for each destination, which tries again after longer and longer waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pydicom.uid import generate_uid

from scanweave.errors import EnvironmentFailure
from scanweave.pipeline.node import store_scu, stow_out
from scanweave.pipeline.node.commitment import Commitments
from scanweave.pipeline.node.config import Destination, DicomDestination, NodeConfig, StowDestination
from scanweave.pipeline.node.delivery_ledger import Delivery, Sending
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.not_delivered import NotDelivered
from scanweave.pipeline.node.setback import Setbacks, files_for

LOOK_S = 1.0


class Deliverer(threading.Thread):
    """Sends what is due at one destination, one study after the other, until `stopping` is set."""

    def __init__(
        self,
        config: NodeConfig,
        destination: Destination,
        ledger: NodeLedger,
        commitments: Commitments,
        setbacks: Setbacks,
        metrics: NodeMetrics,
        log: NodeLog,
        stopping: threading.Event,
    ) -> None:
        super().__init__(name=f"deliver-{destination.name}", daemon=True)
        self.config, self.destination, self.ledger = config, destination, ledger
        self.commitments, self.setbacks = commitments, setbacks
        self.metrics, self.log, self.stopping = metrics, log, stopping

    def run(self) -> None:
        """Until it is stopped; whatever the ledger refuses (a full disk) is tried again."""
        while not self.stopping.is_set():
            try:
                delivery = self.ledger.due(self.destination.name)
                if delivery is not None:
                    self._try(delivery)
                    continue
            except EnvironmentFailure as failure:
                self.log.error(failure.problems[0].message, code=failure.code)
            self.stopping.wait(LOOK_S)

    def _try(self, delivery: Delivery) -> None:
        facts = {"study": delivery.name, "destination": delivery.destination, "attempt": delivery.tries}
        if delivery.state is Sending.ASKED:
            self.setbacks.note(delivery, "it did not say in time that it keeps them")
            return
        files = files_for(self.config, delivery.name, delivery.destination)
        try:
            if files and self._send(delivery, files):
                self.log.audit("sent", **facts, files=len(files))
                return
        except NotDelivered as reason:
            self.setbacks.note(delivery, str(reason))
        except EnvironmentFailure as failure:  # a certificate
            self.setbacks.note(delivery, failure.problems[0].message)
        except Exception as defect:  # or this thread would end, and nothing would be delivered any more
            self.setbacks.note(delivery, f"a defect of scanweave ({type(defect).__name__})")
        else:
            self.ledger.delivered(delivery.name, delivery.destination)
            self.metrics.sent(delivery.destination, delivered=True)
            self.log.audit("delivered", **facts, files=len(files))

    def _send(self, delivery: Delivery, files: Sequence[Path]) -> bool:
        """Whether the destination has still to say that it keeps them."""
        if isinstance(self.destination, StowDestination):
            stow_out.send(files, self.destination)
        elif isinstance(self.destination, DicomDestination):
            own_title = self.config.receive.ae_title
            sent = store_scu.send(files, self.destination, own_title)
            if self.destination.commitment:
                question = str(generate_uid())
                due = time.time() + self.config.delivery.commitment_wait_s
                self.ledger.ask(delivery.name, delivery.destination, question, due)
                handlers = self.commitments.handlers
                store_scu.ask_for_commitment(sent, question, self.destination, own_title, handlers)
                return True
        return False
