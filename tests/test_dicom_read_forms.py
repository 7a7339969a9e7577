"""One series in every form in which scanners and archives store it: the same voxels at the same place."""

import copy
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_forms import (
    BITS,
    LOSSLESS,
    assert_same,
    mr_slices,
    only_series,
    pixels_of,
    read_only,
    save,
    stored_as,
    without_meta,
)
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_volume import read_dicom_volume

LOSSY = {"JPEG-LS near lossless": "1.2.840.10008.1.2.4.81", "JPEG 2000 with loss": "1.2.840.10008.1.2.4.91"}
LOSS = 200
"""Grey values of 4096 that the lossy forms are off at most."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    return read_only(save(mr_slices(), tmp_path_factory.mktemp("plain")))


def test_the_plain_series_is_what_was_written(plain: Volume) -> None:
    written = np.stack([pixels_of(item) for item in mr_slices()])
    assert np.array_equal(plain.array, written.transpose(2, 1, 0))
    first = LPS_FROM_RAS[:3, :3] @ np.array(mr_slices()[0].ImagePositionPatient, float)
    assert np.allclose(plain.affine[:3, 3], first)


# --- transfer syntaxes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_forms(syntax: str, plain: Volume, tmp_path: Path) -> None:
    def change(dataset: pydicom.Dataset, n: int) -> None:
        dataset.file_meta.TransferSyntaxUID = syntax
        if syntax == ExplicitVRBigEndian:
            dataset.PixelData = pixels_of(dataset).astype(">u2").tobytes()

    assert_same(read_only(save(mr_slices(), tmp_path / "s", change)), plain)


@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS)
def test_compressed_forms(syntax: str, plain: Volume, tmp_path: Path) -> None:
    folder = save(mr_slices(), tmp_path / "s", lambda dataset, n: stored_as(dataset, syntax))
    assert pydicom.dcmread(folder / "000.dcm").file_meta.TransferSyntaxUID == syntax
    volume, headers = read_dicom_volume(only_series(folder))
    assert_same(volume, plain)
    assert sorted(header.SOPInstanceUID for header in headers) == [item.SOPInstanceUID for item in mr_slices()], (
        "results refer to the instances as they are stored"
    )
    assert not any("PixelData" in header for header in headers)


@pytest.mark.parametrize("syntax", LOSSY.values(), ids=LOSSY)
def test_compressed_forms_with_loss(syntax: str, plain: Volume, tmp_path: Path) -> None:
    folder = save(mr_slices(), tmp_path / "s", lambda dataset, n: stored_as(dataset, syntax))
    volume = read_only(folder)
    assert_same(volume, plain, LOSS)
    assert np.abs(volume.array - plain.array).max() > 0, "the twin: nothing was lost"


def test_slices_of_one_series_may_be_stored_differently(plain: Volume, tmp_path: Path) -> None:
    syntaxes = ["", *LOSSLESS.values()]
    folder = save(mr_slices(), tmp_path / "s", lambda d, n: stored_as(d, syntaxes[n]) if syntaxes[n] else None)
    assert_same(read_only(folder), plain)


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_missing_meta_information(implicit: bool, little: bool, plain: Volume, tmp_path: Path) -> None:
    for n, dataset in enumerate(mr_slices()):
        without_meta(dataset, tmp_path / f"IM{n}", implicit=implicit, little=little)
    (tmp_path / "notes").write_bytes(b"\x08\x00\x05\x00CS")
    (tmp_path / "numbers").write_bytes(b"\x08\x00\x08\x00\x02\x00\x00\x00" + bytes(range(256)) * 9)
    assert_same(read_only(tmp_path), plain)


def test_preamble_without_meta_information(plain: Volume, tmp_path: Path) -> None:
    for n, dataset in enumerate(mr_slices()):
        without_meta(dataset, tmp_path / f"{n}.dcm", implicit=False, little=True)
        (tmp_path / f"{n}.dcm").write_bytes(bytes(128) + b"DICM" + (tmp_path / f"{n}.dcm").read_bytes())
    assert_same(read_only(tmp_path), plain)


def test_meta_information_without_preamble(plain: Volume, tmp_path: Path) -> None:
    """The only way to say that pixels are compressed, at the very beginning of the file."""
    folder = save(mr_slices(), tmp_path / "s", lambda d, n: stored_as(d, LOSSLESS["JPEG 2000"]))
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    assert_same(read_only(folder), plain)


@pytest.mark.parametrize("name", ["slice {}.dcm", "Schädel Ü{}", "脳 {}.ima", "{}", "a'b\"c {}.DCM"])
def test_names_with_spaces_and_foreign_letters(name: str, plain: Volume, tmp_path: Path) -> None:
    """Compressed ones are opened by name in another process."""
    folder = tmp_path / name.format("folder")
    folder.mkdir()
    for n, dataset in enumerate(mr_slices()):
        stored_as(dataset, LOSSLESS["JPEG 2000"]).save_as(folder / name.format(n), enforce_file_format=True)
    assert_same(read_only(tmp_path), plain)


# --- stored values --------------------------------------------------------------------------------------------------


def test_unused_high_bits_do_not_count(plain: Volume, tmp_path: Path) -> None:
    """An overlay in the upper four bits, as scanners of the nineties wrote it (PS3.5 8.1.1)."""

    def dirty(dataset: pydicom.Dataset, n: int) -> None:
        noise = np.random.default_rng(n).integers(0, 16, (dataset.Rows, dataset.Columns), "<u2")
        dataset.PixelData = (pixels_of(dataset) | noise << BITS).astype("<u2").tobytes()

    assert_same(read_only(save(mr_slices(), tmp_path / "s", dirty)), plain)


@pytest.mark.parametrize("sign", [0, 1])
@pytest.mark.parametrize("syntax", [syntax for name, syntax in LOSSLESS.items() if name != "JPEG lossless"])
def test_unused_high_bits_do_not_count_compressed(syntax: str, sign: int, plain: Volume, tmp_path: Path) -> None:
    """An archive compresses all sixteen of them, and leaves the header as it was."""

    def dirty(dataset: pydicom.Dataset, n: int) -> pydicom.Dataset:
        noise = np.random.default_rng(n).integers(0, 16, (dataset.Rows, dataset.Columns), "<u2")
        values = pixels_of(dataset) - (2048 if sign else 0) & 0xFFF
        dataset.PixelData = (values | noise << BITS).astype("<u2").tobytes()
        dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = sign, "1", str(2048 * sign)
        dataset.BitsStored, dataset.HighBit = 16, 15
        made = stored_as(dataset, syntax)
        made.BitsStored, made.HighBit = BITS, BITS - 1
        return made

    assert_same(read_only(save(mr_slices(), tmp_path / "s", dirty)), plain)


@pytest.mark.parametrize("high", [0, 0xF], ids=["zeros above the sign", "the sign repeated"])
def test_signed_values(high: int, plain: Volume, tmp_path: Path) -> None:
    """Twelve bits with a sign, whatever stands in the four above it."""

    def signed(dataset: pydicom.Dataset, n: int) -> None:
        values = pixels_of(dataset).astype(int) - 2048
        stored = values & 0xFFF | np.where(values < 0, high, 0) << BITS
        dataset.PixelData = stored.astype("<u2").tobytes()
        dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 1, "1", "2048"

    assert_same(read_only(save(mr_slices(), tmp_path / "s", signed)), plain)


@pytest.mark.parametrize("syntax", [LOSSLESS["JPEG 2000"], LOSSLESS["JPEG-LS"], LOSSLESS["RLE"]])
def test_signed_values_compressed(syntax: str, plain: Volume, tmp_path: Path) -> None:
    def signed(dataset: pydicom.Dataset, n: int) -> pydicom.Dataset:
        dataset.PixelData = (pixels_of(dataset).astype(int) - 2048).astype("<i2").tobytes()
        dataset.PixelRepresentation, dataset.RescaleSlope, dataset.RescaleIntercept = 1, "1", "2048"
        return stored_as(dataset, syntax)

    assert_same(read_only(save(mr_slices(), tmp_path / "s", signed)), plain)


@pytest.mark.parametrize("bits", [8, 32])
def test_other_depths(bits: int, plain: Volume, tmp_path: Path) -> None:
    def deep(dataset: pydicom.Dataset, n: int) -> None:
        values = pixels_of(dataset) >> (4 if bits == 8 else 0)
        dataset.PixelData = values.astype(f"<u{bits // 8}").tobytes()
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit = bits - 1

    expected = Volume(np.floor(plain.array / 16) if bits == 8 else plain.array, plain.affine)
    assert_same(read_only(save(mr_slices(), tmp_path / "s", deep)), expected)


def test_each_slice_has_a_rescale_of_its_own(plain: Volume, tmp_path: Path) -> None:
    def rescaled(dataset: pydicom.Dataset, n: int) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(0.5 + n), str(10 * n)

    slopes = np.arange(plain.array.shape[2])
    expected = Volume(plain.array * np.float32(0.5 + slopes) + np.float32(10 * slopes), plain.affine)
    assert_same(read_only(save(mr_slices(), tmp_path / "s", rescaled)), expected, 0.01)


def test_what_is_only_for_display_does_not_count(plain: Volume, tmp_path: Path) -> None:
    def displayed(dataset: pydicom.Dataset, n: int) -> None:
        dataset.WindowCenter, dataset.WindowWidth, dataset.PresentationLUTShape = "100", "20", "INVERSE"
        dataset.SmallestImagePixelValue, dataset.LargestImagePixelValue = 7, 9

    assert_same(read_only(save(mr_slices(), tmp_path / "s", displayed)), plain)


def test_small_differences_of_geometry_within_the_tolerances_are_read(plain: Volume, tmp_path: Path) -> None:
    def shaken(dataset: pydicom.Dataset, n: int) -> None:
        dataset.PixelSpacing = [float(value) + 0.0004 * (n % 2) for value in dataset.PixelSpacing]
        cosines = np.array(dataset.ImageOrientationPatient, float) + 0.0003 * (n % 2)
        dataset.ImageOrientationPatient = [f"{value:.9f}" for value in cosines]

    volume = read_only(save(mr_slices(), tmp_path / "s", shaken))
    assert np.array_equal(volume.array, plain.array)
    assert np.allclose(volume.affine, plain.affine, atol=0.01)


def test_series_is_not_changed_by_reading(tmp_path: Path) -> None:
    folder = save(mr_slices(), tmp_path / "s", lambda d, n: stored_as(d, LOSSLESS["JPEG 2000"]) if n % 2 else None)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = copy.deepcopy(only_series(folder))
    read_dicom_volume(found)
    assert found == only_series(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
