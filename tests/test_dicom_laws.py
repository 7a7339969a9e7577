"""Laws of the readers, over scans and headers that nobody thought of: what is written is read, nothing else counts."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np
import pytest
from dicom_forms import indexed, only_series, pixels_of, stored_as
from dicom_scans import Scan, names, scans, write
from headers import AXIAL, CORONAL, FIRST_S, MISSING_SLICE, ROLES, SAGITTAL, series
from headers import names as names_of
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from scanweave.errors import InputRefused
from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_facts import header_facts
from scanweave.transforms.io.dicom_volume import read_dicom_volume
from scanweave.transforms.io.nifti import read_nifti, write_nifti
from scanweave.transforms.io.pixel_decoder import PixelDecoder
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.select import assign_roles

LAWS = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)
QUICK_LAWS = settings(LAWS, max_examples=150)
PLACE_TOLERANCE_MM = 1e-4
NATIVE = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
COMPRESSED = ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90")
"""RLE, JPEG lossless, JPEG-LS, JPEG 2000."""
ENCODED_EDGE = 36
"""Pixels: OpenJPEG and pyjpegls do not encode the smallest images."""
IGNORED = {
    "InstanceNumber": st.integers(-5, 99),
    "AcquisitionNumber": st.integers(0, 9),
    "SliceLocation": st.floats(-400, 400).map(lambda mm: round(mm, 4)),
    "SpacingBetweenSlices": st.floats(-20, 20).map(lambda mm: round(mm, 4)),
    "SliceThickness": st.floats(0, 20).map(lambda mm: round(mm, 4)),
    "PatientPosition": st.sampled_from(("HFS", "FFP", "HFDR", "LFP", "ODD")),
    "WindowCenter": st.integers(-500, 5000),
    "WindowWidth": st.integers(1, 5000),
    "SmallestImagePixelValue": st.integers(0, 99),
    "PresentationLUTShape": st.sampled_from(("IDENTITY", "INVERSE")),
    "ContentTime": st.sampled_from(("010000", "235959.5")),
    "ImageComments": st.text(st.characters(codec="latin-1", categories=["L"]), max_size=20),
}
"""What says nothing of where a slice lies or what its voxels are."""


@pytest.fixture(scope="module")
def decoder() -> Iterator[PixelDecoder]:
    """One process for all compressed slices."""
    with PixelDecoder() as process:
        yield process


def read(items: list[Dataset], called: list[str] = (), decoder: PixelDecoder | None = None) -> Volume:
    """Written, and read as `segment` does."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        found = only_series(write(items, Path(folder), called))
        assert not found.problems, found.problems
        return read_dicom_volume(found, decoder)[0]


def assert_same(volume: Volume, expected: Volume) -> None:
    assert volume.array.dtype == np.float32 and np.array_equal(volume.array, expected.array)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in expected.array.shape])).reshape(3, -1).T
    off = volume.grid.points(corners) - expected.grid.points(corners)
    assert np.linalg.norm(off, axis=1).max() < PLACE_TOLERANCE_MM


# --- scans ----------------------------------------------------------------------------------------------------------


