"""What a training writes for those who watch: TensorBoard events and a table of epochs."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

EVENTS_FOLDER, TABLE_FILE = "tensorboard", "epochs.csv"


class Journal:
    """Writes into `folder`; after a resumption nothing of `epoch` and later stays of what was written before."""

    def __init__(self, folder: Path, epoch: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        self._events = SummaryWriter(str(folder / EVENTS_FOLDER), purge_step=epoch + 1)

    def write(self, history: list[dict[str, Any]]) -> None:
        """The last epoch's record as events, and all of them as a table."""
        record = history[-1]
        for name, value in record.items():
            if name != "epoch" and value is not None:
                self._events.add_scalar(name, value, record["epoch"])
        self._events.flush()
        beside = self.folder / f".{TABLE_FILE}.part"
        with beside.open("w", newline="") as stream:
            table = csv.DictWriter(stream, fieldnames=list(record))
            table.writeheader()
            table.writerows(history)
        beside.replace(self.folder / TABLE_FILE)

    def close(self) -> None:
        """Nothing is written after."""
        self._events.close()
