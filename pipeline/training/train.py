"""`train`: a folder of cases in, weights of a bundle's network out, with the record of how they came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanweave.pipeline.bundle import TRAIN_CONFIG, Bundle, build_part, find_bundle
from scanweave.pipeline.network_settings import NetworkSettings, StrPath, expanded
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.training.place import check_free
from scanweave.pipeline.training.train_record import (
    CROSS_VALIDATION_FILE,
    EVALUATION_FOLDER,
    cross_validation_record,
    write_record,
)
from scanweave.pipeline.training.train_settings import TrainSettings, overrides_of
from scanweave.pipeline.training.training_file import training_refusals
from scanweave.transforms.io.labelled_cases import find_cases
from scanweave.transforms.io.remarks import quiet

if TYPE_CHECKING:
    from scanweave.pipeline.evaluation.evaluation import Evaluation

CACHE_FOLDER = "cache"
_FOLD = "fold_{}"


@dataclass(frozen=True)
class Training:
    """A training that is done: its folder, its weights (one file, or one for each fold), and its record.

    `record` is the content of training.json, or with folds of cross_validation.json.
    """

    folder: Path
    weights: tuple[Path, ...]
    record: Mapping[str, Any]


def train(
    images: StrPath,
    out: StrPath = "training",
    *,
    settings: TrainSettings | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train a bundle's network on the cases below `images`. Research use only, not a medical device.

    Parameters
    ----------
    images
        Cases with masks: `<patient>/<patient>_<n>.tif` with `..._mask.tif`, `<case>/{pre,flair,post,label}.nii.gz`,
        or `images/` + `labels/` with files of one name.
    out
        Gets model.pt (float16), training.json, split.json, epochs.csv, input_reference.json (for the bundle's check
        of later inputs), TensorBoard events and the checkpoints; with folds, in `fold_<n>/` each, beside
        cross_validation.json. Preprocessed volumes are kept in `cache/`.
    settings
        Bundle, epochs, folds and the like.
    progress
        Called with a `Stage` within each epoch; what it raises ends the run, which can be resumed.

    Raises
    ------
    UsageError, InputRefused, EnvironmentFailure
        With the codes of `scanweave.Code`, which docs/errors.md explains.
    """
    settings, progress = settings or TrainSettings(), progress or silent
    bundle = find_bundle(expanded(settings.bundle))
    find_cases(Path(expanded(images)), [role.name for role in bundle.roles])  # refuses before torch is imported
    folder = Path(expanded(out))
    shared = overrides_of(settings, Path(expanded(images)), folder / CACHE_FOLDER)
    if settings.folds is None:
        done_alone = _train_one(bundle, {**shared, "output_dir": folder}, progress)
        if done_alone.record["split"]["test"]:
            _measure(images, done_alone, settings, progress)
        return done_alone
    folds = list(range(settings.folds)) if settings.fold is None else [settings.fold]
    for fold in folds:  # the last one is not to be refused when the others are done
        with training_refusals(folder):
            check_free(folder / _FOLD.format(fold), settings.resume)
    done, measured = [], []
    for number, fold in enumerate(folds):
        within = _within(progress, number, len(folds))
        own = {"output_dir": folder / _FOLD.format(fold), "folds": settings.folds, "fold": fold}
        done.append(_train_one(bundle, {**shared, **own}, within))
        measured.append(_measure(images, done[-1], settings, _within(progress, number, len(folds), done=True)))
    record = cross_validation_record([training.record for training in done], measured)
    if settings.fold is None:  # one fold is none, and would replace that of all
        write_record(record, folder / CROSS_VALIDATION_FILE)
    return Training(folder, tuple(path for training in done for path in training.weights), record)


def _train_one(bundle: Bundle, overrides: Mapping[str, Any], progress: Progress) -> Training:
    from scanweave.pipeline.training.training_run import TrainingRun

    with quiet():
        training: TrainingRun = build_part(bundle, "training", overrides, TRAIN_CONFIG)
    record = training.run(progress)
    folder = training.trainer.folder
    return Training(folder, (folder / record["weights"]["file"],), record)


def _measure(images: StrPath, training: Training, settings: TrainSettings, progress: Progress) -> Evaluation:
    """The fold's weights on the patients that were held out."""
    from scanweave.pipeline.evaluation.evaluate import evaluate

    held_out = training.record["split"]["test"]
    how = NetworkSettings(settings.bundle, training.weights[0], settings.device, settings.precision, overwrite=True)
    return evaluate(images, training.folder / EVALUATION_FOLDER, settings=how, only=held_out, progress=progress)


def _within(progress: Progress, number: int, count: int, *, done: bool = False) -> Progress:
    """What is told of one fold, as a part of all; `done` once it is trained."""

    def told(stage: Stage) -> None:
        note = f"fold {number + 1}/{count}" + (f", {stage.note}" if stage.note else "")
        part = 1.0 if done else stage.part
        progress(Stage(stage.step, stage.number, stage.count, (number + part) / count, note))

    return told
