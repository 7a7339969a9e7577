"""The state of a training on disk: from it a killed training goes on as if nothing had happened."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scanweave.errors import Code, Problem, UsageError

STATE_FILE = "last.pt"


@dataclass
class TrainingState:
    """Where a training is: `epoch` and `batch` are the next to be done, both count from 0.

    `learner` is what `Learner.state` gave, `losses` are those of the epoch's batches so far. `history` has a record
    for each epoch that is done, `seconds` are those of all of them. `identity` is a hash of what the training was
    begun with.
    """

    identity: str
    epoch: int = 0
    batch: int = 0
    steps: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    history: list[dict[str, Any]] = field(default_factory=list)
    best_dice: float = -1.0
    best_epoch: int = -1
    finished: bool = False
    learner: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """To last.pt, which is the old or the new one at any moment, never a part of it."""
        write_whole(dict(vars(self)), folder / STATE_FILE)

    @classmethod
    def read(cls, folder: Path, identity: str) -> TrainingState:
        """That of last.pt; TRAINING_MISMATCH where it belongs to another training."""
        state = cls(**torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True))
        if state.identity != identity:
            message = "expected the settings and data that the training began with; it cannot go on with others"
            raise UsageError(Problem(Code.TRAINING_MISMATCH, message, folder.name))
        return state


def write_whole(content: dict[str, Any], path: Path) -> None:
    """`torch.save` beside its place, flushed to the disk, then renamed."""
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)
