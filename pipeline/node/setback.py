"""A delivery that failed, in whatever way: tried again after a while, or given up with its reason."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from scanweave.pipeline.disk_refusals import disk_refusals
from scanweave.pipeline.node.config import NodeConfig
from scanweave.pipeline.node.delivery_ledger import Delivery
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.outputs import OUTPUTS

REASON_FILE = "reason.txt"


class Setbacks:
    """Knows how often deliveries are tried, and what becomes of those that were tried often enough."""

    def __init__(self, config: NodeConfig, ledger: NodeLedger, metrics: NodeMetrics, log: NodeLog) -> None:
        self.config, self.ledger, self.metrics, self.log = config, ledger, metrics, log

    def note(self, delivery: Delivery, reason: str) -> None:
        """An attempt has failed; EnvironmentFailure where the disk takes neither this nor the files."""
        settings = self.config.delivery
        facts = {
            "study": delivery.name,
            "destination": delivery.destination,
            "attempt": delivery.tries,
            "reason": reason,
        }
        self.metrics.sent(delivery.destination, delivered=False)
        if delivery.tries < settings.attempts:
            wait_s = min(settings.first_wait_s * 2 ** (delivery.tries - 1), settings.longest_wait_s)
            self.ledger.try_later(delivery.name, delivery.destination, time.time() + wait_s, reason)
            self.log.warning("not delivered", **facts, again_in_s=wait_s)
            return
        place = undelivered_folder(self.config, delivery.name, delivery.destination)
        with disk_refusals(place, what="the undelivered results", full="they are put there when there is space"):
            place.mkdir(parents=True, exist_ok=True)
            for file in files_for(self.config, delivery.name, delivery.destination):
                shutil.copy2(file, place / file.name)
            (place / REASON_FILE).write_text(f"{reason}\nafter {delivery.tries} attempts\n")
        self.ledger.give_up(delivery.name, delivery.destination, reason)
        self.log.audit("undelivered", **facts)


def files_for(config: NodeConfig, name: str, destination: str) -> list[Path]:
    """The DICOM files of a result that go to a destination; an empty mask has no segmentation."""
    outputs = next((item.outputs for item in config.destinations if item.name == destination), ())
    found: list[Path] = []
    for output in outputs:
        path = config.results / name / OUTPUTS[output].file
        found += sorted(path.glob("*.dcm")) if path.is_dir() else [path] if path.is_file() else []
    return found


def undelivered_folder(config: NodeConfig, name: str, destination: str) -> Path:
    """Where results lie that a destination did not take."""
    return config.undelivered / name / destination
