"""Training volumes: each case once through the bundle's chain, then from a cache on disk into memory."""

from __future__ import annotations

import hashlib
import pickle
import uuid
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scanweave import __version__
from scanweave.errors import InputRefused
from scanweave.pipeline.chain import steps_of
from scanweave.pipeline.containers import Compose
from scanweave.pipeline.evaluation.check_cases import of_case
from scanweave.pipeline.progress import Progress, Stage
from scanweave.pipeline.training.fingerprints import state_of
from scanweave.pipeline.training.stages import CACHE_STEP
from scanweave.pipeline.training.training_file import training_file, training_refusals
from scanweave.transforms.image import Image
from scanweave.transforms.io.labelled_cases import Case


@dataclass(frozen=True, eq=False)
class TrainingVolume:
    """One case in model space.

    `image` (slice, channel, row, column) float16 as the network gets it, `label` (slice, row, column) uint8, 0 or the
    number of a label. `low` and `high` (channel) are the image's least and largest value: background, and the brightest
    tissue. `weight` (slice, row, column) float16 is how much each pixel counts; None where all count alike.
    """

    name: str
    patient: str
    image: torch.Tensor
    label: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    weight: torch.Tensor | None = None


class ToTrainingVolumed:
    """The last step before the cache: `image` (C, i, j, k), `label` and, where there is one, `weight` (1, i, j, k) to
    plain tensors, slices first."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image = torch.from_numpy(data["image"].array).permute(3, 0, 1, 2)
        label = _slices_first(data["label"])
        label = label.round().to(torch.uint8).contiguous()
        tensors: dict[Hashable, Any] = {"image": image.half().contiguous(), "label": label}
        if "weight" in data:
            tensors["weight"] = _slices_first(data["weight"]).half().contiguous()
        return tensors


def _slices_first(image: Image) -> torch.Tensor:
    return torch.from_numpy(image.array[0]).permute(2, 0, 1)


def load_volumes(
    cases: Sequence[Case], preprocessing: Compose, cache: Path, progress: Progress
) -> tuple[TrainingVolume, ...]:
    """Every case's volume, in the order of `cases`; what was preprocessed before is read from `cache`.

    A case is preprocessed anew when one of its files, or a setting of the chain, has changed.

    Raises
    ------
    InputRefused
        What the chain refuses, as `scanweave segment` does: of all cases together, each with its name.
    EnvironmentFailure
        DISK_FULL, OUTPUT_UNWRITABLE.
    """
    cache = Path(cache)
    with training_refusals(cache):
        cache.mkdir(parents=True, exist_ok=True)
    chain = _hash_chain(preprocessing)
    volumes, problems = [], []
    for number, case in enumerate(cases):
        progress(Stage(CACHE_STEP, part=number / len(cases)))
        try:
            volumes.append(_volume(case, preprocessing, cache / f"{state_of(case)}{chain}.pt"))
        except InputRefused as refusal:
            problems += [of_case(problem, case) for problem in refusal.problems]
    if problems:
        raise InputRefused(problems)
    return tuple(volumes)


def _volume(case: Case, preprocessing: Compose, file: Path) -> TrainingVolume:
    tensors = _stored(file)
    if tensors is None:
        tensors = case.item
        for _, step in steps_of(preprocessing):
            tensors = step(tensors)
        with training_file(file, mark=f".{uuid.uuid4().hex}") as stream:  # several trainings may share a cache
            torch.save(tensors, stream)
    image = tensors["image"]
    low, high = (extreme.float() for extreme in (image.amin(dim=(0, 2, 3)), image.amax(dim=(0, 2, 3))))
    return TrainingVolume(case.name, case.patient, image, tensors["label"], low, high, tensors.get("weight"))


def _stored(file: Path) -> dict[str, Any] | None:
    """What the cache has; None for what is not there or was damaged, which is then made anew."""
    try:
        stored: dict[str, Any] = torch.load(file, weights_only=True)
    except (FileNotFoundError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None
    return stored


def _hash_chain(chain: Compose) -> str:
    """Of the steps with their settings, and of this version, whose steps may do otherwise than the last one's did."""
    steps = [step for _, step in steps_of(chain)]
    told = [f"{type(step).__name__}{sorted((key, repr(value)) for key, value in vars(step).items())}" for step in steps]
    return hashlib.sha256("\n".join((__version__, *told)).encode()).hexdigest()[:16]
