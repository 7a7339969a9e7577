"""What a training writes for those who watch: TensorBoard events and a table of epochs."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from scanweave.pipeline.training.training_file import training_file, training_refusals

EVENTS_FOLDER, TABLE_FILE = "tensorboard", "epochs.csv"


class Journal:
    """Writes into `folder`; after a resumption nothing of `epoch` and later stays of what was written before."""

    def __init__(self, folder: Path, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        with training_refusals(folder / EVENTS_FOLDER):
            self._events = SummaryWriter(str(folder / EVENTS_FOLDER), purge_step=epoch + 1)

    def write(self, history: list[dict[str, Any]]) -> None:
        """The last epoch's record as events, and all of them as a table."""
        record = history[-1]
        with training_refusals(self.folder / EVENTS_FOLDER):
            for name, value in record.items():
                if name != "epoch" and value is not None:
                    self._events.add_scalar(name, value, record["epoch"])
            self._events.flush()
        with training_file(self.folder / TABLE_FILE) as stream:
            text = io.TextIOWrapper(stream, newline="")
            table = csv.DictWriter(text, fieldnames=list(record))
            table.writeheader()
            table.writerows(history)
            text.detach()

    def close(self) -> None:
        """Nothing is written after."""
        self._events.close()
