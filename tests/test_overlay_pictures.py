"""What the pictures of the overlay series show: the slice, the outline, the words."""

from dataclasses import replace

import numpy as np
from dicom_series import (
    COLUMNS,
    FLAGGED,
    ROWS,
    SLICES,
    lesion,
    mr_series,
)
from external_tools import run_tool
from overlays import DOUBTED, WORDS, is_colour, scene, write
from PIL import Image

from scanweave.pipeline.overlay_pictures import ALARM, CASING, OUTLINE, Scene, overlay_pictures

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
