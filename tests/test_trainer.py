"""The loop itself, with a network of 16 x 16 pixels: what it keeps, when it stops, what it refuses to go on with."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.inferers import SimpleInferer
from monai.losses import DiceCELoss
from monai.transforms import Compose

from scanweave.errors import Code, EnvironmentFailure, InputRefused, UsageError
from scanweave.networks.bn_unet import BNUNet
from scanweave.pipeline.progress import Progress, Stage
from scanweave.pipeline.training.augment.augment import Augment
from scanweave.pipeline.training.augment.settings import AugmentSettings
from scanweave.pipeline.training.learner import Learner, initial
from scanweave.pipeline.training.place import STATE_FILE
from scanweave.pipeline.training.ranks import Ranks
from scanweave.pipeline.training.recipe import Phase, Recipe
from scanweave.pipeline.training.trainer import BEST_FILE, Trainer
from scanweave.pipeline.training.training_data import SplitSettings, TrainingData
from scanweave.pipeline.training.validation import Validation
from scanweave.pipeline.training.volumes import TrainingVolume
from scanweave.transforms.io.find_study import StudyRequest
from scanweave.transforms.io.labelled_cases import Case

PATIENTS, SIDE = 4, 16
COARSE, FINE = Phase(0.5, (SIDE, SIDE), 1.0, 2), Phase(1.0, (SIDE, SIDE), 1.0, 2)
RECIPE = Recipe(epochs=2, phases=(FINE,), epoch_slices=4, learning_rate=0.01)


class Volumes(TrainingData):
    """Cases that are in memory already."""

    data = tuple(Case(f"p{number}", f"p{number}", StudyRequest(None)) for number in range(PATIENTS))

    def __init__(self, root: Path, validation: float) -> None:
        super().__init__(root, ("pre", "flair", "post"), SplitSettings(validation=validation), Compose([]), root)
        self.loaded: list[set[str]] = []
        self.fingerprint = "as it is"

    def load(self, patients: Any, progress: Progress) -> tuple[TrainingVolume, ...]:
        self.loaded.append(set(patients))
        return tuple(volume(case.name) for case in self.data if case.patient in patients)


def volume(name: str) -> TrainingVolume:
    image = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(int(name[1:])))
    label = (image[:, 1] > 0.5).to(torch.uint8)
    return TrainingVolume(name, name, image.half(), label, image.amin(dim=(0, 2, 3)), image.amax(dim=(0, 2, 3)))


def trainer(root: Path, recipe: Recipe = RECIPE, *, validation: float = 0.25, resume: bool = False, features: int = 2,
            precision: str = "fp32", ranks: Ranks | None = None) -> Trainer:  # fmt: skip
    device = torch.device("cpu")
    network = initial(BNUNet(in_channels=3, out_channels=1, features=features), None, 0)
    learner = Learner(network, DiceCELoss(sigmoid=True), partial(torch.optim.AdamW), SimpleInferer(), device, precision)
    augment = Augment(AugmentSettings(), 1)
    return Trainer(learner, Volumes(root, validation), augment, recipe, recipe.epochs, root / "out", resume, 0, ranks)


def stopped_at(epoch: int) -> Progress:
    """A progress that ends the run, as Ctrl-C does, when this epoch (from 1) begins."""

    def stop(stage: Stage) -> None:
        if stage.count and stage.number == epoch:
            raise KeyboardInterrupt

    return stop


# --- what is kept ---------------------------------------------------------------------------------------------------


def test_short_trainings_keep_weights_too(tmp_path: Path) -> None:
    """One epoch is wholly in the first of two phases: it is the last one all the same."""
    trained = trainer(tmp_path, replace(RECIPE, epochs=1, phases=(COARSE, FINE))).run()
    assert trained.state.best_epoch == 0 and len(trained.weights) == 118


def test_only_the_last_phase_chooses(tmp_path: Path) -> None:
    trained = trainer(tmp_path, replace(RECIPE, epochs=4, phases=(COARSE, FINE))).run()
    assert trained.state.best_epoch in (2, 3)
    assert trained.state.best_dice == max(record["dice"] for record in trained.state.history[2:])


def test_with_nobody_to_validate_the_last_weights_are_kept(tmp_path: Path) -> None:
    own = trainer(tmp_path, replace(RECIPE, epochs=3, patience=1), validation=0)
    trained = own.run()
    assert [record["dice"] for record in trained.state.history] == [None] * 3
    average = own.learner.average.network.state_dict()
    assert all(torch.equal(trained.weights[key], average[key]) for key in average)


def test_validation_is_as_rare_as_told_but_never_left_out_at_the_end(tmp_path: Path) -> None:
    trained = trainer(tmp_path, replace(RECIPE, epochs=5, validate_every=3)).run()
    assert [record["dice"] is not None for record in trained.state.history] == [False, False, True, False, True]


def test_who_is_held_out_is_read_before_the_training(tmp_path: Path) -> None:
    """What would refuse them when they are measured refuses them now."""
    own = trainer(tmp_path)
    own.dataset.settings = SplitSettings(folds=2, validation=0.1)
    own.run()
    split = own.dataset.split
    assert isinstance(own.dataset, Volumes) and own.dataset.loaded == [{*split.train, *split.validation, *split.test}]
    assert (len(split.train), len(split.validation), len(split.test)) == (1, 1, 2)


# --- when it ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("every", "patience", "epochs"), [(1, 2, 3), (3, 1, 6), (2, 3, 6)])
def test_patience_counts_epochs_and_ends_at_a_validation(
    tmp_path: Path, every: int, patience: int, epochs: int
) -> None:
    """With a rate of zero nothing becomes better after the first validation: it ends at the first one that is due."""
    recipe = replace(RECIPE, epochs=12, validate_every=every, patience=patience, learning_rate=0.0)
    own = trainer(tmp_path, recipe)
    for module in own.learner.network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
    trained = own.run()
    assert len(trained.state.history) == epochs
    assert trained.state.history[-1]["dice"] is not None
    assert trained.state.finished
    again = trainer(tmp_path, recipe, resume=True).run(stopped_at(epochs + 1))
    assert len(again.state.history) == epochs, "what has ended is not begun again"


def test_divergence_ends_it_and_the_state_is_from_before(tmp_path: Path) -> None:
    own = trainer(tmp_path, replace(RECIPE, epochs=6))

    def poison(stage: Stage) -> None:
        if stage.count and stage.number == 3:
            torch.nn.init.constant_(own.learner.network.conv.bias, float("nan"))

    with pytest.raises(EnvironmentFailure, match="epoch 3") as failure:
        own.run(poison)
    assert failure.value.code == Code.NOT_FINITE_OUTPUT
    state = torch.load(tmp_path / "out" / STATE_FILE, weights_only=True)
    assert state["epoch"] == 2
    assert all(torch.isfinite(value).all() for value in state["learner"]["average"].values())


# --- going on -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_stopped_and_resumed_is_the_same(tmp_path: Path, precision: str) -> None:
    """At every precision; the scaler of float16 goes on where it was."""
    recipe = replace(RECIPE, epochs=4)
    whole = trainer(tmp_path / "whole", recipe, precision=precision).run()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "parts", recipe, precision=precision).run(stopped_at(3))
    parts = trainer(tmp_path / "parts", recipe, precision=precision, resume=True).run()
    assert all(torch.equal(whole.weights[key], parts.weights[key]) for key in whole.weights)
    scalers = [
        torch.load(tmp_path / name / "out" / STATE_FILE, weights_only=True)["learner"]["scaler"]
        for name in ("whole", "parts")
    ]
    assert scalers[0] == scalers[1] and bool(scalers[0]) == (precision == "fp16")


def test_begun_in_float32_it_goes_on_in_float16(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path).run(stopped_at(2))
    assert trainer(tmp_path, precision="fp16", resume=True).run().state.finished


def test_another_network_cannot_go_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path).run(stopped_at(2))
    before = (tmp_path / "out" / STATE_FILE).read_bytes()
    with pytest.raises(UsageError) as refusal:
        trainer(tmp_path, features=4, resume=True).run()
    assert refusal.value.code == Code.TRAINING_MISMATCH
    assert (tmp_path / "out" / STATE_FILE).read_bytes() == before


def test_batches_are_shared_by_all_processes_or_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 processes"):
        trainer(tmp_path, ranks=Ranks(0, 3)).run()
    assert not (tmp_path / "out").exists()


def test_windows_that_the_network_cannot_take_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    made = trainer(tmp_path, replace(RECIPE, phases=(replace(FINE, size=(24, 20)),)))
    with pytest.raises(UsageError, match="windows of 24x20") as refusal:
        made.run()
    assert refusal.value.code == Code.USAGE and not (tmp_path / "out").exists()
    assert not made.dataset.loaded  # type: ignore[attr-defined]


def test_another_threshold_chooses_other_weights(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    other = trainer(tmp_path, resume=True)
    other.validation = Validation(threshold=0.3)
    with pytest.raises(UsageError, match="validation") as refusal:
        other.run()
    assert refusal.value.code == Code.TRAINING_MISMATCH


def test_processes_have_as_many_slices_each(tmp_path: Path) -> None:
    """Their gradients weigh the same."""
    recipe = replace(RECIPE, phases=(replace(FINE, batch=3),))
    with pytest.raises(UsageError, match="got 3 slices"):
        trainer(tmp_path, recipe, ranks=Ranks(0, 2)).run()


def test_one_training_in_a_folder_at_a_time(tmp_path: Path) -> None:
    """A second one is refused while the first runs, and not once that has ended."""
    refusals = []

    def second(stage: Stage) -> None:
        with pytest.raises(InputRefused) as refusal:
            trainer(tmp_path, resume=True).run()
        refusals.append(refusal.value)

    trainer(tmp_path).run(second)
    assert refusals and {refusal.code for refusal in refusals} == {Code.OUTPUT_EXISTS}
    assert trainer(tmp_path, resume=True).run().state.finished


def test_begun_from_other_weights_it_is_another_training(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    other = trainer(tmp_path, resume=True)
    with torch.no_grad():
        next(other.learner.network.parameters()).add_(1e-3)
    with pytest.raises(UsageError) as refusal:
        other.run()
    assert refusal.value.code == Code.TRAINING_MISMATCH


def test_other_data_of_the_same_names_are_another_training(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    other = trainer(tmp_path, resume=True)
    other.dataset.fingerprint = "a mask was mended"
    with pytest.raises(UsageError) as refusal:
        other.run()
    assert refusal.value.code == Code.TRAINING_MISMATCH


def test_best_is_written_before_the_state_that_knows_of_it(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path).run(stopped_at(2))
    best, state = (tmp_path / "out" / name for name in (BEST_FILE, STATE_FILE))
    assert best.stat().st_mtime_ns <= state.stat().st_mtime_ns


def test_masks_without_a_lesion_are_refused(tmp_path: Path) -> None:
    own = trainer(tmp_path)
    own.dataset.load = lambda patients, progress: tuple(  # type: ignore[method-assign]
        replace(volume(case.name), label=torch.zeros(4, SIDE, SIDE, dtype=torch.uint8)) for case in own.dataset.data
    )
    with pytest.raises(InputRefused) as refusal:
        own.run()
    assert refusal.value.code == Code.MISSING_LABEL


def test_another_loss_or_optimizer_is_another_training(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    other = trainer(tmp_path, resume=True)
    other.learner.settings["loss"] = "FocalLoss"
    with pytest.raises(UsageError) as refusal:
        other.run()
    assert refusal.value.code == Code.TRAINING_MISMATCH
