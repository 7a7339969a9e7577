"""What OHIF, Weasis and 3D Slicer need of the SEG, read from the file itself (docs/viewers.md says who needs what).

The file is made as `scanweave segment` makes it of the phantom, beside the phantom's other series. Sums on bytes and
numbers here are those of the viewers, not of the libraries that wrote the file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_series import ABNORMALITY, SETTINGS, read_real
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from scanweave.pipeline.save_seg import SEG_OUTPUTS
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.dicom_seg import SegKind, write_dicom_seg

pytest_plugins = ["study_fixtures"]

OHIF_TOLERANCE = 1e-3
"""Of orientations (cosines) and positions (mm) that OHIF takes for the same: cornerstone's default."""
WEASIS_TOLERANCE_MM = 0.01
SAME_COLOR = 2
"""Steps of 8-bit RGB: CIELab is stored in 16 bits, and every viewer has sums of its own."""


@pytest.fixture(scope="module")
def made(small_study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, list[Dataset], Volume]:
    """The SEG, every header of its study, and the mask."""
    mask, headers = read_real(small_study, "flair_*.dcm")
    everything = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(small_study.glob("*.dcm"))]
    further = [header for header in everything if header.SeriesInstanceUID != headers[0].SeriesInstanceUID]
    path = tmp_path_factory.mktemp("seg") / "segmentation.dcm"
    write_dicom_seg(path, mask, headers, further, SETTINGS)
    return pydicom.dcmread(path), everything, mask


@pytest.fixture(scope="module")
def seg(made: tuple[Dataset, list[Dataset], Volume]) -> Dataset:
    return made[0]


@pytest.fixture(scope="module")
def flair(made: tuple[Dataset, list[Dataset], Volume]) -> dict[str, Dataset]:
    """The slices of the segmented series, by their SOPInstanceUID."""
    seg, everything, _ = made
    series = seg.ReferencedSeriesSequence[0].SeriesInstanceUID
    return {header.SOPInstanceUID: header for header in everything if header.SeriesInstanceUID == series}


def source(frame: Dataset) -> Dataset:
    """Its slice, by the one way that all three viewers know: the first source image of the first derivation."""
    return frame.DerivationImageSequence[0].SourceImageSequence[0]


def normal(seg: Dataset) -> np.ndarray:
    shared = seg.SharedFunctionalGroupsSequence[0]
    along, down = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float).reshape(2, 3)
    return np.cross(along, down)


def positions(seg: Dataset) -> np.ndarray:
    """(frame, LPS mm)."""
    frames = seg.PerFrameFunctionalGroupsSequence
    return np.array([frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames], dtype=float)


# References: found in the same study, without a search


def test_one_series_is_referenced_and_it_is_the_flair(made: tuple[Dataset, list[Dataset], Volume]) -> None:
    seg, everything, _ = made
    (series,) = seg.ReferencedSeriesSequence
    own = {header.SOPInstanceUID for header in everything if header.SeriesInstanceUID == series.SeriesInstanceUID}
    (described,) = {h.SeriesDescription for h in everything if h.SeriesInstanceUID == series.SeriesInstanceUID}
    assert described == "Ax FLAIR"
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == own
    assert {header.StudyInstanceUID for header in everything} == {seg.StudyInstanceUID}


def test_each_frame_names_one_slice_of_its_own(seg: Dataset, flair: dict[str, Dataset]) -> None:
    sources = [source(frame) for frame in seg.PerFrameFunctionalGroupsSequence]
    uids = [item.ReferencedSOPInstanceUID for item in sources]
    assert len(set(uids)) == len(uids) == seg.NumberOfFrames
    assert {flair[uid].SOPClassUID for uid in uids} == {item.ReferencedSOPClassUID for item in sources}
    assert {item.SpatialLocationsPreserved for item in sources} == {"YES"}, "or Weasis looks for the place elsewhere"


# Geometry: of the slices, closer than any viewer's tolerance


def test_frames_lie_on_the_grid_of_the_flair(seg: Dataset, flair: dict[str, Dataset]) -> None:
    shared = seg.SharedFunctionalGroupsSequence[0]
    for frame, place in zip(seg.PerFrameFunctionalGroupsSequence, positions(seg), strict=True):
        header = flair[source(frame).ReferencedSOPInstanceUID]
        assert header.FrameOfReferenceUID == seg.FrameOfReferenceUID
        assert (header.Rows, header.Columns) == (seg.Rows, seg.Columns)
        assert header.PixelSpacing == shared.PixelMeasuresSequence[0].PixelSpacing
        turned = np.subtract(header.ImageOrientationPatient, shared.PlaneOrientationSequence[0].ImageOrientationPatient)
        assert np.abs(turned.astype(float)).max() < OHIF_TOLERANCE
        moved = np.abs(place - np.array(header.ImagePositionPatient, dtype=float)).max()
        assert moved < min(OHIF_TOLERANCE, WEASIS_TOLERANCE_MM)


