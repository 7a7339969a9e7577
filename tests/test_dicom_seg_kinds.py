"""Probabilities and label maps as DICOM Segmentations, and frames for every slice: the voxels as readers see them."""

from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_series import (
    FLAGGED,
    FOREIGN_FLAIR,
    FOREIGN_T1,
    LABEL_MAP_STORAGE,
    SETTINGS,
    SLICES,
    lesion,
    mr_series,
    read_dcmqi,
    read_headers,
    read_highdicom,
    read_real,
    same_in_space,
    turned,
)
from external_tools import dicom_errors
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from scanweave.errors import UsageError
from scanweave.pipeline.save_seg import SEG_OUTPUTS
from scanweave.pipeline.save_study import SaveStudyd
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_seg import MAX_FRACTION, SegKind, holds_something, write_dicom_seg

HALF_A_STEP = 0.5 / MAX_FRACTION
KINDS = pytest.mark.parametrize("kind", list(SegKind))
EVERY_FRAME = pytest.mark.parametrize("all_frames", [False, True])


def settings(kind: SegKind, all_frames: bool = False, base=SETTINGS):
    """As a run has them for that kind."""
    (output,) = (output for output in SEG_OUTPUTS.values() if output.kind is kind)
    return replace(base, **vars(output), all_frames=all_frames)


def likely(affine):
    """Probabilities without any symmetry: high in the lesion, low beside it, too low to be stored elsewhere."""
    array = np.full(lesion(affine).array.shape, 0.9 * HALF_A_STEP, np.float32)
    array[1:10, 2:13, 1:4] = 0.25
    array[0, 0, 9] = 1.1 * HALF_A_STEP
    inside = lesion(affine).array > 0
    array[inside] = np.linspace(0.5, 1, int(inside.sum()), dtype=np.float32)
    return Volume(array, affine)


def segment(kind: SegKind, affine):
    return likely(affine) if kind is SegKind.FRACTIONAL else lesion(affine)


def stored(kind: SegKind, affine):
    """Where the file must hold something."""
    return Volume((segment(kind, affine).array > (HALF_A_STEP if kind is SegKind.FRACTIONAL else 0)), affine)


def read_probabilities(path: Path) -> Volume:
    volume = hd.seg.segread(path).get_volume(segment_numbers=[1], rescale_fractional=True).squeeze_channel()
    return Volume(volume.array, LPS_FROM_RAS @ volume.affine)


def read_marked(path: Path, kind: SegKind) -> Volume:
    """The voxels that are more than nothing."""
    return read_probabilities(path) if kind is SegKind.FRACTIONAL else read_highdicom(path, path.parent)


# The voxels lie where the segment says


@EVERY_FRAME
@KINDS
def test_every_voxel_comes_back_at_its_place(tmp_path, kind, all_frames):
    headers, affine = mr_series()
    sent = turned(segment(kind, affine), (1, 2, 0), (0, 2))
    write_dicom_seg(tmp_path / "seg.dcm", sent, headers, [], settings(kind, all_frames))
    back = read_marked(tmp_path / "seg.dcm", kind)
    assert same_in_space(stored(kind, affine), back)
    for axis in range(3):
        assert not same_in_space(Volume(np.flip(stored(kind, affine).array, axis), affine), back)


@EVERY_FRAME
def test_probabilities_come_back_to_half_a_step(tmp_path, all_frames):
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", likely(affine), headers, [], settings(SegKind.FRACTIONAL, all_frames))
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (seg.SegmentationType, seg.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    assert (seg.MaximumFractionalValue, seg.BitsAllocated) == (255, 8)
    shown = read_probabilities(tmp_path / "seg.dcm")
    sent = likely(affine).array
    at = np.argwhere(sent > HALF_A_STEP)
    points = likely(affine).grid.points(at) - shown.affine[:3, 3]
    there = np.rint(points @ np.linalg.inv(shown.affine[:3, :3]).T).astype(int)
    assert np.abs(shown.array[tuple(there.T)] - sent[tuple(at.T)]).max() <= HALF_A_STEP + 1e-6
    assert shown.array.max() == 1


@KINDS
def test_dcmqi_reads_it_too(tmp_path, kind):
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", segment(kind, affine), headers, [], settings(kind))
    back = read_dcmqi(tmp_path / "seg.dcm", tmp_path)
    assert same_in_space(stored(kind, affine), back)


# Frames


@KINDS
def test_frames_are_those_that_hold_something_or_all(tmp_path, kind):
    headers, affine = mr_series()
    places = {h.SOPInstanceUID: [float(x) for x in h.ImagePositionPatient] for h in headers}
    occupied = int(stored(kind, affine).array.any(axis=(0, 1)).sum())
    assert 0 < occupied < SLICES
    for all_frames, count in ((False, occupied), (True, SLICES)):
        write_dicom_seg(tmp_path / "seg.dcm", segment(kind, affine), headers, [], settings(kind, all_frames))
        seg = pydicom.dcmread(tmp_path / "seg.dcm")
        assert seg.NumberOfFrames == len(seg.PerFrameFunctionalGroupsSequence) == count
        sources = [f.DerivationImageSequence[0].SourceImageSequence[0] for f in seg.PerFrameFunctionalGroupsSequence]
        assert len({source.ReferencedSOPInstanceUID for source in sources}) == count
        for frame, source in zip(seg.PerFrameFunctionalGroupsSequence, sources, strict=True):
            found = [float(x) for x in frame.PlanePositionSequence[0].ImagePositionPatient]
            assert found == places[source.ReferencedSOPInstanceUID]


@pytest.mark.parametrize(("word", "meant"), [("true", True), ("False", False), (True, True), (False, False)])
def test_the_bundles_switch_means_what_it_says(word, meant):
    assert SaveStudyd("bundle", {}, None, seg_all_frames=word).seg_all_frames is meant


def test_the_bundles_switch_takes_no_other_word():
    with pytest.raises(UsageError, match="seg_all_frames"):
        SaveStudyd("bundle", {}, None, seg_all_frames="some")


# The same run twice is one result, and each object is its own


@EVERY_FRAME
@KINDS
def test_neither_order_of_the_sources_nor_time_changes_a_byte(tmp_path, data_dir, kind, all_frames):
    mask, headers = read_real(data_dir, FOREIGN_FLAIR)
    further = read_headers(data_dir, *FOREIGN_T1)
    values = mask.array * np.float32(0.7) if kind is SegKind.FRACTIONAL else mask.array
    for name, step in (("one", 1), ("two", -1)):
        write_dicom_seg(
            tmp_path / name,
            Volume(values, mask.affine),
            headers[::step],
            further[::step],
            settings(kind, all_frames, FLAGGED),
        )
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert same_in_space(mask, read_marked(tmp_path / "one", kind))


def test_objects_of_one_finding_share_what_is_tracked_and_nothing_else(tmp_path):
    headers, affine = mr_series()
    read = []
    for kind in SegKind:
        for all_frames in (False, True):
            write_dicom_seg(tmp_path / "seg.dcm", segment(kind, affine), headers, [], settings(kind, all_frames))
            read.append(pydicom.dcmread(tmp_path / "seg.dcm"))
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({seg[keyword].value for seg in read}) == len(read), keyword
    for keyword in ("SeriesNumber", "SeriesDescription", "ContentLabel"):
        assert len({str(seg[keyword].value) for seg in read}) == len(SegKind), keyword
    assert len({seg.SegmentSequence[-1].TrackingUID for seg in read}) == 1
    assert len({seg.SegmentSequence[-1].TrackingID for seg in read}) == 1
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "ContentDate", "ContentTime"):
        assert len({seg[keyword].value for seg in read}) == 1, keyword


