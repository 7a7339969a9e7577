"""Results leave: a thread for each destination, which tries again after longer and longer waits."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from pydicom.uid import generate_uid

from scanweave.errors import EnvironmentFailure
from scanweave.pipeline.node import store_scu, stow_out
from scanweave.pipeline.node.commitment import Commitments
from scanweave.pipeline.node.config import Destination, DicomDestination, NodeConfig, StowDestination
from scanweave.pipeline.node.delivery_ledger import Delivery
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.not_delivered import NotDelivered
from scanweave.pipeline.outputs import OUTPUTS

RESULTS, UNDELIVERED = "results", "undelivered"
REASON_FILE = "reason.txt"
LOOK_S = 1.0


class Deliverer(threading.Thread):
    """Sends what is due at one destination, one study after the other, until `stopping` is set."""

    def __init__(
        self,
        config: NodeConfig,
        destination: Destination,
        ledger: NodeLedger,
        commitments: Commitments,
        metrics: NodeMetrics,
        log: NodeLog,
        stopping: threading.Event,
    ) -> None:
        super().__init__(name=f"deliver-{destination.name}", daemon=True)
        self.config, self.destination, self.ledger = config, destination, ledger
        self.commitments = commitments
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
        facts = {"study": delivery.name, "destination": delivery.destination, "attempt": delivery.attempts + 1}
        try:
            files = self.files_of(delivery.name)
            if files and self._send(delivery, files):
                self.log.audit("sent", **facts, files=len(files))
                return
        except NotDelivered as reason:
            self.metrics.sent(delivery.destination, delivered=False)
            self._not_delivered(delivery, str(reason), facts)
        except EnvironmentFailure:
            raise
        except Exception as defect:  # or this thread would end, and nothing would be delivered any more
            self._not_delivered(delivery, f"a defect of scanweave ({type(defect).__name__})", facts)
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

    def files_of(self, name: str) -> list[Path]:
        """The DICOM files that go there; an empty mask has no segmentation."""
        folder = self.config.folder / RESULTS / name
        found: list[Path] = []
        for output in self.destination.outputs:
            path = folder / OUTPUTS[output].file
            found += sorted(path.glob("*.dcm")) if path.is_dir() else [path] if path.is_file() else []
        return found

    def _not_delivered(self, delivery: Delivery, reason: str, facts: dict[str, object]) -> None:
        settings = self.config.delivery
        if delivery.attempts + 1 < settings.attempts:
            wait_s = min(settings.first_wait_s * 2**delivery.attempts, settings.longest_wait_s)
            self.ledger.try_later(delivery.name, delivery.destination, time.time() + wait_s, reason)
            self.log.warning("not delivered", **facts, reason=reason, again_in_s=wait_s)
            return
        place = undelivered_folder(self.config, delivery.name, delivery.destination)
        place.mkdir(parents=True, exist_ok=True)
        for file in self.files_of(delivery.name):
            shutil.copy2(file, place / file.name)
        (place / REASON_FILE).write_text(f"{reason}\nafter {delivery.attempts + 1} attempts\n")
        self.ledger.give_up(delivery.name, delivery.destination, reason)
        self.log.audit("undelivered", **facts, reason=reason)


def undelivered_folder(config: NodeConfig, name: str, destination: str) -> Path:
    """Where results lie that a destination did not take."""
    return config.folder / UNDELIVERED / name / destination
