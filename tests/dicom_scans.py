"""Scans that hypothesis invents, of any place, direction, spacing and voxels: as DICOM, and as they should be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from dicom_forms import BITS, mr_slices
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume

DECIMALS = 9
"""Of numbers in headers: a decimal string has 16 letters (PS3.5 6.2)."""


@dataclass(frozen=True)
class Scan:
    """What a scanner writes. `axes` are the directions along a row, down a column and from slice to slice, LPS."""

    axes: np.ndarray
    origin: np.ndarray  # of the first slice, LPS mm
    spacing: tuple[float, float, float]  # between columns, rows and slices, mm
    values: np.ndarray  # as stored, (slice, row, column)
    slopes: tuple[float, ...] = ()
    intercepts: tuple[float, ...] = ()

    def slices(self) -> list[Dataset]:
        """The images, from the first slice to the last."""
        made = mr_slices(self.axes, self.values)
        for n, item in enumerate(made):
            item.ImagePositionPatient = _decimals(self.origin + n * self.spacing[2] * self.axes[2])
            item.ImageOrientationPatient = _decimals(self.axes[:2].ravel())
            item.PixelSpacing = _decimals((self.spacing[1], self.spacing[0]))
            if self.slopes:
                item.RescaleSlope, item.RescaleIntercept = self.slopes[n], self.intercepts[n]
        return made

    def volume(self) -> Volume:
        """As it is to be read: (column, row, slice) in RAS, slices along row x column direction, after the rescale."""
        array = self.values.astype(np.float64)
        if self.slopes:
            array = array * np.reshape(self.slopes, (-1, 1, 1)) + np.reshape(self.intercepts, (-1, 1, 1))
        affine = np.eye(4)
        affine[:3, :3] = self.axes.T * self.spacing
        affine[:3, 3] = self.origin
        if np.dot(np.cross(self.axes[0], self.axes[1]), self.axes[2]) < 0:
            affine[:3, 3] = self.origin + (len(array) - 1) * self.spacing[2] * self.axes[2]
            affine[:3, 2] *= -1
            array = array[::-1]
        return Volume(array.transpose(2, 1, 0).astype(np.float32), LPS_FROM_RAS @ affine)

    def part(self, first: int, end: int) -> Scan:
        """Only those slices, as if the others had not been acquired."""
        return replace(
            self,
            origin=self.origin + first * self.spacing[2] * self.axes[2],
            values=self.values[first:end],
            slopes=self.slopes[first:end],
            intercepts=self.intercepts[first:end],
        )


def _decimals(values: Sequence[float] | np.ndarray) -> list[float]:
    return [round(float(value), DECIMALS) for value in values]


@st.composite
def scans(draw: st.DrawFn, least: int = 3, rescaled: bool = False, edge: int = 4) -> Scan:
    """Any scan of at least so many slices and pixels along an edge: in the patient's axes or oblique, from any side."""
    turn = Rotation.from_rotvec(draw(st.one_of(st.just((0.0, 0.0, 0.0)), st.tuples(*[st.floats(-3, 3)] * 3))))
    signs = np.array(draw(st.tuples(*[st.sampled_from((1.0, -1.0))] * 3)))
    axes = (np.eye(3)[list(draw(st.permutations(range(3))))] * signs[:, None]) @ turn.as_matrix()
    shape = draw(st.tuples(st.integers(least, 6), *[st.integers(edge, edge + 3)] * 2))
    values = np.random.default_rng(draw(st.integers(0, 2**32))).integers(0, 2**BITS, shape)
    spacing = draw(st.tuples(st.floats(0.2, 4), st.floats(0.2, 4), st.floats(0.4, 12)))
    origin = np.array(draw(st.tuples(*[st.floats(-400, 400)] * 3)))
    if not rescaled:
        return Scan(axes, origin, spacing, values)
    # Eighths and whole numbers: what comes of them is exact in float32.
    slopes = draw(st.lists(st.integers(1, 80).map(lambda n: n / 8), min_size=shape[0], max_size=shape[0]))
    intercepts = draw(st.lists(st.integers(-1024, 1024), min_size=shape[0], max_size=shape[0]))
    return Scan(axes, origin, spacing, values, tuple(slopes), tuple(map(float, intercepts)))


_LETTERS = st.characters(categories=["L", "N", "Zs"], include_characters="._-#'()")
names = st.lists(
    st.text(_LETTERS, min_size=1, max_size=20).filter(lambda name: name.strip(". ") == name and not _taken(name)),
    min_size=8,
    max_size=8,
    unique_by=str.casefold,
)
"""Names for files and folders, of any letters."""


def _taken(name: str) -> bool:
    """Names that mean something: a NIfTI file, a directory, what macOS leaves."""
    return name.lower().endswith((".nii", ".gz")) or name.upper() == "DICOMDIR" or name.startswith("._")


def write(items: Sequence[Dataset], folder: Path, called: Sequence[str] = ()) -> Path:
    """The images as files of those names, which may name folders too; of running numbers else."""
    for n, item in enumerate(items):
        path = folder / (called[n] if called else f"{n}.dcm")
        path.parent.mkdir(parents=True, exist_ok=True)
        item.save_as(path, enforce_file_format=True)
    return folder
