"""How a bundle's network is trained, and what of it goes into the bundle's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.errors import Code, Problem, UsageError
from scanweave.pipeline.bundle import DEFAULT_BUNDLE
from scanweave.pipeline.network_settings import StrPath, expanded

LEAST_FOLDS = 2


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained; each value left at None is the bundle's own choice.

    Attributes
    ----------
    bundle
        A shipped bundle's name, or a bundle's folder.
    init
        Weights to begin with instead of random ones. They must not have seen the patients of a held-out fold.
    epochs
        Times that as many slices are drawn as there are.
    folds, fold
        Patients are dealt into so many folds; each in turn (or `fold` alone, from 0) is held out and measured. With
        None nobody is held out.
    device, precision
        As for `segment`; "auto" precision is bf16 on a GPU, fp32 on a CPU.
    resume
        Whether a training that is there goes on, exactly where it was.
    """

    bundle: StrPath = DEFAULT_BUNDLE
    init: StrPath | None = None
    epochs: int | None = None
    folds: int | None = None
    fold: int | None = None
    device: str = "auto"
    precision: str = "auto"
    resume: bool = False

    def __post_init__(self) -> None:
        given = (("epochs", self.epochs, 1), ("folds", self.folds, LEAST_FOLDS), ("fold", self.fold, 0))
        for name, value, least in given:
            if value is not None and value < least:
                raise UsageError(Problem(Code.USAGE, f"--{name}: expected at least {least}, got {value}"))
        if self.fold is not None and (self.folds is None or self.fold >= self.folds):
            raise UsageError(Problem(Code.USAGE, "--fold: expected a number below --folds, counted from 0"))


def overrides_of(settings: TrainSettings, images: Path, cache: Path) -> dict[str, Any]:
    """The entries of train.json that all folds share; what a user typed goes in as objects (MONAI runs `$` strings).

    Raises
    ------
    UsageError, EnvironmentFailure
        USAGE for a word that is none of the known, DEVICE_UNAVAILABLE.
    """
    from scanweave.pipeline.device import check_precision, choose_device

    overrides: dict[str, Any] = {
        "dataset_dir": images,
        "cache_dir": cache,
        "init": None if settings.init is None else Path(expanded(settings.init)),
        "device": choose_device(settings.device),
        "precision": check_precision(settings.precision),
        "resume": settings.resume,
    }
    if settings.epochs is not None:
        overrides["epochs"] = settings.epochs
    return overrides
