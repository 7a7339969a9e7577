"""Which patients train, which choose the weights, and which are tested: by patient, fixed by a seed, written down."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem, UsageError
from scanweave.pipeline.training.training_file import training_file

SPLIT_FILE = "split.json"


@dataclass(frozen=True)
class Split:
    """Patients of one training. `test` is () where nothing is held out."""

    seed: int
    folds: int
    fold: int
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """To split.json in `folder`."""
        with training_file(folder / SPLIT_FILE) as stream:
            stream.write(f"{json.dumps(asdict(self), indent=2)}\n".encode())


def split_patients(
    patients: Sequence[str],
    folds: int = 0,
    fold: int = 0,
    validation: float = 0.1,
    seed: int = 0,
    held_out: float = 0.0,
) -> Split:
    """Fold `fold` (0..folds-1) of a cross-validation, or with `folds` 0 a training that holds out a share of all.

    The patients are shuffled once by the seed: the folds are disjoint and cover everybody. The share `validation`
    of those who are not held out, at least one patient, chooses the weights; 0 leaves that out.

    Raises
    ------
    UsageError
        USAGE for a fold that is not there.
    InputRefused
        TOO_FEW_CASES.
    """
    if folds and not 0 <= fold < folds:
        raise UsageError(Problem(Code.USAGE, f"expected a fold from 0 to {folds - 1}, got {fold}"))
    shuffled = sorted(set(patients))
    random.Random(seed).shuffle(shuffled)
    test = shuffled[fold::folds] if folds else shuffled[: round(held_out * len(shuffled))]
    rest = [patient for patient in shuffled if patient not in test]
    count = max(round(validation * len(rest)), 1) if validation else 0
    if len(rest) - count < 1 or (folds and len(shuffled) < folds):
        part = f" for fold {fold} of {folds}" if folds else ""
        message = f"expected a patient to train on, and one to choose the epoch{part}, found {len(shuffled)} patient(s)"
        raise InputRefused(Problem(Code.TOO_FEW_CASES, message))
    return Split(seed, folds, fold, tuple(sorted(rest[count:])), tuple(sorted(rest[:count])), tuple(sorted(test)))
