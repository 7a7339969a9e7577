"""Trained weights as a file that travels: float16, plain tensors, known by its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.networks.weights import Weights
from scanweave.pipeline.training.place import MODEL_FILE
from scanweave.pipeline.training.state import write_whole


def export_weights(state: Mapping[str, torch.Tensor], folder: Path) -> Weights:
    """Write model.pt in `folder`, whole or not at all: half the bytes of float32, and no mask changes by it.

    Raises
    ------
    EnvironmentFailure
        NOT_FINITE_OUTPUT for weights that are not finite, or too large for float16; DISK_FULL, OUTPUT_UNWRITABLE.
    """
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    broken = [key for key, value in half.items() if not torch.isfinite(value).all()]
    if broken:
        message = f"the trained weights are not finite in float16 ({', '.join(broken[:3])}): the training diverged"
        raise EnvironmentFailure(Problem(Code.NOT_FINITE_OUTPUT, message, folder.name))
    path = folder / MODEL_FILE
    write_whole(half, path)
    return Weights.of_file(path)
