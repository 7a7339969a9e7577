"""A training with what it leaves behind: weights that travel, and the record of how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scanweave.networks.weights import file_sha256
from scanweave.pipeline.progress import Progress, silent
from scanweave.pipeline.training.export import export_weights
from scanweave.pipeline.training.train_record import TRAINING_FILE, training_record, write_record
from scanweave.pipeline.training.trainer import Trainer
from scanweave.transforms.io.remarks import quiet


class TrainingRun:
    """What `scanweave train` and the bundle's train.json run: `trainer`, then model.pt and training.json.

    `bundle` is its name and version, `init` the file of the weights to begin with, for the record.
    """

    def __init__(self, trainer: Trainer, bundle: Mapping[str, str], init: Path | None = None) -> None:
        self.trainer = trainer
        self.bundle = dict(bundle)
        self.init = None if init is None else file_sha256(init)  # the file may be gone in the end

    @property
    def writes(self) -> bool:
        """Whether this process, of several that train together, is the one that writes and tells."""
        return self.trainer.ranks.first

    def run(self, progress: Progress = silent) -> dict[str, Any]:
        """The content of training.json; {} in a process that writes nothing. Refusals as `Trainer.run`."""
        with quiet():
            trained = self.trainer.run(progress)
            if not self.writes:
                return {}
            weights = export_weights(trained.weights, trained.folder)
            record = training_record(self.trainer, trained, weights, self.bundle, self.init)
            write_record(record, trained.folder / TRAINING_FILE)
            return record
