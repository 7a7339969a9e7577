"""The outlines of all slices of a mask: only where it lies, and no more of them than a page can hold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scanweave.pipeline.report.outline import Corners, Mask, outline_corners, outline_path

MAX_CORNERS = 400_000
"""Of all outlines together, some 4 MB of text; only noise has more, and is outlined coarsely."""

Box = tuple[slice, slice, slice]
"""The slices, rows and columns that hold everything that is set."""


@dataclass(frozen=True)
class Outlines:
    """By slice: the path, "" where nothing is set, and how many pixels are; paths are in units of `step` pixels."""

    paths: tuple[str, ...]
    pixels: tuple[int, ...]
    step: int


def outlines(stack: Mask, shift: tuple[int, int], max_corners: int = MAX_CORNERS) -> Outlines:
    """The outlines of a stack of masks (slice, row, column), each moved down and to the right by `shift` pixels.

    Where they would turn more than `max_corners` times they follow blocks of 2, 4, .. pixels instead.
    """
    paths, pixels = [""] * len(stack), [0] * len(stack)
    box = _box(stack)
    if box is None:
        return Outlines(tuple(paths), tuple(pixels), 1)
    inside = np.ascontiguousarray(stack[box])
    top, left = box[1].start + shift[0], box[2].start + shift[1]
    step, found = 1, _corners(inside, (top, left), 1, max_corners)
    while found is None:
        step *= 2
        found = _corners(inside, (top, left), step, max_corners)
    for number, (plane, corners) in enumerate(zip(inside, found, strict=True), start=box[0].start):
        paths[number] = outline_path(corners)
        pixels[number] = int(np.count_nonzero(plane))
    return Outlines(tuple(paths), tuple(pixels), step)


def _corners(stack: Mask, origin: tuple[int, int], step: int, at_most: int) -> list[Corners] | None:
    """The corners of each plane in blocks of `step` pixels, each set where any of its pixels is; None for too many."""
    blocks, (rest_row, rest_column) = np.divmod(origin, step)
    found, count = [], 0
    for plane in stack:
        corners = outline_corners(_coarse(np.pad(plane, ((rest_row, 0), (rest_column, 0))), step))
        found.append(corners + blocks)
        count += len(corners)
        if count > at_most:
            return None
    return found


def _coarse(mask: Mask, step: int) -> Mask:
    if step == 1:
        return mask
    padded = np.pad(mask, [(0, -n % step) for n in mask.shape])
    rows, columns = padded.shape
    return np.asarray(padded.reshape(rows // step, step, columns // step, step).any(axis=(1, 3)))


def _box(stack: Mask) -> Box | None:
    """Axes are gone through in the order in which memory holds them: a stack is seldom stored slice by slice."""
    order = np.argsort([-abs(step) for step in stack.strides])
    stored = stack.transpose(order)
    over_first: Mask = np.asarray(stored.any(axis=0))
    spans: dict[int, npt.NDArray[np.intp]] = {
        int(order[0]): np.flatnonzero(stored.any(axis=(1, 2))),
        int(order[1]): np.flatnonzero(over_first.any(axis=1)),
        int(order[2]): np.flatnonzero(over_first.any(axis=0)),
    }
    if not spans[0].size:
        return None
    first, second, third = (slice(int(spans[axis][0]), int(spans[axis][-1]) + 1) for axis in range(3))
    return first, second, third
