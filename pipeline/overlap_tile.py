"""Images of any size in tiles, each with what the network sees around it; beyond the border the image is mirrored.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv 1505.04597, figure 2: the overlap-tile strategy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from monai.inferers import Inferer

STEP = 16
"""Pixels between tiles: four poolings fall alike in two tiles that lie a multiple of it apart."""


class OverlapTile(Inferer):
    """The slices of a volume through a network in tiles: equal to each slice at once, mirrored by `margin` all around.

    Attributes
    ----------
    roi_size
        Rows and columns of the largest tile as it comes out, without its margin: an output size of an unpadded
        network (388), a multiple of 16 for a padded one. Smaller images get smaller tiles, by multiples of 16.
    margin
        Pixels around a tile that go into the network with it. Of an unpadded network those that its convolutions take
        off, 92. A padded one gives them back, and they are cut off: they must hold all that a tile's pixels depend on,
        or its own zeros around the tile are seen. With four levels of pairs of 3x3 convolutions that is 94 from
        tiles that begin at multiples of 16: `margin` 96.
    sw_batch_size
        Tiles at a time, which is what bounds the memory.
    """

    def __init__(self, roi_size: Sequence[int] = (388, 388), margin: int = 92, sw_batch_size: int = 1) -> None:
        if len(roi_size) != 2 or min(roi_size) < STEP:
            raise ValueError(f"expected tiles of {STEP} or more rows and columns, got {tuple(roi_size)}")
        if margin < 0 or sw_batch_size < 1:
            raise ValueError(f"expected a margin of 0 or more and 1 tile or more, got {margin} and {sw_batch_size}")
        self.roi_size = tuple(roi_size)
        self.margin = margin
        self.sw_batch_size = sw_batch_size

    def __call__(
        self, inputs: torch.Tensor, network: Callable[..., torch.Tensor], *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """(1, out, row, column, slice) of one volume (1, C, row, column, slice).

        Raises
        ------
        ValueError
            For several volumes, and for a network that makes something else of a tile than the tile with or without
            its margin.
        """
        if inputs.ndim != 5 or len(inputs) != 1:
            raise ValueError(f"expected one volume (1, C, row, column, slice), got {tuple(inputs.shape)}")
        rows, columns = self._sides(inputs.shape[2:])
        places = [(at, top, left) for at in range(inputs.shape[4]) for top in rows.starts for left in columns.starts]
        output = inputs.new_empty(0)
        for first in range(0, len(places), self.sw_batch_size):
            some = places[first : first + self.sw_batch_size]
            tiles = torch.stack([self._tile(inputs[0, ..., at], rows, top, columns, left) for at, top, left in some])
            found = self._without_margin(network(tiles, *args, **kwargs), (rows.tile, columns.tile))
            if first == 0:
                output = found.new_empty((1, found.shape[1], *inputs.shape[2:]))
            for (at, top, left), one in zip(some, found, strict=True):
                place = output[0, :, top : top + rows.tile, left : left + columns.tile, at]
                place.copy_(one[:, : place.shape[1], : place.shape[2]])
        return output

    def windows(self, shape: Sequence[int]) -> int:
        """How many tiles the network gets of a volume (row, column, slice)."""
        rows, columns = self._sides(shape)
        return len(rows.starts) * len(columns.starts) * shape[2]

    def _sides(self, shape: Sequence[int]) -> tuple[_Side, _Side]:
        rows, columns = (_covered(size, most) for size, most in zip(shape[:2], self.roi_size, strict=True))
        return rows, columns

    def _tile(self, image: torch.Tensor, rows: _Side, top: int, columns: _Side, left: int) -> torch.Tensor:
        """(C, tile and margin, tile and margin) of an image (C, row, column)."""
        down, right = rows.sources(top, self.margin), columns.sources(left, self.margin)
        return image[:, down.to(image.device)[:, None], right.to(image.device)]

    def _without_margin(self, found: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """The tiles themselves; an unpadded network has left the margin out."""
        margin = self.margin
        if tuple(found.shape[2:]) == size:
            return found
        if tuple(found.shape[2:]) != tuple(side + 2 * margin for side in size):
            raise ValueError(
                f"expected the network to make {size} of a tile with {margin} pixels around it, or to keep these, got "
                f"{tuple(found.shape[2:])}"
            )
        return found[..., margin : margin + size[0], margin : margin + size[1]]


@dataclass(frozen=True)
class _Side:
    """Rows or columns of an image: `size` pixels, in tiles of `tile` that begin at `starts`."""

    size: int
    tile: int
    starts: range

    def sources(self, start: int, margin: int) -> torch.Tensor:
        """(tile + 2 margin): which pixel is where in a tile; the mirror stands on the border pixel, and in both."""
        last = self.size - 1
        if last == 0:
            return torch.zeros(self.tile + 2 * margin, dtype=torch.long)
        places = torch.arange(start - margin, start + self.tile + margin) % (2 * last)
        return torch.minimum(places, 2 * last - places)


def _covered(size: int, most: int) -> _Side:
    """As few tiles as possible, of at most `most` pixels, and as small as they can then be."""
    count = 1 + max(math.ceil((size - most) / (most // STEP * STEP)), 0)
    reach = (count - 1) * (most // STEP * STEP) + most
    tile = most - (reach - size) // (STEP * count) * STEP
    stride = tile // STEP * STEP
    return _Side(size, tile, range(0, count * stride, stride) if count > 1 else range(1))
