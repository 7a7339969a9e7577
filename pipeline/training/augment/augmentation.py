"""What a training asks of its augmentation."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from scanweave.pipeline.training.slices import Sample


class Augmentation(Protocol):
    """Batches of `SliceDataset` to images and targets, the same for the same seed; `settings` is a dataclass."""

    @property
    def settings(self) -> Any:
        """For the record, and to tell whether an interrupted training goes on as it began."""

    def __call__(
        self, batch: Sample, size: tuple[int, int], pixel: float, seed: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`image` (B, C, *size), pixels `pixel` wide, and what the loss wants of the target (B, any, *size)."""
