"""Slices of a volume through a 2-D network in overlapping windows: for planes larger than those it was trained on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import SlidingWindowInferer
from monai.utils import ensure_tuple_rep

PLANE = 2
"""Axes of a slice."""


class SliceWindows(SlidingWindowInferer):
    """MONAI's sliding windows of `roi_size` (rows, columns) over each slice of a volume (1, C, row, column, slice).

    The slices of a volume are one batch of pictures; all settings are those of `SlidingWindowInferer`. A plane that
    one window covers gives what `SliceInferer` gives.
    """

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """(1, out, row, column, slice) of one volume (1, C, row, column, slice).

        Raises
        ------
        ValueError
            For several volumes.
        TypeError
            For a network with several outputs.
        """
        if inputs.ndim != PLANE + 3 or len(inputs) != 1:
            raise ValueError(f"expected one volume (1, C, row, column, slice), got {tuple(inputs.shape)}")
        found = super().__call__(inputs[0].movedim(-1, 0), network, *args, **kwargs)
        if not isinstance(found, torch.Tensor):
            raise TypeError(f"expected a network with one output, got {type(found).__name__}")
        return found.movedim(0, -1)[None]

    def windows(self, shape: Sequence[int]) -> int:
        """How many windows the network gets of a volume (row, column, slice)."""
        sizes = ensure_tuple_rep(self.roi_size, PLANE)
        overlaps = ensure_tuple_rep(self.overlap, PLANE)
        sides = [_along(*side) for side in zip(shape[:PLANE], sizes, overlaps, strict=True)]
        return math.prod(sides) * shape[PLANE]


def _along(size: int, window: int, overlap: float) -> int:
    """How many windows cover `size` pixels, each begun a whole step after the last, the last one moved back inside."""
    step = max(int(window * (1 - overlap)), 1)
    return 1 + math.ceil(max(size - window, 0) / step)
