"""Folders of 2-D slices made from the phantom, in the layouts that people have them in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from studies import COLUMNS, ROLES

from scanweave.transforms.io.dicom_index import index_dicom
from scanweave.transforms.io.dicom_volume import read_dicom_volume

PATIENT = "TCGA_XX_0001_20010203"
BRIGHT = 0.55
"""Of the FLAIR's maximum: what the given masks hold."""


def phantom_slices(study: Path) -> np.ndarray:
    """(slice, row, column, channel) uint8 of the small DICOM study, each channel scaled to its maximum."""
    channels = []
    for series in index_dicom(sorted(study.glob("*.dcm"))).series:
        volume, _ = read_dicom_volume(series)
        array = volume.array[:COLUMNS].transpose(2, 1, 0).astype(np.float64)
        channels.append(array / array.max() * 255)
    assert len(channels) == len(ROLES)
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def bright_masks(slices: np.ndarray) -> np.ndarray:
    """(slice, row, column) uint8, 0 or 255: what is bright on the FLAIR."""
    return np.where(slices[..., 1] > BRIGHT * slices[..., 1].max(), 255, 0).astype(np.uint8)


def write_lgg(folder: Path, slices: np.ndarray, masks: np.ndarray | None = None, suffix: str = ".tif") -> Path:
    """`folder`/<its name>_<n><suffix>, n from 1 without leading zeros, and <its name>_<n>_mask<suffix>."""
    folder.mkdir(parents=True)
    for n, pixels in enumerate(slices, start=1):
        Image.fromarray(pixels).save(folder / f"{folder.name}_{n}{suffix}")
    for n, pixels in enumerate(() if masks is None else masks, start=1):
        Image.fromarray(pixels).save(folder / f"{folder.name}_{n}_mask{suffix}")
    return folder


def write_pairs(folder: Path, slices: np.ndarray, masks: np.ndarray, names: tuple[str, str]) -> Path:
    """`folder`/<first name>/<n>.png with `folder`/<second name>/<n>.png."""
    for name, pictures in zip(names, (slices, masks), strict=True):
        (folder / name).mkdir(parents=True)
        for n, pixels in enumerate(pictures, start=1):
            Image.fromarray(pixels).save(folder / name / f"{n}.png")
    return folder


def stacked_masks(result: Path, count: int) -> np.ndarray:
    """(slice, row, column) of the written masks, in order of the number in their names."""
    files = sorted((result / "masks").glob("*_mask.png"), key=lambda path: int(path.stem.split("_")[-2]))
    assert len(files) == count
    pictures = [Image.open(path) for path in files]
    assert {picture.mode for picture in pictures} == {"L"}
    return np.stack([np.asarray(picture) for picture in pictures])
