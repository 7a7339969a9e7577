"""Where voxels lie follows from ImageOrientationPatient and ImagePositionPatient alone, however the patient lay."""

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from dicom_forms import COLUMNS, ROWS, SPACING, TURN_DEG, mr_slices, pixels_of, read_only, save
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from scanweave.errors import Code
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_geometry import (
    DUPLICATE_TOLERANCE_MM,
    SPACING_TOLERANCE_MM,
    TILT_TOLERANCE_MM,
    SliceGeometry,
    geometry_problems,
)
from scanweave.transforms.resample import resample

POSITIONS = ("HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL", "LFP", "AFP", "")
"""PatientPosition (PS3.3 C.7.3.1.1.2): head or feet first, supine, prone, on a side; odd ones, and none."""
AXES = Rotation.from_euler("zyx", TURN_DEG, degrees=True).as_matrix().T
HALF_TURNS = [np.diag(signs) for signs in product((1, -1), repeat=3) if np.prod(signs) == 1]


def assert_written_places(volume: Volume, slices: list) -> None:
    """Each stored pixel is found at the place that the standard's equation (C.7.6.2.1-1) gives it."""
    to_index = np.linalg.inv(LPS_FROM_RAS @ volume.affine)
    for item in slices:
        row_axis, column_axis = np.array(item.ImageOrientationPatient, float).reshape(2, 3)
        between_rows, between_columns = map(float, item.PixelSpacing)
        for row, column in ((0, 0), (0, COLUMNS - 1), (ROWS - 1, 0), (17, 5)):
            place = np.array(item.ImagePositionPatient, float)
            place = place + row_axis * between_columns * column + column_axis * between_rows * row
            exact = to_index @ [*place, 1]
            index = tuple(np.rint(exact[:3]).astype(int))
            assert np.abs(exact[:3] - index).max() < 1e-3
            assert volume.array[index] == pixels_of(item)[row, column]


@pytest.mark.parametrize("position", POSITIONS)
def test_position_of_the_patient_changes_nothing(position: str, tmp_path: Path) -> None:
    """Scanners put it into orientation and position already; whoever applies it again turns the patient round."""

    def change(dataset, n):
        dataset.PatientPosition = position
        dataset.PatientOrientation = ["A", "F"]

    volume = read_only(save(mr_slices(), tmp_path / "s", change))
    assert_written_places(volume, mr_slices())


@pytest.mark.parametrize("turn", HALF_TURNS, ids=["supine head first", "feet first prone", "prone", "feet first"])
@pytest.mark.parametrize("order", list(permutations((0, 1, 2))), ids=str)
@pytest.mark.parametrize("backwards", [False, True])
def test_every_plane_and_direction(turn: np.ndarray, order: tuple, backwards: bool, tmp_path: Path) -> None:
    """Axial, coronal and sagittal, from either side, first slice first or last: 48 ways to scan the same patient."""
    axes = (AXES[list(order)] @ turn) * np.array([[1], [1], [-1 if backwards else 1]])
    slices = mr_slices(axes)
    volume = read_only(save(slices, tmp_path / "s"))
    assert np.linalg.det(volume.affine[:3, :3]) > 0, "slices come along row x column"
    assert_written_places(volume, slices)


def test_the_same_head_scanned_supine_and_prone_lies_at_the_same_place(tmp_path: Path) -> None:
    """A slice read the other way round with its rows and columns reversed is the same image of the same points."""
    slices = mr_slices()
    turned = []
    for item in mr_slices():
        row_axis, column_axis = np.array(item.ImageOrientationPatient, float).reshape(2, 3)
        last = np.array(item.ImagePositionPatient, float) + row_axis * SPACING[2] * (COLUMNS - 1)
        last += column_axis * SPACING[1] * (ROWS - 1)
        item.ImagePositionPatient = [f"{value:.9f}" for value in last]
        item.ImageOrientationPatient = [f"{-value:.9f}" for value in (*row_axis, *column_axis)]
        item.PixelData = pixels_of(item)[::-1, ::-1].tobytes()
        item.PatientPosition = "HFP"
        turned.append(item)
    one = read_only(save(slices, tmp_path / "supine"))
    other = read_only(save(turned, tmp_path / "prone"))
    there, _ = resample(other, one.grid)
    assert np.allclose(there, one.array, atol=0.1)


