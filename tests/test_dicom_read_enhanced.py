"""Enhanced images: one stack of frames is read wherever each frame lies, several are refused or told apart."""

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_forms import (
    LOSSLESS,
    assert_same,
    codes,
    enhanced,
    indexed,
    mr_slices,
    only_series,
    read_only,
    save,
    stored_as,
)

from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.dicom_volume import read_dicom_volume


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return read_only(save(mr_slices(), tmp_path_factory.mktemp("plain")))


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 0, 3, 1, 4, 2]])
@pytest.mark.parametrize("syntax", ["", LOSSLESS["JPEG 2000"]], ids=["plain", "JPEG 2000"])
def test_enhanced_image(order: list[int], syntax: str, plain: Volume, tmp_path: Path) -> None:
    slices = [mr_slices()[n] for n in order]
    for n, item in zip(order, slices, strict=True):
        item.RescaleSlope, item.RescaleIntercept = str(1 + n), str(n)
    made = enhanced(slices)
    save([stored_as(made, syntax) if syntax else made], tmp_path / "s")
    volume = read_only(tmp_path / "s")
    slopes = np.arange(plain.array.shape[2], dtype=np.float32)
    assert_same(volume, Volume(plain.array * (1 + slopes) + slopes, plain.affine))
    oracle = hd.imread(tmp_path / "s" / "000.dcm").get_volume(dtype=np.float32)
    assert np.allclose(np.sort(oracle.array, None), np.sort(volume.array, None))


SEVERAL = {
    "echoes": ("echo time", [{"EffectiveEchoTime": 10.0}, {"EffectiveEchoTime": 90.0}]),
    "time points": ("time point", [{"TemporalPositionIndex": 1}, {"TemporalPositionIndex": 2}]),
    "magnitude and phase": (
        "image type",
        [{"FrameType": ["ORIGINAL", "PRIMARY", "M", "SE"]}, {"FrameType": ["ORIGINAL", "PRIMARY", "P", "SE"]}],
    ),
}


@pytest.mark.parametrize(("name", "kinds"), SEVERAL.values(), ids=SEVERAL)
def test_enhanced_image_of_several_stacks_is_refused(name: str, kinds: list, plain: Volume, tmp_path: Path) -> None:
    save([enhanced(mr_slices(), kinds)], tmp_path / "bad")
    assert codes(tmp_path / "bad") == ["UNSUPPORTED_FORM", "DUPLICATE_POSITION"]
    assert f"2 of {name}" in only_series(tmp_path / "bad").problems[0].message
    save([enhanced(mr_slices(), kinds[:1])], tmp_path / "good")
    assert_same(read_only(tmp_path / "good"), plain)


def test_enhanced_localiser_is_refused(tmp_path: Path) -> None:
    other = mr_slices(np.eye(3))
    slices = [*mr_slices(), *other]
    made = enhanced(slices)
    for n, frame in enumerate(made.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence = [pydicom.Dataset()]
        frame.FrameContentSequence[0].StackID = str(1 + n // len(other))
    save([made], tmp_path / "s")
    assert codes(tmp_path / "s")[:2] == ["UNSUPPORTED_FORM", "MIXED_ORIENTATION"]
    assert "2 of stack" in only_series(tmp_path / "s").problems[0].message


def test_several_enhanced_images_under_one_uid_are_several_series(plain: Volume, tmp_path: Path) -> None:
    kinds = [{"EffectiveEchoTime": 10.0}, {"EffectiveEchoTime": 90.0}]
    images = [enhanced(mr_slices(), [kind]) for kind in kinds]
    for n, image in enumerate(images):
        image.InstanceNumber = 2 - n
    found = indexed(save(images, tmp_path / "s"))
    assert [(item.part, item.facts.te_ms) for item in found] == [("image 1", 90.0), ("image 2", 10.0)]
    for item in found:
        assert_same(read_dicom_volume(item)[0], plain)


def test_part_of_a_concatenation_is_refused(tmp_path: Path) -> None:
    made = enhanced(mr_slices()[:3])
    made.InConcatenationTotalNumber = 2
    assert codes(save([made], tmp_path / "s")) == ["UNSUPPORTED_FORM"]
    made.InConcatenationTotalNumber = 1
    assert codes(save([made], tmp_path / "t")) == []


def test_frames_without_places_are_refused(tmp_path: Path) -> None:
    made = enhanced(mr_slices())
    made.NumberOfFrames = 5
    save([made], tmp_path / "s")
    assert codes(tmp_path / "s")[0] == "UNSUPPORTED_FORM"
    del made.PerFrameFunctionalGroupsSequence
    made.NumberOfFrames = 6
    save([made], tmp_path / "t")
    assert codes(tmp_path / "t")[0] == "UNSUPPORTED_FORM"


def test_private_sequences_of_a_frame_say_nothing_of_it(plain: Volume, tmp_path: Path) -> None:
    """Philips keeps a header of another form there, with other numbers under the same names."""
    made = enhanced(mr_slices())
    for frame in made.PerFrameFunctionalGroupsSequence:
        del frame.PixelValueTransformationSequence
        other = pydicom.Dataset()
        other.RescaleSlope, other.RescaleIntercept, other.PixelSpacing = "7", "3", [5, 5]
        frame.private_block(0x2005, "Philips MR Imaging DD 005", create=True).add_new(0x0F, "SQ", [other])
    assert_same(read_only(save([made], tmp_path / "s")), plain)
