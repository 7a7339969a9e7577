"""Folders of cases with a mask, exactly known, and a bundle whose network marks what is bright on the FLAIR."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from studies import write_nifti

from scanweave.pipeline.bundle import METADATA_FILE, find_bundle

SIZE, SLICES = 256, 4
"""The network's own matrix, filled by the head to its edges: model space is the pictures' own grid."""
SIDE, TOP, LEFT = 100, 60, 70
"""The lesion, a square on the two inner slices."""
BRIGHT, LEVEL = 200, 1.5
"""The lesion's gray value, and the z-score above which the network marks."""
AFFINE = np.array([[0, -0.9, 0, 100], [-0.9, 0, 0, 100], [0, 0, 5.0, 0], [0, 0, 0, 1]])
"""Rows to posterior, columns to the left, as the training slices lie; 0.9 x 0.9 x 5 mm."""


def square(down: int = 0, right: int = 0, slices: slice = slice(1, 3), side: int = SIDE) -> np.ndarray:
    """(row, column, slice) of the lesion, moved."""
    mask = np.zeros((SIZE, SIZE, SLICES), dtype=bool)
    mask[TOP + down : TOP + down + side, LEFT + right : LEFT + right + side, slices] = True
    return mask


def head(lesion: np.ndarray) -> np.ndarray:
    """(row, column, slice, channel) uint8: three different gradients, the lesion bright on the second."""
    slope = np.linspace(60, 100, SIZE).round()
    stack = np.empty((*lesion.shape, 3), dtype=np.uint8)
    stack[..., 0] = slope[:, None, None]
    stack[..., 1] = slope[None, :, None]
    stack[..., 2] = slope[::-1, None, None]
    stack[..., 1][lesion] = BRIGHT
    return stack


def write_patient(root: Path, name: str, lesion: np.ndarray, truth: np.ndarray) -> Path:
    """<root>/<name>/<name>_<n>.tif with <name>_<n>_mask.tif."""
    folder = root / name
    folder.mkdir(parents=True)
    slices = head(lesion)
    for k in range(lesion.shape[-1]):
        stem = f"{folder.name}_{k + 1}"
        Image.fromarray(slices[:, :, k]).save(folder / f"{stem}.tif")
        Image.fromarray((truth[..., k] * 255).astype(np.uint8)).save(folder / f"{stem}_mask.tif")
    return folder


def write_nifti_case(root: Path, name: str, lesion: np.ndarray, truth: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    """<root>/<name>/flair.nii.gz with label.nii.gz: one role, so that nothing is registered."""
    folder = root / name
    folder.mkdir(parents=True)
    write_nifti(folder / "flair.nii.gz", head(lesion)[..., 1].astype(np.int16), affine)
    write_nifti(folder / "label.nii.gz", truth.astype(np.uint8), affine)
    return folder


def bright_bundle(folder: Path, level: float = LEVEL) -> Path:
    """The shipped bundle with one 1x1 convolution for a network: the FLAIR's z-score, above 0.5 where over `level`."""
    shipped = find_bundle()
    shutil.copytree(shipped.root / "configs", folder / "configs")
    for name in ("inference.json", "evaluate.json"):
        path = folder / "configs" / name
        config = json.loads(path.read_text())
        config["network_def"] = {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, "kernel_size": 1}
        path.write_text(json.dumps(config))
    weights = write_weights(folder / shipped.metadata["weights"]["file"], level)
    metadata = dict(shipped.metadata)
    metadata["weights"] = {**metadata["weights"], "sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    (folder / METADATA_FILE).write_text(json.dumps(metadata))
    return folder


def write_weights(path: Path, level: float) -> Path:
    """Of the network of `bright_bundle`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kernel = torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1)
    torch.save({"weight": kernel, "bias": torch.tensor([0.5 - level])}, path)
    return path