# --- laws of the checks ---------------------------------------------------------------------------------------------


@st.composite
def blocks(draw: st.DrawFn) -> list[SliceGeometry]:
    """A regular block of slices anywhere, in any orientation, spacing and order."""
    turn = Rotation.from_rotvec(draw(st.tuples(*[st.floats(-3, 3)] * 3)))
    axes = turn.as_matrix().T
    count = draw(st.integers(3, 12))
    step = draw(st.floats(0.4, 12))
    start = np.array(draw(st.tuples(*[st.floats(-300, 300)] * 3)))
    spacing = draw(st.tuples(*[st.floats(0.2, 3)] * 2))
    order = draw(st.permutations(range(count)))
    orientation = tuple(axes[:2].ravel())
    return [SliceGeometry(orientation, tuple(start + axes[2] * step * n), spacing, 256, 192) for n in order]


LAWS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def moved(item: SliceGeometry, along: np.ndarray, mm: float) -> SliceGeometry:
    position = tuple(np.array(item.position) + along * mm)
    return SliceGeometry(item.orientation, position, item.pixel_spacing, item.rows, item.columns)


def codes_of(block: list[SliceGeometry]) -> set[Code]:
    return {problem.code for problem in geometry_problems(block, "series")}


def ends(block: list[SliceGeometry]) -> tuple[list[SliceGeometry], float]:
    """The block in order along its normal, and the distance of neighbours."""
    inner = sorted(block, key=lambda item: float(np.dot(item.position, block[0].normal)))
    return inner, float(np.dot(np.array(inner[1].position) - inner[0].position, inner[0].normal))


@LAWS
@given(blocks())
def test_a_regular_block_has_no_problem(block: list[SliceGeometry]) -> None:
    assert codes_of(block) == set()


@LAWS
@given(blocks(), st.integers(0, 10))
def test_a_missing_slice_inside_is_always_told(block: list[SliceGeometry], which: int) -> None:
    inner, _ = ends(block)
    if len(inner) > 3:
        inner.pop(1 + which % (len(inner) - 2))
        assert codes_of(inner) == {Code.MISSING_SLICE}


@LAWS
@given(blocks(), st.floats(2 * SPACING_TOLERANCE_MM, 0.4))
def test_a_slice_off_its_place_is_always_told(block: list[SliceGeometry], mm: float) -> None:
    inner, step = ends(block)
    if step > 1.5:
        inner[1] = moved(inner[1], inner[1].normal, mm)
        assert codes_of(inner) == {Code.UNEVEN_SPACING}


@LAWS
@given(blocks(), st.floats(0, 0.4 * SPACING_TOLERANCE_MM))
def test_the_rounding_of_scanners_is_never_told(block: list[SliceGeometry], mm: float) -> None:
    inner, _ = ends(block)
    inner[1] = moved(inner[1], inner[1].normal, mm)
    assert codes_of(inner) == set()


@LAWS
@given(blocks(), st.floats(1.5 * TILT_TOLERANCE_MM, 60))
def test_a_tilt_is_always_told(block: list[SliceGeometry], mm: float) -> None:
    inner, _ = ends(block)
    aside = np.array(inner[0].orientation[3:])
    assert codes_of([moved(item, aside, mm * n / (len(inner) - 1)) for n, item in enumerate(inner)]) == {Code.TILT}


@LAWS
@given(blocks(), st.floats(0, 0.4 * DUPLICATE_TOLERANCE_MM))
def test_two_slices_at_one_place_are_always_told(block: list[SliceGeometry], mm: float) -> None:
    again = moved(block[0], block[0].normal, mm)
    assert codes_of([*block, again]) == {Code.DUPLICATE_POSITION}


@LAWS
@given(blocks(), st.floats(0.5, 90), st.integers(0, 2))
def test_a_turned_slice_is_always_told(block: list[SliceGeometry], degrees: float, axis: int) -> None:
    about = np.eye(3)[axis]
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * about).as_matrix()
    cosines = np.array(block[0].orientation).reshape(2, 3) @ turn.T
    if np.abs(cosines.ravel() - block[0].orientation).max() > 2e-3:
        odd = SliceGeometry(tuple(cosines.ravel()), block[0].position, block[0].pixel_spacing, 256, 192)
        assert Code.MIXED_ORIENTATION in codes_of([odd, *block[1:]])
