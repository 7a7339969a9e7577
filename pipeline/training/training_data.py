"""The cases of a training, split by patient, as volumes in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scanweave.errors import Code, Problem, UsageError
from scanweave.pipeline.containers import Compose
from scanweave.pipeline.progress import Progress
from scanweave.pipeline.training.fingerprints import content_of
from scanweave.pipeline.training.splits import Split, split_patients
from scanweave.pipeline.training.volumes import TrainingVolume, load_volumes
from scanweave.transforms.io.labelled_cases import Case, find_cases


@dataclass(frozen=True)
class SplitSettings:
    """Which fold of how many, the share that validates, the seed of the shuffle, the share held out without folds."""

    folds: int = 0
    fold: int = 0
    validation: float = 0.1
    seed: int = 0
    held_out: float = 0.0


class TrainingData:
    """The cases below `images` for one training, preprocessed by `transform` and kept in the folder `cache`."""

    def __init__(
        self, images: Path | None, roles: Sequence[str], split: SplitSettings, transform: Compose, cache: Path
    ) -> None:
        self.images = images
        self.roles = tuple(roles)
        self.settings = split
        self.transform = transform
        self.cache = Path(cache)

    @cached_property
    def data(self) -> tuple[Case, ...]:
        """All cases; refusals as `find_cases`, and USAGE where no folder was named."""
        if self.images is None:
            raise UsageError(Problem(Code.USAGE, "expected a folder of cases (dataset_dir)"))
        return find_cases(Path(self.images), self.roles)

    @cached_property
    def split(self) -> Split:
        """Who trains, validates and is held out; refusals as `split_patients`."""
        how = self.settings
        patients = [case.patient for case in self.data]
        return split_patients(patients, how.folds, how.fold, how.validation, how.seed, how.held_out)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the names and files of all cases, by content."""
        return hashlib.sha256("\n".join(map(content_of, self.data)).encode()).hexdigest()

    def load(self, patients: Sequence[str], progress: Progress) -> tuple[TrainingVolume, ...]:
        """The volumes of some patients, preprocessed, or from the cache."""
        chosen = [case for case in self.data if case.patient in set(patients)]
        return load_volumes(chosen, self.transform, self.cache, progress)
