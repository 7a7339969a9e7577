"""The training loop: epochs, validation, checkpoints."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from scanweave.errors import Code, EnvironmentFailure, Problem, UsageError
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.switch import switch
from scanweave.pipeline.training.augment.augment import Augment
from scanweave.pipeline.training.input_reference import input_reference
from scanweave.pipeline.training.journal import Journal
from scanweave.pipeline.training.learner import Learner
from scanweave.pipeline.training.place import check_free
from scanweave.pipeline.training.ranks import Ranks
from scanweave.pipeline.training.recipe import Recipe
from scanweave.pipeline.training.slices import LesionSampler, SliceDataset
from scanweave.pipeline.training.stages import TRAIN_STEP
from scanweave.pipeline.training.state import TrainingState, write_whole
from scanweave.pipeline.training.training_data import TrainingData
from scanweave.pipeline.training.validation import mean_dice
from scanweave.pipeline.training.volumes import TrainingVolume
from scanweave.pipeline.training.whole_file import disk_refusals

BEST_FILE = "best.pt"
REFERENCE_FILE = "input_reference.json"


@dataclass(frozen=True)
class Trained:
    """A training that is done: its folder, its state at the end, and its weights (float32, on the CPU)."""

    folder: Path
    state: TrainingState
    weights: dict[str, torch.Tensor]


class Trainer:
    """Trains by `recipe` for `max_epochs`, which are the recipe's own (MONAI's bundles name them here).

    Whatever is random in a step comes from its number, so that a training that was killed at any moment and resumed
    ends with the same weights, bit for bit, as one that was not. Weights that validated best are kept; with nobody
    to validate, the last ones.
    """

    def __init__(
        self,
        learner: Learner,
        dataset: TrainingData,
        augment: Augment,
        recipe: Recipe,
        max_epochs: int,
        output_dir: Path,
        resume: bool = False,
        workers: int = 0,
        ranks: Ranks | None = None,
    ) -> None:
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
            TRAINING_MISMATCH where it was begun with other settings or data; USAGE for batches too small to be shared.
        EnvironmentFailure
            DISK_FULL, OUTPUT_UNWRITABLE; NOT_FINITE_OUTPUT for a training that diverges.
        """
        state = self._begin()
        if not state.finished:
            self._train(state, progress)
        self.ranks.wait()
        best = torch.load(self.folder / BEST_FILE, map_location="cpu", weights_only=True)
        return Trained(self.folder, state, best)

    def _train(self, state: TrainingState, progress: Progress) -> None:
        train, validation = self._volumes(progress)
        self._write_input_reference((*train, *validation))
        slices = SliceDataset(train)
        sampler = self._sampler(slices)
        loader = self._loader(slices, sampler)
        journal = Journal(self.folder, state.epoch) if self.ranks.first else None
        while not state.finished:
            self._epoch(state, sampler, loader, progress)
            self._close_epoch(state, validation)
            if journal:
                journal.write(state.history)
            self._write(state)  # last: an epoch whose record is not whole is done again
        if journal:
            journal.close()

    def _begin(self) -> TrainingState:
        self._check_batches()
        identity = self._identity()
        with disk_refusals(self.folder):
            there = check_free(self.folder, self.resume)
            self.folder.mkdir(parents=True, exist_ok=True)
        self.ranks.wait()  # nobody writes before all have looked
        state = self._restored(identity) if there else TrainingState(identity)
        if self.ranks.first:
            self.dataset.split.write(self.folder)
        return state

    def _check_batches(self) -> None:
        least = min(phase.batch for phase in self.recipe.phases)
        if least < self.ranks.count:
            message = f"expected batches of a slice or more for each of {self.ranks.count} processes, got {least}"
            raise UsageError(Problem(Code.USAGE, message))

    def _restored(self, identity: str) -> TrainingState:
        state = TrainingState.read(self.folder, identity)
        try:
            self.learner.restore(state.learner)
        except (RuntimeError, ValueError, KeyError) as error:
            message = "expected the network and optimizer that the training began with; it cannot go on with others"
            raise UsageError(Problem(Code.TRAINING_MISMATCH, message, self.folder.name)) from error
        return state

    def _identity(self) -> str:
        cases = [case.name for case in self.dataset.data]
        told = (self.recipe, self.augment.settings, self.dataset.split, cases, self.ranks.count)
        return hashlib.sha256(repr(told).encode()).hexdigest()

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
            with disk_refusals(self.folder / REFERENCE_FILE):
                reference.write(self.folder / REFERENCE_FILE)

    def _sampler(self, slices: SliceDataset) -> LesionSampler:
        count = self.recipe.epoch_slices or len(slices)
        ranks = self.ranks
        return LesionSampler(slices.areas, self.recipe.lesion_weight, count, self.recipe.seed, ranks.rank, ranks.count)

    def _loader(self, slices: SliceDataset, sampler: LesionSampler) -> DataLoader[dict[str, torch.Tensor]]:
        on_gpu = self.learner.device.type == "cuda"
        return DataLoader(slices, batch_sampler=sampler, num_workers=self.workers, pin_memory=on_gpu)

    def _epoch(
        self,
        state: TrainingState,
        sampler: LesionSampler,
        loader: DataLoader[dict[str, torch.Tensor]],
        progress: Progress,
    ) -> None:
        """The batches of an epoch that are not done yet."""
        phase = self.recipe.phase(state.epoch)
        sampler.start(state.epoch, phase.batch, state.batch)
        written = begun = time.monotonic()
        before = state.seconds
        losses = [torch.tensor(loss) for loss in state.losses]
        for batch in loader:
            done = (state.epoch + state.batch / len(sampler)) / self.recipe.epochs
            part = self.recipe.work(done * self.recipe.epochs)
            progress(Stage(TRAIN_STEP, state.epoch + 1, self.recipe.epochs, part, _note(state)))
            moved = {key: value.to(self.learner.device, non_blocking=True) for key, value in batch.items()}
            image, label = self.augment(moved, phase.size, phase.pixel, self._seed(state))
            losses.append(self.learner.step(image, label, self.recipe.rate(done), state.steps))
            state.batch, state.steps = state.batch + 1, state.steps + 1
            if time.monotonic() - written > self.recipe.checkpoint_seconds:
                state.losses = [float(loss) for loss in losses]
                state.seconds = before + time.monotonic() - begun
                self._check_finite(state)
                self._write(state)
                written = time.monotonic()
        state.losses = [float(loss) for loss in losses]
        state.seconds = before + time.monotonic() - begun

    def _seed(self, state: TrainingState) -> int:
        """Of the next batch's augmentation: its own on every rank."""
        return (self.recipe.seed * 1_000_003 + state.steps) * self.ranks.count + self.ranks.rank

    def _close_epoch(self, state: TrainingState, validation: tuple[TrainingVolume, ...]) -> None:
        """Validate, keep the best, note what was reached."""
        self._check_finite(state)
        phase, recipe = self.recipe.phase(state.epoch), self.recipe
        last = state.epoch + 1 == recipe.epochs
        due = last or (state.epoch + 1) % recipe.validate_every == 0
        average, dice = self.learner.average.network, None
        if self.ranks.first and validation and due:
            dice = mean_dice(average, validation, phase, self.learner.autocast, self.learner.device)
        # Dice at half resolution and at full do not compare: the phase of the last epoch alone chooses.
        chooses = phase is recipe.phase(recipe.epochs - 1)
        better = not validation if dice is None else dice > state.best_dice
        if self.ranks.first and chooses and better:
            state.best_dice, state.best_epoch = dice if dice is not None else state.best_dice, state.epoch
            write_whole(average.state_dict(), self.folder / BEST_FILE)
        waited = state.epoch - state.best_epoch if state.best_epoch >= 0 else 0
        stop = bool(dice is not None and chooses and recipe.patience and waited >= recipe.patience)
        record = {
            "epoch": state.epoch + 1,
            "loss": sum(state.losses) / max(len(state.losses), 1),
            "learning_rate": recipe.rate((state.epoch + 1) / recipe.epochs),
            "rows": phase.size[0],
            "dice": dice,
            "seconds": round(state.seconds, 1),
        }
        state.history.append(record)
        state.epoch, state.batch, state.losses = state.epoch + 1, 0, []
        state.finished = self.ranks.agree(last or stop, self.learner.device)

    def _check_finite(self, state: TrainingState) -> None:
        """Days on a GPU do not heal what has diverged; the state on disk is from before it."""
        if not self.learner.finite():
            message = f"the training diverged in epoch {state.epoch + 1}: expected finite weights; lower learning_rate"
            raise EnvironmentFailure(Problem(Code.NOT_FINITE_OUTPUT, message, self.folder.name))

    def _write(self, state: TrainingState) -> None:
        if self.ranks.first:
            state.learner = self.learner.state()
            state.write(self.folder)


def _note(state: TrainingState) -> str:
    """The last epoch's loss and the last Dice."""
    if not state.history:
        return ""
    dices = [record["dice"] for record in state.history if record["dice"] is not None]
    measured = f", Dice {dices[-1]:.3f}" if dices else ""
    return f"loss {state.history[-1]['loss']:.3f}{measured}"
