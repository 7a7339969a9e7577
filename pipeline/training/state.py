"""The state of a training on disk: from it a killed training goes on as if nothing had happened."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scanweave.errors import Code, Problem, UsageError
from scanweave.pipeline.training.place import STATE_FILE
from scanweave.pipeline.training.training_file import training_file


@dataclass
class TrainingState:
    """Where a training is: `epoch` and `batch` are the next to be done, both count from 0.

    `learner` is what `Learner.state` gave, `losses` are those of the epoch's batches so far. `history` has a record
    for each epoch that is done, `seconds` are those of all of them. `identity` has a hash of each thing that the
    training was begun with, by its name in words.
    """

    identity: dict[str, str]
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
    def read(cls, folder: Path, identity: Mapping[str, str]) -> TrainingState:
        """That of last.pt; TRAINING_MISMATCH where it cannot be read or belongs to another training."""
        try:
            state = cls(**torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True))
            known = dict(state.identity)
        except (RuntimeError, EOFError, pickle.UnpicklingError, TypeError, ValueError) as error:
            message = f"expected the state of a training in {STATE_FILE}; it cannot be read ({type(error).__name__})"
            raise UsageError(Problem(Code.TRAINING_MISMATCH, message, folder.name)) from error
        changed = [words for words, told in identity.items() if known.get(words) != told]
        if changed:
            message = f"expected what the training began with; it cannot go on with other {', '.join(changed)}"
            raise UsageError(Problem(Code.TRAINING_MISMATCH, message, folder.name))
        return state


def write_whole(content: dict[str, Any], path: Path) -> None:
    """`torch.save`, whole or not at all; refusals as `training_file`."""
    with training_file(path) as stream:
        torch.save(content, stream)
