"""Training volumes: each case once through the bundle's chain, then from a cache on disk into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import PersistentDataset
from monai.transforms import Compose, Transform

from scanweave.pipeline.progress import Progress, Stage
from scanweave.transforms.io.labelled_cases import Case

CACHE_STEP = "Preprocess"


@dataclass(frozen=True, eq=False)
class TrainingVolume:
    """One case in model space.

    `image` (slice, channel, row, column) float16 as the network gets it, `label` (slice, row, column) uint8 0 or 1.
    `low` and `high` (channel) are the image's least and largest value: background, and the brightest tissue.
    """

    name: str
    patient: str
    image: torch.Tensor
    label: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor


class ToTrainingVolumed(Transform):
    """The last step before the cache: `image` (C, i, j, k) and `label` (1, i, j, k) to plain tensors, slices first."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        image, label = data["image"].as_tensor().permute(3, 0, 1, 2), data["label"].as_tensor()[0].permute(2, 0, 1)
        return {"image": image.half().contiguous(), "label": (label > 0.5).to(torch.uint8).contiguous()}


def load_volumes(
    cases: Sequence[Case], preprocessing: Compose, cache: Path, progress: Progress
) -> tuple[TrainingVolume, ...]:
    """Every case's volume, in the order of `cases`; what was preprocessed before is read from `cache`.

    A case is preprocessed anew when one of its files, or the chain, has changed.

    Raises
    ------
    InputRefused
        What the chain refuses, as `scanweave segment` does.
    """
    items = [case.item | {"fingerprint": _fingerprint(case)} for case in cases]
    stored = PersistentDataset(items, preprocessing, cache_dir=cache, hash_func=_hash, hash_transform=_hash_chain)
    volumes = []
    for number, case in enumerate(cases):
        progress(Stage(CACHE_STEP, part=number / len(cases)))
        tensors = stored[number]
        image = tensors["image"]
        low, high = (extreme.float() for extreme in (image.amin(dim=(0, 2, 3)), image.amax(dim=(0, 2, 3))))
        volumes.append(TrainingVolume(case.name, case.patient, image, tensors["label"], low, high))
    return tuple(volumes)


def _fingerprint(case: Case) -> str:
    """Changes with the names, sizes and times of the files that the case is read from."""
    digest = hashlib.sha256()
    for path in case.files:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            state = file.stat()
            digest.update(f"{file}|{state.st_size}|{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _hash(item: Mapping[str, Any]) -> bytes:
    return str(item["fingerprint"]).encode()


def _hash_chain(chain: Any) -> bytes:
    """Of the steps with their settings; MONAI's own hash takes only what JSON or pickle can write."""
    steps = chain.transforms if isinstance(chain, Compose) else chain
    told = [f"{type(step).__name__}{sorted((key, repr(value)) for key, value in vars(step).items())}" for step in steps]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16].encode()
