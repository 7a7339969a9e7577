"""A training from begin, or from where it was interrupted, to its end."""

from __future__ import annotations

import hashlib
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from scanweave.errors import Code, EnvironmentFailure, InputRefused, Problem, UsageError
from scanweave.pipeline.progress import Progress, silent
from scanweave.pipeline.switch import switch
from scanweave.pipeline.training.augment.augmentation import Augmentation
from scanweave.pipeline.training.epochs import Epochs
from scanweave.pipeline.training.input_reference import input_reference
from scanweave.pipeline.training.journal import Journal
from scanweave.pipeline.training.judge import BEST_FILE, Judge
from scanweave.pipeline.training.learner import Learner
from scanweave.pipeline.training.place import alone, check_free
from scanweave.pipeline.training.ranks import Ranks
from scanweave.pipeline.training.recipe import Recipe
from scanweave.pipeline.training.slices import SliceDataset
from scanweave.pipeline.training.state import TrainingState
from scanweave.pipeline.training.training_data import TrainingData
from scanweave.pipeline.training.training_file import training_refusals
from scanweave.pipeline.training.validation import Validation
from scanweave.pipeline.training.volumes import TrainingVolume

REFERENCE_FILE = "input_reference.json"


@dataclass(frozen=True)
class Trained:
    """A training that is done: its folder, its state at the end, and its weights (float32, on the CPU)."""

    folder: Path
    state: TrainingState
    weights: dict[str, torch.Tensor]


