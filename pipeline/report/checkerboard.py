"""Two series in one picture, in alternating squares: edges that run on across them are where they belong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanweave.pipeline.report.pictures import Picture, jpeg_uri
from scanweave.pipeline.report.view import View
from scanweave.transforms.plane_checks import PlaneCheck
from scanweave.transforms.preview import Bytes

TILES = 8
"""Squares along the longer side of a picture: some 25 mm each, with brain in most of them."""


@dataclass(frozen=True)
class PlanePair:
    """One plane of the reference with a moving series, before and after registration."""

    name: str
    before: Picture
    after: Picture


def plane_pair(check: PlaneCheck, role: str, reference: str) -> PlanePair:
    """The two checkerboards of a plane, laid out as the slices are."""
    view = View.of(check.grid, check.axis)
    height_mm, width_mm = view.pixel_mm
    fixed = view.plane(check.fixed)
    aspect = fixed.shape[1] * width_mm / (fixed.shape[0] * height_mm)
    tiles = checker(fixed.shape, (height_mm, width_mm))

    def picture(moving: Bytes, when: str) -> Picture:
        board = np.where(tiles, view.plane(moving), fixed)
        alt = f"{view.name} checkerboard of {reference} and {role} {when} registration"
        return Picture(jpeg_uri(board), aspect, alt, view.left, view.right, view.top)

    slice_number = check.grid.shape[check.axis] - 1 - check.index if check.axis in view.flips else check.index
    name = f"{view.name}, {view.position(slice_number)}"
    return PlanePair(name, picture(check.before, "before"), picture(check.after, "after"))


def checker(shape: tuple[int, ...], pixel_mm: tuple[float, float]) -> np.ndarray:
    """Squares of equal size in mm over (row, column) pixels: True where the second picture shows."""
    size = max(shape[0] * pixel_mm[0], shape[1] * pixel_mm[1]) / TILES
    rows, columns = (np.arange(n) * mm // size for n, mm in zip(shape, pixel_mm, strict=True))
    return (rows[:, None] + columns[None, :]) % 2 == 1