def test_frames_are_one_even_stack_in_one_direction(seg: Dataset) -> None:
    """dcmqi refuses others ("origin is outside image geometry"), and Weasis takes its distances from them."""
    heights = positions(seg) @ normal(seg)
    steps = np.diff(heights) / float(
        seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    )
    assert np.abs(steps - np.rint(steps)).max() < OHIF_TOLERANCE
    assert (np.rint(steps) >= 1).all() or (np.rint(steps) <= -1).all()
    across = positions(seg) - positions(seg)[0] - np.outer(heights - heights[0], normal(seg))
    assert np.abs(across).max() < WEASIS_TOLERANCE_MM, "no gantry tilt"


# Frames and their order


def test_dimensions_count_segments_and_places(seg: Dataset) -> None:
    pointers = [(item.FunctionalGroupPointer, item.DimensionIndexPointer) for item in seg.DimensionIndexSequence]
    assert pointers == [(0x0062_000A, 0x0062_000B), (0x0020_9113, 0x0020_0032)]
    (organization,) = seg.DimensionOrganizationSequence
    named = {item.DimensionOrganizationUID for item in seg.DimensionIndexSequence}
    assert named == {organization.DimensionOrganizationUID}
    frames = seg.PerFrameFunctionalGroupsSequence
    indices = [tuple(frame.FrameContentSequence[0].DimensionIndexValues) for frame in frames]
    assert indices == [(1, place + 1) for place in range(len(frames))]


@pytest.mark.parametrize("kind", list(SegKind))
def test_each_frame_says_its_segment(small_study: Path, tmp_path: Path, kind: SegKind) -> None:
    """Weasis reads the number of the segment from the frame alone, never from the shared groups."""
    mask, headers = read_real(small_study, "flair_*.dcm")
    (output,) = (output for output in SEG_OUTPUTS.values() if output.kind is kind)
    write_dicom_seg(tmp_path / "seg.dcm", mask, headers, [], replace(SETTINGS, **vars(output)))
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert "SegmentIdentificationSequence" not in seg.SharedFunctionalGroupsSequence[0], "in one of them only"
    for frame in seg.PerFrameFunctionalGroupsSequence:
        named = frame.get("SegmentIdentificationSequence", [])
        assert [item.ReferencedSegmentNumber for item in named] == ([] if kind is SegKind.LABELMAP else [1])


# Pixels


def test_pixels_are_packed_bits_across_frames(seg: Dataset, flair: dict[str, Dataset], made) -> None:
    """Unpacked as dcmjs does: one row of bits, least significant first, no frame begins at a byte of its own."""
    assert seg.SOPClassUID == SegmentationStorage
    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (seg.BitsAllocated, seg.BitsStored, seg.HighBit, seg.PixelRepresentation) == (1, 1, 0, 0)
    assert (seg.SamplesPerPixel, seg.PhotometricInterpretation) == (1, "MONOCHROME2")
    voxels = seg.NumberOfFrames * seg.Rows * seg.Columns
    assert len(seg.PixelData) == (voxels + 15) // 16 * 2, "whole bytes, an even number"
    row = [byte >> bit & 1 for byte in seg.PixelData for bit in range(8)]
    frames = np.array(row[:voxels]).reshape(seg.NumberOfFrames, seg.Rows, seg.Columns)
    mask = made[2]
    assert frames.sum() == mask.array.sum() and frames.any(axis=(1, 2)).all()
    assert not any(row[voxels:])


# What a list of segments shows


def test_segment_is_named_coded_and_coloured(seg: Dataset) -> None:
    (segment,) = seg.SegmentSequence
    assert (segment.SegmentNumber, segment.SegmentLabel) == (1, ABNORMALITY.label)
    assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", SETTINGS.algorithm)
    for keyword in ("SegmentedPropertyCategoryCodeSequence", "SegmentedPropertyTypeCodeSequence"):
        (code,) = segment[keyword].value
        assert code.CodingSchemeDesignator == "SCT" and code.CodeValue.isdigit() and code.CodeMeaning
    assert seg.SegmentsOverlap == "NO"
    shown = rgb(np.array(segment.RecommendedDisplayCIELabValue))
    assert np.abs(shown - ABNORMALITY.color_rgb).max() <= SAME_COLOR


def rgb(stored: np.ndarray) -> np.ndarray:
    """8-bit RGB of a CIELab value of DICOM (PS3.3 C.10.7.1.1), by scikit-image, with the white of dcmjs (D65)."""
    from skimage.color import lab2rgb

    lab = stored / 65535 * (100, 255, 255) - (0, 128, 128)
    return np.rint(255 * lab2rgb(lab, illuminant="D65"))