def test_probabilities_count_for_the_instance_and_their_noise_does_not(tmp_path):
    headers, affine = mr_series()
    uids = []
    for change in (0.0, 1e-6, 0.01):
        values = Volume(np.clip(likely(affine).array + np.float32(change), 0, 1), affine)
        write_dicom_seg(tmp_path / "seg.dcm", values, headers, [], settings(SegKind.FRACTIONAL, all_frames=True))
        uids.append(pydicom.dcmread(tmp_path / "seg.dcm").SOPInstanceUID)
    assert uids[0] == uids[1] != uids[2]


# What the file says


@EVERY_FRAME
@pytest.mark.parametrize("base", [SETTINGS, FLAGGED])
@pytest.mark.parametrize("kind", [SegKind.BINARY, SegKind.FRACTIONAL])
def test_validator_finds_no_error(tmp_path, kind, base, all_frames):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    write_dicom_seg(tmp_path / "seg.dcm", segment(kind, affine), headers, further, settings(kind, all_frames, base))
    assert dicom_errors(tmp_path / "seg.dcm") == []


def test_a_label_map_is_a_valid_segmentation_but_for_its_kind(tmp_path):
    """The validator is older than Supplement 243: it is shown the same modules as the SOP class that it knows."""
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, mr_series("1.2.3.4")[0], settings(SegKind.LABELMAP))
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert seg.SOPClassUID == seg.file_meta.MediaStorageSOPClassUID == LABEL_MAP_STORAGE
    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert (seg.SegmentationType, seg.PhotometricInterpretation, seg.PixelPaddingValue) == (
        "LABELMAP",
        "MONOCHROME2",
        0,
    )
    assert [segment.SegmentNumber for segment in seg.SegmentSequence] == [0, 1]
    assert seg.SegmentSequence[0].SegmentLabel == "Background"
    seg.SOPClassUID = seg.file_meta.MediaStorageSOPClassUID = SegmentationStorage
    seg.save_as(tmp_path / "old.dcm", enforce_file_format=True)
    errors = dicom_errors(tmp_path / "old.dcm")
    own = ("value = <LABELMAP>", "SegmentNumber(0062,0004)", "SegmentIdentificationSequence(0062,000a)>")
    assert errors
    assert not [line for line in errors if not any(what in line for what in own)]


@KINDS
def test_doubt_stands_in_every_kind(tmp_path, kind):
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", segment(kind, affine), headers, [], settings(kind, base=FLAGGED))
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert seg.SeriesDescription.startswith("REVIEW: scanweave")
    assert "REVIEW" in seg.ContentDescription
    said = seg.SegmentSequence[-1].SegmentDescription
    assert all(reason in said for reason in (*FLAGGED.flags, "post"))
    assert ("before the threshold" in said) == (kind is SegKind.FRACTIONAL)


# What is refused


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused(tmp_path, value):
    headers, affine = mr_series()
    wrong = likely(affine).array.copy()
    wrong[3, 4, 5] = value
    with pytest.raises(ValueError, match="probabilities"):
        write_dicom_seg(tmp_path / "seg.dcm", Volume(wrong, affine), headers, [], settings(SegKind.FRACTIONAL))
    assert not (tmp_path / "seg.dcm").exists()


@KINDS
def test_nothing_to_store_is_refused(tmp_path, kind):
    headers, affine = mr_series()
    nothing = np.zeros(lesion(affine).array.shape, np.float32)
    if kind is SegKind.FRACTIONAL:
        nothing[:] = 0.99 * HALF_A_STEP
    assert not holds_something(Volume(nothing, affine), kind)
    with pytest.raises(ValueError, match="not empty"):
        write_dicom_seg(tmp_path / "seg.dcm", Volume(nothing, affine), headers, [], settings(kind, all_frames=True))
