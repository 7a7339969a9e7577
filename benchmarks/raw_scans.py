#!/usr/bin/env python3
"""The two public raw studies through the chain: the figures and pictures of docs/raw-scans.md.

    benchmarks/raw_scans.py OUT [--weights FILE] [--data DIR]

DIR (default: SCANWEAVE_DATA) holds `tcga-fg-6692/` and `study-siemens/`. OUT gets <study>.png, the FLAIR's slices with
the mask's outline; the figures are printed as rows of a table. Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from scanweave import SegmentedStudy, SegmentSettings, Volume, segment
from scanweave.pipeline.evaluation.canvas import PAPER, with_palette
from scanweave.pipeline.evaluation.slice_tile import Tiles
from scanweave.transforms.axial_planes import TRAINING_AXES
from scanweave.transforms.preview import as_bytes, white_level

STUDIES = ("tcga-fg-6692", "study-siemens")
TILE, COLUMNS = 200, 6
"""Edge of a slice in pixels, and slices in a row."""


def main() -> None:
    """Segment, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SCANWEAVE_DATA", "../shared/data")))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in STUDIES:
        folder = options.data / name
        done = segment(folder, settings=SegmentSettings(weights=options.weights))
        flair = flair_of(done)
        picture(flair, done.mask).save(options.out / f"{name}.png", optimize=True)
        print(line(name, done))


def flair_of(done: SegmentedStudy) -> Volume:
    """The FLAIR's voxels as they were read."""
    from scanweave.transforms.io.dicom_volume import read_dicom_volume
    from scanweave.transforms.io.nifti import read_nifti

    series = done.roles["flair"]
    if series.source == "dicom":
        return read_dicom_volume(series)[0]
    return read_nifti(series.files[0])[0][series.volume]


def picture(flair: Volume, mask: Volume) -> Image.Image:
    """Slices from below upwards, the patient's right on the left, front at the top."""
    gray, found = (_turned(volume) for volume in (flair, mask))
    shown = as_bytes(gray, white_level(gray, 99.5))
    tiles = Tiles(_square(shown), np.zeros_like(_square(found), dtype=bool), _square(found) > 0)
    rows = -(-len(tiles) // COLUMNS)
    sheet = np.full((rows * TILE, COLUMNS * TILE, 3), PAPER, dtype=np.uint8)
    for number in range(len(tiles)):
        row, column = divmod(number, COLUMNS)
        sheet[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] = tiles.tile(number, TILE)
    return with_palette(sheet)


def line(name: str, done: SegmentedStudy) -> str:
    """The figures of one study as a row of a table."""
    distances = done.record["input_distance"]
    far = ", ".join(f"{role} {item['distance']:.2f} of {item['limit']:.2f}" for role, item in distances.items())
    moved = ", ".join(f"{role} {result.displacement_mm:.1f}" for role, result in done.registration.items())
    parts = done.components
    return (f"| {name} | {done.volume_ml:.1f} | {parts.count} | {parts.discarded_ml:.1f} | {moved} | {far} | "
            f"{len(done.warnings)} |")  # fmt: skip


def _turned(volume: Volume) -> np.ndarray:
    """(row, column, slice) as radiologists look at it."""
    wanted = nib.orientations.axcodes2ornt(TRAINING_AXES)
    order = nib.orientations.ornt_transform(nib.orientations.io_orientation(volume.affine), wanted)
    return np.asarray(nib.orientations.apply_orientation(volume.array, order))


def _square(stack: np.ndarray) -> np.ndarray:
    rows, columns, slices = stack.shape
    size = max(rows, columns)
    square = np.zeros((size, size, slices), dtype=stack.dtype)
    top, left = (size - rows) // 2, (size - columns) // 2
    square[top : top + rows, left : left + columns] = stack
    return square


if __name__ == "__main__":
    main()
