"""The overlay series: pictures that lie where their slices do, say what must be said, and are the same twice."""

import datetime
import re
from dataclasses import replace

import highdicom as hd
import numpy as np
import pytest
from dicom_series import (
    COLUMNS,
    FLAGGED,
    FOREIGN_FLAIR,
    FOREIGN_T1,
    ROWS,
    SETTINGS,
    SLICES,
    VENDORS,
    every_element,
    lesion,
    mr_series,
    read_headers,
    read_real,
    turned,
)
from external_tools import dicom_errors, run_tool
from overlays import DOUBTED, is_colour, write
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from scanweave.pipeline.overlay_pictures import OUTLINE, SMALLEST_WIDTH
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume

SAME_MM = 0.01


def outlined(picture):
    """Row and column (fractional, in the picture) of each pixel of the outline over the slice."""
    zoom = picture.Columns // COLUMNS
    return np.argwhere(is_colour(picture.pixel_array[: ROWS * zoom], OUTLINE))


def place(picture, pixels):
    """LPS mm of pixels (PS3.3 equation C.7.6.2.1-1), from the picture's own header."""
    along, down = np.reshape(np.array(picture.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, picture.PixelSpacing)
    steps = np.asarray(pixels, float) * (between_rows, between_columns)
    return np.array(picture.ImagePositionPatient, float) + steps[:, :1] * down + steps[:, 1:] * along


# The pictures lie where their slices do


@pytest.mark.parametrize(("axes", "flips"), [((0, 1, 2), ()), ((1, 2, 0), (0, 2))])
def test_the_outline_runs_around_the_mask_in_space(tmp_path, axes, flips):
    headers, affine = mr_series()
    mask = lesion(affine)
    read = write(tmp_path / "sc", turned(mask, axes, flips), headers)
    assert len(read) == SLICES
    seen = 0
    for rank, picture in enumerate(read):
        pixels = outlined(picture)
        expected = mask.array[:, :, rank].T.astype(bool)  # row, column
        assert bool(len(pixels)) == expected.any()
        if not len(pixels):
            continue
        points = place(picture, pixels) @ LPS_FROM_RAS[:3, :3]
        found = (points - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T  # column, row, slice
        assert np.abs(found[:, 2] - rank).max() * 5.5 < SAME_MM
        # Every pixel of the line is within one of the picture's pixels of an edge between inside and outside.
        padded = np.pad(expected, 1)
        reach = 1.01 / (picture.Columns / COLUMNS)
        for column, row, _ in found[:: max(1, len(found) // 200)]:
            around = {
                bool(padded[int(np.floor(r + 0.5)) + 1, int(np.floor(c + 0.5)) + 1])
                for r in (row - reach, row, row + reach)
                for c in (column - reach, column, column + reach)
            }
            assert around == {True, False}
        seen += 1
    assert seen == 3


def test_a_picture_has_the_place_of_its_source(tmp_path):
    headers, affine = mr_series()
    read = write(tmp_path / "sc", lesion(affine), headers)
    sources = {header.SOPInstanceUID: header for header in headers}
    for picture in read:
        (reference,) = picture.SourceImageSequence
        source = sources.pop(reference.ReferencedSOPInstanceUID)
        zoom = picture.Columns // COLUMNS
        assert zoom > 1 and picture.Columns % COLUMNS == 0
        assert picture.InstanceNumber == source.InstanceNumber
        assert picture.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert list(picture.ImageOrientationPatient) == list(source.ImageOrientationPatient)
        # The middle of each source pixel is the middle of the square that it became.
        pixels = np.array([(0, 0), (ROWS - 1, 0), (0, COLUMNS - 1), (7, 11)])
        middles = place(picture, (pixels + 0.5) * zoom - 0.5)
        assert np.abs(middles - place(source, pixels)).max() < 1e-6
    assert not sources
    heights = [np.dot(place(p, [(0, 0)])[0], np.cross(*np.reshape(p.ImageOrientationPatient, (2, 3)))) for p in read]
    assert heights == sorted(heights)


def test_letters_of_orientation_follow_the_axes(tmp_path):
    headers, affine = mr_series()
    (picture, *_) = write(tmp_path / "sc", lesion(affine), headers)
    volume = hd.Volume(np.zeros((1, 1, 1), np.uint8), LPS_FROM_RAS @ affine[:, [2, 1, 0, 3]], "PATIENT")
    _, down, along = (letter.value for letter in volume.get_closest_patient_orientation())
    assert list(picture.PatientOrientation) == [along, down]


@pytest.mark.parametrize("numbers", [[5] * SLICES, [None] * SLICES, [0, *range(2, SLICES + 1)]])
def test_without_distinct_numbers_pictures_are_counted(tmp_path, numbers):
    headers, affine = mr_series()
    for header, number in zip(headers, numbers, strict=True):
        header.InstanceNumber = number
    read = write(tmp_path / "sc", lesion(affine), headers)
    assert [picture.InstanceNumber for picture in read] == list(range(1, SLICES + 1))


@pytest.mark.parametrize("vendor", VENDORS)
def test_series_of_every_vendor_can_be_drawn(tmp_path, data_dir, vendor):
    pattern = f"dicom-vendors/{vendor}/anatomical/001/*.dcm"
    mask, headers = read_real(data_dir, pattern)
    read = write(tmp_path / "sc", mask, headers)
    files = sorted((tmp_path / "sc").iterdir())
    assert len(read) == mask.array.shape[0] and min(picture.Columns for picture in read) >= SMALLEST_WIDTH
    frames = [picture.SourceImageSequence[0].get("ReferencedFrameNumber") for picture in read]
    assert sorted(frames) == list(range(1, len(read) + 1)) if len(headers) == 1 else set(frames) == {None}
    # As with the SEG: an age that is none ("0Y") is the source's.
    inherited = dicom_errors(sorted(data_dir.glob(pattern))[0])
    assert set(dicom_errors(files[0])) <= {line for line in inherited if "PatientAge" in line}


# What the files say


@pytest.mark.parametrize("settings", [SETTINGS, FLAGGED])
def test_validator_finds_no_error(tmp_path, settings):
    headers, affine = mr_series()
    write(tmp_path / "sc", lesion(affine), headers, mr_series("1.2.3.4")[0], settings)
    for path in (tmp_path / "sc").iterdir():
        assert dicom_errors(path) == []


def test_files_and_their_sources_are_one_patient_and_study(tmp_path):
    headers, affine = mr_series()
    read = write(tmp_path / "sc", lesion(affine), headers)
    for keyword in (
        *("PatientName", "PatientID", "PatientSex", "PatientBirthDate", "PatientAge", "AccessionNumber"),
        *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "SpecificCharacterSet"),
        *("ReferringPhysicianName", "FrameOfReferenceUID"),
    ):
        assert {picture[keyword].value for picture in read} == {headers[0][keyword].value}, keyword
    for header in headers:
        header.save_as(tmp_path / f"{header.SOPInstanceUID}.dcm", enforce_file_format=True)
    judged = run_tool("dcentvfy", *tmp_path.glob("*.dcm"), *(tmp_path / "sc").iterdir())
    assert judged.stdout + judged.stderr == ""


def test_every_viewer_can_show_it(tmp_path):
    headers, affine = mr_series()
    for picture in write(tmp_path / "sc", lesion(affine), headers):
        assert picture.SOPClassUID == SecondaryCaptureImageStorage and "NumberOfFrames" not in picture
        assert picture.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert (picture.PhotometricInterpretation, picture.SamplesPerPixel, picture.BitsAllocated) == ("RGB", 3, 8)
        assert picture.PlanarConfiguration == 0
        assert (picture.BurnedInAnnotation, picture.Modality, picture.SeriesNumber) == ("YES", "OT", 4004)
        assert len(picture.PixelData) % 2 == 0


def test_doubt_stands_in_the_headers_too(tmp_path):
    headers, affine = mr_series()
    (plain, *_) = write(tmp_path / "plain", lesion(affine), headers)
    (doubted, *_) = write(tmp_path / "doubted", lesion(affine), headers, settings=FLAGGED)
    assert "REVIEW" not in plain.SeriesDescription
    assert doubted.SeriesDescription.startswith("REVIEW")
    assert all(reason in doubted.ImageComments for reason in (*FLAGGED.flags, "post", "Research use only"))


# The same run twice is one result


def test_neither_order_of_the_sources_nor_time_changes_a_byte(tmp_path, data_dir):
    mask, headers = read_real(data_dir, FOREIGN_FLAIR)
    further = read_headers(data_dir, *FOREIGN_T1)
    for name, step in (("one", 1), ("two", -1)):
        write(tmp_path / name, mask, headers[::step], further[::step], FLAGGED, DOUBTED)
    one, two = ([path.read_bytes() for path in sorted((tmp_path / name).iterdir())] for name in ("one", "two"))
    assert len(one) == len(headers) and one == two


def test_every_date_and_uid_is_the_sources_or_follows_from_it(tmp_path):
    headers, affine = mr_series()
    sources = {str(e.value) for h in headers for e in every_element(h)}
    read = write(tmp_path / "sc", lesion(affine), headers)
    for picture in read:
        assert {str(e.value) for e in every_element(picture) if e.VR in ("DA", "TM", "DT")} <= sources
        assert datetime.date.today().strftime("%Y%m%d") not in str(picture)
        named = {str(e.value) for e in every_element(picture) if e.VR == "UI"} - sources
        assert all(re.match(r"2\.25\.|1\.2\.840\.10008\.", uid) for uid in named)
    for keyword in ("SeriesInstanceUID", "SeriesDate", "SeriesTime", "SeriesNumber", "Manufacturer"):
        assert len({picture[keyword].value for picture in read}) == 1, keyword
    assert len({picture.SOPInstanceUID for picture in read}) == SLICES


def test_uids_change_with_inputs_settings_and_the_picture(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    mask = lesion(affine)
    moved = Volume(np.roll(mask.array, 1, axis=1), affine)
    runs = [
        write(tmp_path / "a", mask, headers, further),
        write(tmp_path / "b", moved, headers, further),
        write(tmp_path / "c", mask, headers, further[:-1]),
        write(tmp_path / "d", mask, headers, further, replace(SETTINGS, run="bf16")),
    ]
    marked = [[run[n].SOPInstanceUID for run in runs] for n in (2, 3, 5)]
    assert all(len(set(uids)) == len(runs) for uids in marked)
    assert runs[0][0].SOPInstanceUID == runs[1][0].SOPInstanceUID  # of a slice without mask
    assert len({run[0].SeriesInstanceUID for run in runs}) == len(runs) - 1


def test_sources_stay_as_they_were(tmp_path):
    headers, affine = mr_series()
    write(tmp_path / "sc", lesion(affine), headers, settings=FLAGGED)
    assert headers == mr_series()[0]