class Trainer:
    """Trains by `recipe` for `max_epochs`, which are the recipe's own (MONAI's bundles name them here).

    A training that was killed at any moment and resumed ends with the same weights, bit for bit, as one that was not.
    """

    def __init__(
        self,
        learner: Learner,
        dataset: TrainingData,
        augment: Augmentation,
        recipe: Recipe,
        max_epochs: int,
        output_dir: Path,
        resume: bool = False,
        workers: int = 0,
        ranks: Ranks | None = None,
        labels: int = 1,
        validation: Validation | None = None,
    ) -> None:
        self.labels = labels
        self.validation = validation or Validation()
        self.learner, self.dataset, self.augment = learner, dataset, augment
        self.recipe, self.max_epochs = recipe, max_epochs
        self.folder = Path(output_dir)
        self.resume = switch("resume", resume)
        self.workers = workers
        self.ranks = ranks or Ranks()

    def run(self, progress: Progress = silent) -> Trained:
        """Train to the end, or go on with what was begun.

        Raises
        ------
        InputRefused
            OUTPUT_EXISTS for a training that is there and not to be resumed.
        UsageError
            TRAINING_MISMATCH where it was begun with other settings or data; USAGE for batches too small to be shared
            and for windows that the network cannot take.
        EnvironmentFailure
            DISK_FULL, OUTPUT_UNWRITABLE; NOT_FINITE_OUTPUT for a training that diverges.
        """
        self._check_batches()
        self._check_windows()
        identity = self._identity()
        with training_refusals(self.folder):
            check_free(self.folder, self.resume)
        with alone(self.folder) if self.ranks.first else nullcontext():
            state = self._begin(identity)
            if not state.finished:
                self._train(state, progress)
            self.ranks.wait()
        best = torch.load(self.folder / BEST_FILE, map_location="cpu", weights_only=True)
        return Trained(self.folder, state, best)

    def _train(self, state: TrainingState, progress: Progress) -> None:
        train, validation = self._volumes(progress)
        self._write_input_reference((*train, *validation))
        slices = SliceDataset(train)
        self._check_labels(train)
        epochs = Epochs(self.learner, slices, self.augment, self.recipe, self.ranks, self.workers)
        judge = Judge(self.learner, self.recipe, validation, self.folder, self.ranks, self.validation)
        journal = Journal(self.folder, state.epoch) if self.ranks.first else None
        while not state.finished:
            epochs.run(state, lambda: self._write(state), progress)
            self._check_finite(state)
            judge.close(state)
            if journal:
                journal.write(state.history)
            self._write(state)  # last: an epoch whose record is not whole is done again
        if journal:
            journal.close()

    def _check_labels(self, volumes: tuple[TrainingVolume, ...]) -> None:
        """What nobody has cannot be learnt: often masks of white alone, for a bundle of several segments."""
        present = {int(number) for volume in volumes for number in volume.label.unique()}
        missing = [str(number) for number in range(1, self.labels + 1) if number not in present]
        if missing:
            message = f"expected the label {' and '.join(missing)} in the masks of those who train, found none"
            raise InputRefused(Problem(Code.MISSING_LABEL, message))

    def _begin(self, identity: dict[str, str]) -> TrainingState:
        there = check_free(self.folder, self.resume)
        self.ranks.wait()  # nobody writes before all have looked
        state = self._restored(identity) if there else TrainingState(identity)
        if self.ranks.first:
            self.dataset.split.write(self.folder)
        return state

    def _check_batches(self) -> None:
        """Every process has the same number of slices: their gradients weigh the same."""
        for phase in self.recipe.phases:
            if phase.batch % self.ranks.count:
                message = f"expected batches that {self.ranks.count} processes share evenly, got {phase.batch} slices"
                raise UsageError(Problem(Code.USAGE, message))

    def _check_windows(self) -> None:
        """Before hours of preprocessing."""
        for phase in self.recipe.phases:
            try:
                self.learner.check_size(len(self.dataset.roles), phase.size)
            except (RuntimeError, ValueError) as error:
                reason = " ".join(str(error).split())[:200]
                message = f"the network cannot take the recipe's windows of {phase.size[0]}x{phase.size[1]}: {reason}"
                raise UsageError(Problem(Code.USAGE, message)) from error

    def _restored(self, identity: dict[str, str]) -> TrainingState:
        state = TrainingState.read(self.folder, identity)
        try:
            self.learner.restore(state.learner)
        except (RuntimeError, ValueError, KeyError) as error:
            message = "expected the network and optimizer that the training began with; it cannot go on with others"
            raise UsageError(Problem(Code.TRAINING_MISMATCH, message, self.folder.name)) from error
        return state

    def _identity(self) -> dict[str, str]:
        """Hashes of what a training begins with, by the words that tell a user what is different."""
        told = {
            "recipe": self.recipe,
            "validation": self.validation.settings,
            "loss or optimizer": self.learner.settings,
            "initial weights or network": self.learner.fingerprint(),
            "augmentation": self.augment.settings,
            "patients or their split": self.dataset.split,
            "images or masks": self.dataset.fingerprint,
            "number of processes": self.ranks.count,
        }
        return {words: hashlib.sha256(repr(value).encode()).hexdigest() for words, value in told.items()}

    def _volumes(self, progress: Progress) -> tuple[tuple[TrainingVolume, ...], tuple[TrainingVolume, ...]]:
        """Of training and validation; the first process fills the cache for the others.

        Those who are held out are read too: what would refuse them after the training refuses them before it.
        """
        split = self.dataset.split
        if not self.ranks.first:
            self.ranks.wait()
            return self.dataset.load(split.train, progress), ()
        loaded = self.dataset.load((*split.train, *split.validation, *split.test), progress)
        self.ranks.wait()
        train, validation = (
            tuple(volume for volume in loaded if volume.patient in part) for part in (split.train, split.validation)
        )
        return train, validation

    def _write_input_reference(self, volumes: tuple[TrainingVolume, ...]) -> None:
        """What later studies are compared with, for the bundle's configs/; one patient alone is no distribution."""
        if self.ranks.first and len(volumes) > 1:
            arrays = (volume.image.movedim(0, -1).numpy() for volume in volumes)
            reference = input_reference(arrays, self.dataset.roles)
            with training_refusals(self.folder / REFERENCE_FILE):
                reference.write(self.folder / REFERENCE_FILE)

    def _check_finite(self, state: TrainingState) -> None:
        """Days on a GPU do not heal what has diverged; the state on disk is from before it."""
        if not self.learner.finite():
            message = f"the training diverged in epoch {state.epoch + 1}: expected finite weights; lower learning_rate"
            raise EnvironmentFailure(Problem(Code.NOT_FINITE_OUTPUT, message, self.folder.name))

    def _write(self, state: TrainingState) -> None:
        self._check_finite(state)
        if self.ranks.first:
            state.learner = self.learner.state()
            state.write(self.folder)
