"""The batches of an epoch: draw, augment, learn, and write the state down now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.utils.data import DataLoader

from scanweave.pipeline.progress import Progress, Stage
from scanweave.pipeline.training.augment.augmentation import Augmentation
from scanweave.pipeline.training.learner import Learner
from scanweave.pipeline.training.ranks import Ranks
from scanweave.pipeline.training.recipe import Recipe
from scanweave.pipeline.training.slices import LesionSampler, SliceDataset
from scanweave.pipeline.training.stages import TRAIN_STEP
from scanweave.pipeline.training.state import TrainingState


class Epochs:
    """Teaches `learner` the slices of `dataset`, one epoch at a time.

    Whatever is random in a step comes from its number, so that it does not matter when a training was interrupted.
    """

    def __init__(
        self, learner: Learner, dataset: SliceDataset, augment: Augmentation, recipe: Recipe, ranks: Ranks, workers: int
    ) -> None:
        self.learner, self.augment, self.recipe, self.ranks = learner, augment, recipe, ranks
        count = recipe.epoch_slices or len(dataset)
        self.sampler = LesionSampler(dataset.areas, recipe.lesion_weight, count, recipe.seed, ranks.rank, ranks.count)
        on_gpu = learner.device.type == "cuda"
        self.loader: DataLoader[dict[str, torch.Tensor]] = DataLoader(
            dataset, batch_sampler=self.sampler, num_workers=workers, pin_memory=on_gpu
        )

    def run(self, state: TrainingState, checkpoint: Callable[[], None], progress: Progress) -> None:
        """The batches of the state's epoch that are not done yet; `checkpoint` is called every so many seconds."""
        phase, recipe = self.recipe.phase(state.epoch), self.recipe
        self.sampler.start(state.epoch, phase.batch, state.batch)
        written = begun = time.monotonic()
        before = state.seconds
        losses = [torch.tensor(loss) for loss in state.losses]

        def note() -> None:  # reading a loss waits for the GPU: not at each step
            state.losses = [float(loss) for loss in losses]
            state.seconds = before + time.monotonic() - begun

        for batch in self.loader:
            done = (state.epoch + state.batch / len(self.sampler)) / recipe.epochs
            part = recipe.work(done * recipe.epochs)
            progress(Stage(TRAIN_STEP, state.epoch + 1, recipe.epochs, part, _reached(state)))
            moved = {key: value.to(self.learner.device, non_blocking=True) for key, value in batch.items()}
            image, target = self.augment(moved, phase.size, phase.pixel, self._seed(state))
            losses.append(self.learner.step(image, target, recipe.rate(done), state.steps))
            state.batch, state.steps = state.batch + 1, state.steps + 1
            if time.monotonic() - written > recipe.checkpoint_seconds:
                note()
                checkpoint()
                written = time.monotonic()
        note()

    def _seed(self, state: TrainingState) -> int:
        """Of the next batch's augmentation: its own on every rank."""
        return (self.recipe.seed * 1_000_003 + state.steps) * self.ranks.count + self.ranks.rank


def _reached(state: TrainingState) -> str:
    """The last epoch's loss and the last Dice."""
    if not state.history:
        return ""
    dices = [record["dice"] for record in state.history if record["dice"] is not None]
    measured = f", Dice {dices[-1]:.3f}" if dices else ""
    return f"loss {state.history[-1]['loss']:.3f}{measured}"
