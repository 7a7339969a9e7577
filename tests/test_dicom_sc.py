"""The overlay series: pictures that lie where their slices do, say what must be said, and are the same twice."""

import datetime
import re
from dataclasses import replace

import highdicom as hd
import numpy as np
import pydicom
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
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.overlay_pictures import ALARM, CASING, OUTLINE, SMALLEST_WIDTH, Scene, Words, overlay_pictures
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_sc import sc_sources, write_dicom_sc
from scanweave.transforms.io.dicom_seg_grid import as_source_stack

WORDS = Words("FLAIR abnormality: 1.23 ml, 2 parts", (), (), RESEARCH_NOTICE)
DOUBTED = replace(
    WORDS,
    flags=("registration of pre: a flag that is a little longer than one line of such a picture can be",),
    remarks=("No post series: flair stands in",),
)
SAME_MM = 0.01


def scene(mask, headers, gray=60):
    """Even gray under the mask, in the order of the sources."""
    sources = sc_sources(headers)
    first = sources[0].header
    stack = as_source_stack(mask, (int(first.Rows), int(first.Columns)), [source.plane for source in sources])
    return Scene(stack.array > 0, np.full(stack.array.shape, gray, np.uint8), (1, 1, 1)), sources


def write(folder, mask, headers, further=(), settings=SETTINGS, words=WORDS):
    """The series, read back by rank."""
    drawn, sources = scene(mask, headers)
    pictures = overlay_pictures(drawn, words, [f"source image {source.number}" for source in sources])
    write_dicom_sc(folder, pictures, sources, list(further), settings)
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def is_colour(pixels, colour):
    return (pixels == np.array(colour, np.uint8)).all(axis=-1)


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


# What the pictures show


def test_flags_are_in_the_pixels_of_every_slice(tmp_path):
    headers, affine = mr_series()
    plain = write(tmp_path / "plain", lesion(affine), headers)
    doubted = write(tmp_path / "doubted", lesion(affine), headers, settings=FLAGGED, words=DOUBTED)
    assert len({picture.Rows for picture in doubted}) == 1 and doubted[0].Rows > plain[0].Rows
    for one, other in zip(plain, doubted, strict=True):
        assert not is_colour(one.pixel_array, ALARM).any()
        alarm = is_colour(other.pixel_array, ALARM)
        assert alarm[:, 0].sum() >= 2 * 20, "two lines of twenty pixels at least"
        written = (~alarm[alarm[:, 0]]).mean()
        assert 0.05 < written < 0.5, "dark letters on it"


def test_every_picture_says_that_it_is_for_research_and_which_slice_it_is(tmp_path):
    headers, affine = mr_series()
    mask = lesion(affine)
    said = write(tmp_path / "said", mask, headers)
    silent = write(tmp_path / "silent", mask, headers, words=replace(WORDS, notice=""))
    ends = {picture.pixel_array[-40:].tobytes() for picture in said}
    assert len(ends) == SLICES
    for one, other in zip(said, silent, strict=True):
        assert one.Rows > other.Rows or (one.pixel_array != other.pixel_array).any()


def test_the_slice_under_the_outline_is_the_one_that_was_given(tmp_path):
    headers, affine = mr_series()
    drawn, sources = scene(lesion(affine), headers)
    gray = np.arange(drawn.gray.size, dtype=np.uint32).reshape(drawn.gray.shape) % 200
    drawn = replace(drawn, gray=gray.astype(np.uint8))
    names = [""] * len(sources)
    zoom = drawn.zoom
    for number, picture in enumerate(overlay_pictures(drawn, WORDS, names)):
        slice_ = picture[: ROWS * zoom]
        expected = np.asarray(
            Image.fromarray(drawn.gray[number]).resize((COLUMNS * zoom, ROWS * zoom), Image.Resampling.BICUBIC)
        )
        off = (slice_ != expected[..., None]).any(axis=-1)
        outline = is_colour(slice_, OUTLINE)
        assert (outline <= off).all()
        assert (off <= (outline | is_colour(slice_, CASING))).all()
        assert off.mean() < 0.1


def test_the_patients_sides_stand_at_the_edges():
    mask, gray = np.zeros((1, 60, 50), bool), np.full((1, 60, 50), 90, np.uint8)
    (plain,) = overlay_pictures(Scene(mask, gray, (1, 1, 1)), WORDS, [""])
    (lettered,) = overlay_pictures(Scene(mask, gray, (1, 1, 1), ("R", "L", "A")), WORDS, [""])
    rows, columns = np.nonzero((plain != lettered).any(axis=-1))
    height, width = 60 * 11, 50 * 11
    assert rows.max() < height
    middle = rows > height / 4
    assert set(np.sign(columns[middle] - width / 2)) == {-1, 1}, "a letter left and right"
    assert np.abs(columns[middle] - width / 2).min() > width / 3
    assert np.abs(columns[~middle] - width / 2).max() < width / 8, "and one at the top"


def test_a_coarse_preview_is_enlarged_to_the_mask(tmp_path):
    mask = np.zeros((3, 61, 45), bool)
    mask[1, 20:40, 10:30] = True
    gray = np.full((3, 31, 23), 40, np.uint8)
    gray[1, 10:20, 5:15] = 200
    drawn = Scene(mask, gray, (1, 2, 2))
    pictures = list(overlay_pictures(drawn, WORDS, ["a", "b", "c"]))
    assert {picture.shape for picture in pictures} == {pictures[0].shape}
    zoom = drawn.zoom
    inside = pictures[1][21 * zoom : 39 * zoom, 11 * zoom : 29 * zoom, 0]
    assert inside.min() > 150
    assert pictures[1][: 18 * zoom, : 45 * zoom].max() < 60


def test_nothing_of_the_patient_is_in_the_pixels(tmp_path):
    headers, affine = mr_series()
    one = write(tmp_path / "one", lesion(affine), headers)
    for header in headers:
        header.PatientName, header.PatientID = "Somebody^Else", "another"
        header.SeriesDescription = header.StudyDescription = "Somebody Else"
    other = write(tmp_path / "other", lesion(affine), headers)
    assert [picture.PixelData for picture in one] == [picture.PixelData for picture in other]
    assert one[0].PatientName != other[0].PatientName


def test_another_reader_shows_the_same_picture(tmp_path):
    headers, affine = mr_series()
    read = write(tmp_path / "sc", lesion(affine), headers, settings=FLAGGED, words=DOUBTED)
    ran = run_tool("dcmj2pnm", "--write-png", tmp_path / "sc" / "0004.dcm", tmp_path / "shown.png")
    assert ran.returncode == 0, ran.stderr
    assert np.array_equal(np.asarray(Image.open(tmp_path / "shown.png").convert("RGB")), read[3].pixel_array)


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