@LAWS
@given(scans())
def test_every_voxel_is_read_and_lies_where_it_was_written(scan: Scan) -> None:
    """By the written headers alone, equation C.7.6.2.1-1 of PS3.3: no common code with `Scan.volume`."""
    volume = read(scan.slices())
    assert_same(volume, scan.volume())
    to_index = np.linalg.inv(LPS_FROM_RAS @ volume.affine)
    for item in scan.slices():
        row_axis, column_axis = np.array(item.ImageOrientationPatient, float).reshape(2, 3)
        down, along = np.meshgrid(range(item.Rows), range(item.Columns), indexing="ij")
        steps = (
            along[..., None] * row_axis * item.PixelSpacing[1] + down[..., None] * column_axis * item.PixelSpacing[0]
        )
        places = np.array(item.ImagePositionPatient, float) + steps
        index = np.rint(places @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
        assert np.array_equal(volume.array[tuple(np.moveaxis(index, -1, 0))], pixels_of(item))


@LAWS
@given(scans(), names, st.data())
def test_names_folders_and_order_of_files_say_nothing(scan: Scan, called: list[str], data: st.DataObject) -> None:
    folders = data.draw(
        st.lists(st.sampled_from(("", f"{called[6]}/", f"{called[6]}/{called[7]}/")), min_size=6, max_size=6)
    )
    paths = [f"{folder}{name}" for folder, name in zip(folders, called, strict=False)]
    assert_same(read(data.draw(st.permutations(scan.slices())), paths), scan.volume())


@LAWS
@given(scans(), st.data())
def test_copies_of_files_add_nothing(scan: Scan, data: st.DataObject) -> None:
    slices = scan.slices()
    copies = data.draw(st.lists(st.sampled_from(slices), min_size=1, max_size=4))
    assert_same(read(data.draw(st.permutations([*slices, *copies]))), scan.volume())


@LAWS
@given(scans(least=4), st.data())
def test_a_lost_inner_slice_is_told_with_its_count(scan: Scan, data: st.DataObject) -> None:
    slices = scan.slices()
    slices.pop(data.draw(st.integers(1, len(slices) - 2)))
    with tempfile.TemporaryDirectory() as folder:
        (problem,) = only_series(write(slices, Path(folder))).problems
    assert (problem.code, problem.message.split()[0]) == ("MISSING_SLICE", "1")


@LAWS
@given(scans(least=4), st.data())
def test_slices_lost_at_an_end_leave_the_others_where_they_were(scan: Scan, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(scan.values) - 3))
    end = data.draw(st.integers(first + 3, len(scan.values)))
    assert_same(read(scan.slices()[first:end]), scan.part(first, end).volume())


@LAWS
@given(scans(rescaled=True))
def test_the_rescale_of_each_slice_is_exact(scan: Scan) -> None:
    assert_same(read(scan.slices()), scan.volume())


@LAWS
@given(
    scans(rescaled=True, edge=ENCODED_EDGE),
    st.lists(st.sampled_from(("", *NATIVE, *COMPRESSED)), min_size=6, max_size=6),
)
def test_how_each_file_is_stored_never_matters(decoder: PixelDecoder, scan: Scan, syntaxes: list[str]) -> None:
    items = [stored(item, syntax) for item, syntax in zip(scan.slices(), syntaxes, strict=False)]
    assert_same(read(items, decoder=decoder), scan.volume())


def stored(item: Dataset, syntax: str) -> Dataset:
    if syntax in COMPRESSED:
        return stored_as(item, syntax)
    if syntax:
        item.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        item.PixelData = pixels_of(item).astype(">u2").tobytes()
    return item


@LAWS
@given(scans(), st.data())
def test_other_attributes_say_nothing_of_the_place(scan: Scan, data: st.DataObject) -> None:
    slices = scan.slices()
    for item in slices:
        for keyword, value in data.draw(st.fixed_dictionaries({}, optional=IGNORED)).items():
            setattr(item, keyword, value)
    assert_same(read(slices), scan.volume())


@LAWS
@given(scans(), scans())
def test_two_series_in_one_folder_are_read_as_if_alone(one: Scan, other: Scan) -> None:
    others = other.slices()
    for item in others:
        item.SeriesInstanceUID = f"{item.SeriesInstanceUID}.9"
        item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = f"{item.SOPInstanceUID}.9"
    with tempfile.TemporaryDirectory() as folder:
        found = {series.name: series for series in indexed(write([*one.slices(), *others], Path(folder)))}
        assert_same(read_dicom_volume(found[others[0].SeriesInstanceUID])[0], other.volume())
        assert_same(read_dicom_volume(found[one.slices()[0].SeriesInstanceUID])[0], one.volume())


@settings(LAWS, max_examples=25)
@given(scans(rescaled=True), st.booleans())
def test_nifti_is_read_as_it_was_written(scan: Scan, packed: bool) -> None:
    volume = scan.volume()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.nii.gz" if packed else "a.nii")
        write_nifti(path, volume)
        ((ours,), _) = read_nifti(path)
        oracle = nib.load(path)
        assert_same(ours, volume)
        assert np.array_equal(ours.array, np.asarray(oracle.dataobj)) and np.allclose(ours.affine, oracle.affine)


