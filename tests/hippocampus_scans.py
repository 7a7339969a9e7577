"""Invented scans of two parts, one bright and one dark, and the hippocampus bundle with a network that marks them."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import torch

from scanweave.pipeline.bundle import METADATA_FILE, find_bundle

BUNDLE = find_bundle("hippocampus")
TISSUE, BRIGHT, DARK = 1000, 2000, 200
LEVEL = 1.5
"""z-score above which the network marks the anterior part, and below whose negative the posterior one."""
RADIUS_MM, APART_MM = 7.0, 9.0


def two_balls(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], along: int
) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and labels of a bright ball (1) and a dark one (2), one behind the other along an axis; off the middle."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1) * spacing
    values, labels = np.full(shape, TISSUE), np.zeros(shape, np.uint8)
    for label, value, shift in ((1, BRIGHT, -APART_MM), (2, DARK, APART_MM)):
        centre = (np.array(shape) - 1) / 2 * spacing + 3.0 * (np.arange(3) == (along + 1) % 3)
        centre[along] += shift
        ball = np.linalg.norm(grid - centre, axis=-1) < RADIUS_MM
        values[ball], labels[ball] = value, label
    return values, labels


def contrast_bundle(folder: Path) -> Path:
    """The bundle with one 1x1 convolution for a network: what is bright is anterior, what is dark posterior."""
    shutil.copytree(BUNDLE.root / "configs", folder / "configs")
    for path in folder.glob("configs/*.json"):
        config = json.loads(path.read_text())
        if "network_def" in config:
            network = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 1}
            path.write_text(json.dumps({**config, "network_def": network}))
    weights = folder / BUNDLE.metadata["weights"]["file"]
    weights.parent.mkdir()
    kernel = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    torch.save({"weight": kernel, "bias": torch.full((2,), 0.5 - LEVEL)}, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    metadata = {**BUNDLE.metadata, "weights": {**BUNDLE.metadata["weights"], "sha256": digest}}
    (folder / METADATA_FILE).write_text(json.dumps(metadata))
    return folder