# --- headers --------------------------------------------------------------------------------------------------------


FACTS = """
    Modality Manufacturer SeriesDescription ProtocolName SequenceName PulseSequenceName SeriesNumber ImageType
    ScanningSequence SequenceVariant ScanOptions MRAcquisitionType RepetitionTime EchoTime EffectiveEchoTime
    InversionTime InversionTimes FlipAngle ContrastBolusAgent ContrastBolusVolume ContrastBolusAgentSequence
    DiffusionBValue AcquisitionDate AcquisitionTime AcquisitionDateTime SeriesDate SeriesTime StudyDate
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence
"""
VALUES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        (b"", b"\\", b"1\\2", b"nan", b"inf", b"-1e400", b"0", b"1.5", b"20200121", b"250000", b"1200nan", b"9" * 400)
    ),
    st.text(max_size=12).map(lambda text: text.encode("utf-8", "replace")),
)
ELEMENTS = st.dictionaries(
    st.sampled_from([Tag(keyword) for keyword in FACTS.split()]),
    st.tuples(st.sampled_from(("", "CS", "DS", "IS", "FD", "US", "LO", "PN", "DA", "TM", "UI", "SQ", "UN")), VALUES),
    min_size=1,
    max_size=12,
)


@QUICK_LAWS
@example({Tag("ImageType"): ("US", b"OB")}, True)
@example({Tag("SeriesNumber"): ("IS", b"9" * 400), Tag("FlipAngle"): ("IS", b"9" * 400)}, True)
@example({Tag("AcquisitionTime"): ("TM", b"1200nan")}, True)
@given(ELEMENTS, st.booleans())
def test_facts_of_any_header_are_facts(elements: dict, little: bool) -> None:
    """Whatever bytes stand in it: numbers are finite or absent, texts stay on their line."""
    header = Dataset()
    for tag, (vr, value) in elements.items():
        header[tag] = RawDataElement(tag, vr or None, len(value), value, 0, not vr, little)
    with quiet():
        facts = header_facts([header], None, None, 1)
    for value in vars(facts).values():
        for one in value if isinstance(value, tuple) else (value,):
            assert one is None or (one.isprintable() if isinstance(one, str) else np.isfinite(one))


DESCRIPTIONS = (
    "AX FLAIR", "SAG FLAIR", "t2_tirm_dark-fluid", "AX T1", "AX T1 +C", "T1 post Gd", "mprage", "T1 FLAIR", "T2", "DWI",
    "FLAIR MPR", "localizer", "",
)  # fmt: skip
KNOWN = st.fixed_dictionaries(
    {},
    optional={
        "acquired_s": st.sampled_from((FIRST_S, FIRST_S + 60, FIRST_S + 600, None)),
        "series_number": st.integers(1, 4),
        "normal_ras": st.sampled_from((AXIAL, SAGITTAL, CORONAL)),
        "contrast_agent": st.sampled_from(("", "Gadovist", "none")),
        "ti_ms": st.sampled_from((150.0, 900.0, 2500.0)),
        "te_ms": st.sampled_from((3.0, 12.0, 90.0)),
        "tr_ms": st.sampled_from((8.0, 600.0, 9000.0)),
        "problems": st.sampled_from(((), (MISSING_SLICE,))),
    },
)


@QUICK_LAWS
@given(st.lists(st.tuples(st.sampled_from(DESCRIPTIONS), KNOWN), min_size=1, max_size=6), st.randoms())
def test_the_order_of_series_never_chooses(told: list, chance: Random) -> None:
    found = [series(f"1.2.{n}", description, **facts) for n, (description, facts) in enumerate(told)]
    mixed = chance.sample(found, len(found))
    assert chosen(mixed) == chosen(found)


def chosen(found: list[Series]) -> object:
    """The series of each role, or the codes of the refusal."""
    try:
        return names_of(assign_roles(found, ROLES))
    except InputRefused as refusal:
        return {problem.code for problem in refusal.problems}
