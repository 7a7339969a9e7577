"""The DICOM Segmentation against readers and validators of other people, and against itself written twice."""

import datetime
import re

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_series import (
    FLAGGED,
    FOREIGN_FLAIR,
    FOREIGN_T1,
    SETTINGS,
    SPACING,
    VENDORS,
    every_element,
    lesion,
    mr_series,
    read_dcmqi,
    read_headers,
    read_highdicom,
    read_real,
    same_in_space,
    turned,
)
from external_tools import dicom_errors, run_tool
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRLittleEndian

from scanweave import RESEARCH_NOTICE
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.dicom_seg import SegSettings, write_dicom_seg
from scanweave.transforms.io.dicom_seg_settings import LO_LENGTH, ST_LENGTH, plain_text
from scanweave.transforms.io.uids import derived_uid
from scanweave.transforms.segments import Segment

READERS = pytest.mark.parametrize("read", [read_highdicom, read_dcmqi])


# The voxels lie where the mask says


@READERS
@pytest.mark.parametrize(
    ("axes", "flips"), [((0, 1, 2), ()), ((2, 1, 0), ()), ((1, 2, 0), (0, 2)), ((0, 1, 2), (0, 1, 2))]
)
def test_every_voxel_comes_back_at_its_place(tmp_path, read, axes, flips):
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", turned(lesion(affine), axes, flips), headers, [], SETTINGS)
    back = read(tmp_path / "seg.dcm", tmp_path)
    assert same_in_space(lesion(affine), back)
    for axis in range(3):
        assert not same_in_space(Volume(np.flip(lesion(affine).array, axis), affine), back)


@READERS
def test_every_voxel_of_a_real_series_comes_back_at_its_place(tmp_path, data_dir, read):
    mask, headers = read_real(data_dir, FOREIGN_FLAIR)
    further = read_headers(data_dir, *FOREIGN_T1)
    write_dicom_seg(tmp_path / "seg.dcm", mask, headers, further, SETTINGS)
    back = read(tmp_path / "seg.dcm", tmp_path)
    assert same_in_space(mask, back)
    for axis in range(3):
        assert not same_in_space(Volume(np.flip(mask.array, axis), mask.affine), back)
    assert not dicom_errors(tmp_path / "seg.dcm")


@pytest.mark.parametrize("vendor", VENDORS)
def test_series_of_every_vendor_can_be_segmented(tmp_path, data_dir, vendor):
    pattern = f"dicom-vendors/{vendor}/anatomical/001/*.dcm"
    mask, headers = read_real(data_dir, pattern)
    write_dicom_seg(tmp_path / "seg.dcm", mask, headers, [], SETTINGS)
    for read in (read_highdicom, read_dcmqi):
        assert same_in_space(mask, read(tmp_path / "seg.dcm", tmp_path))
    # These files have an age that is none ("0Y"), and so has what is derived from them: no error of our own.
    inherited = dicom_errors(sorted(data_dir.glob(pattern))[0])
    assert set(dicom_errors(tmp_path / "seg.dcm")) <= {line for line in inherited if "PatientAge" in line}


def test_frames_refer_to_the_slices_at_their_place_and_have_their_geometry(tmp_path):
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, [], SETTINGS)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    places = {header.SOPInstanceUID: header.ImagePositionPatient for header in headers}
    frames = seg.PerFrameFunctionalGroupsSequence
    sources = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in frames]
    assert [s.ReferencedSOPInstanceUID for s in sources] == ["1.2.3.2.6", "1.2.3.2.4", "1.2.3.2.3"]
    assert {s.SpatialLocationsPreserved for s in sources} == {"YES"}
    for frame, source in zip(frames, sources, strict=True):
        assert frame.PlanePositionSequence[0].ImagePositionPatient == places[source.ReferencedSOPInstanceUID]
    shared = seg.SharedFunctionalGroupsSequence[0]
    assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == headers[0].ImageOrientationPatient
    measures = shared.PixelMeasuresSequence[0]
    assert measures.PixelSpacing == headers[0].PixelSpacing
    assert (measures.SliceThickness, measures.SpacingBetweenSlices) == (5, pytest.approx(SPACING[0]))


@READERS
def test_positions_rounded_by_the_scanner_keep_slices_and_frames_together(tmp_path, read):
    headers, affine = mr_series(decimals=1)
    headers[3].ImageOrientationPatient = [x + 1e-4 for x in headers[3].ImageOrientationPatient]
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, [], SETTINGS)
    frames = pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence
    sources = [frame.DerivationImageSequence[0].SourceImageSequence[0] for frame in frames]
    assert [s.ReferencedSOPInstanceUID for s in sources] == ["1.2.3.2.6", "1.2.3.2.4", "1.2.3.2.3"]
    assert same_in_space(lesion(affine), read(tmp_path / "seg.dcm", tmp_path))


# The same run twice is one result


def test_neither_order_of_the_sources_nor_time_changes_a_byte(tmp_path, data_dir):
    mask, headers = read_real(data_dir, FOREIGN_FLAIR)
    further = read_headers(data_dir, *FOREIGN_T1)
    write_dicom_seg(tmp_path / "one.dcm", mask, headers, further, FLAGGED)
    mix = np.random.default_rng(1).permutation
    headers = [headers[n] for n in mix(len(headers))]
    further = [further[n] for n in mix(len(further))]
    write_dicom_seg(tmp_path / "other.dcm", mask, headers, further, FLAGGED)
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "other.dcm").read_bytes()


def test_every_date_and_uid_is_the_sources_or_follows_from_it(tmp_path):
    headers, affine = mr_series()
    headers[0].ContentDate = headers[0].ContentTime = None
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, mr_series("1.2.3.4")[0], SETTINGS)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    sources = {str(e.value) for h in headers + mr_series("1.2.3.4")[0] for e in every_element(h)}
    dated = [e for e in every_element(seg) if e.VR in ("DA", "TM", "DT")]
    assert len(dated) >= 9
    assert {str(e.value) for e in dated} <= sources
    named = {str(e.value) for e in every_element(seg) if e.VR == "UI"}
    assert named - sources <= {uid for uid in named if uid.startswith(("2.25.", "1.2.840.10008."))}
    assert (seg.SeriesDate, seg.SeriesTime) == ("20200121", "081704.25")
    assert (seg.ContentDate, seg.ContentTime) == ("20200121", "081730")  # of the lowest slice
    assert datetime.date.today().strftime("%Y%m%d") not in str(seg)


def test_uids_change_with_inputs_weights_settings_and_the_mask(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    mask = lesion(affine)
    moved = Volume(np.roll(mask.array, 1, axis=1), affine)
    other_run = SegSettings(**{**vars(SETTINGS), "run": "bf16"})
    other_weights = SegSettings(**{**vars(SETTINGS), "weights_sha256": "0" * 64})
    uids = []
    for arguments in (
        (mask, headers, further, SETTINGS),
        (moved, headers, further, SETTINGS),
        (mask, headers, further[:-1], SETTINGS),
        (mask, headers, further, other_run),
        (mask, headers, further, other_weights),
    ):
        write_dicom_seg(tmp_path / "seg.dcm", *arguments)
        seg = pydicom.dcmread(tmp_path / "seg.dcm")
        uids.append((seg.SOPInstanceUID, seg.SeriesInstanceUID, seg.SegmentSequence[0].TrackingUID))
    instances, series, tracking = zip(*uids, strict=True)
    assert len(set(instances)) == 5
    assert series[0] == series[1] and len(set(series)) == 4
    assert not set(instances) & set(series) and not set(series) & set(tracking)


@given(st.lists(st.text(max_size=8), min_size=1, max_size=4))
def test_derived_uids_are_valid_and_keep_parts_apart(parts):
    uid = derived_uid(*parts)
    assert re.fullmatch(r"2\.25\.[1-9][0-9]{0,38}", uid)
    assert int(uid[5:]) >> 76 & 0xF == 8 and int(uid[5:]) >> 62 & 0x3 == 2
    assert uid == derived_uid(*parts)
    assert uid != derived_uid(*parts, "")
    if len(parts) > 1:
        assert uid != derived_uid("".join(parts))


def test_a_uid_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one part"):
        derived_uid()


# What the file says


@pytest.mark.parametrize("settings", [SETTINGS, FLAGGED])
def test_validator_finds_no_error(tmp_path, settings):
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, mr_series("1.2.3.4")[0], settings)
    assert dicom_errors(tmp_path / "seg.dcm") == []


def test_file_and_its_sources_are_one_patient_and_study(tmp_path):
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, [], SETTINGS)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    for keyword in (
        *("PatientName", "PatientID", "PatientSex", "PatientBirthDate", "PatientAge", "AccessionNumber"),
        *(
            "StudyInstanceUID",
            "StudyID",
            "StudyDate",
            "StudyTime",
            "StudyDescription",
            "SpecificCharacterSet",
        ),
        *("ReferringPhysicianName", "FrameOfReferenceUID"),
    ):
        assert seg[keyword].value == headers[0][keyword].value, keyword
    files = []
    for header in headers:
        files.append(tmp_path / f"{header.SOPInstanceUID}.dcm")
        header.save_as(files[-1], enforce_file_format=True)
    judged = run_tool("dcentvfy", tmp_path / "seg.dcm", *files)
    assert judged.stdout + judged.stderr == ""
    seg.PatientID = "another"
    seg.save_as(tmp_path / "seg.dcm")
    assert "PatientID" in run_tool("dcentvfy", tmp_path / "seg.dcm", *files).stderr


def test_segment_says_what_it_is_and_how_it_was_made(tmp_path):
    headers, affine = mr_series()
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, [], SETTINGS)
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    assert seg.segmentation_type is hd.seg.SegmentationTypeValues.BINARY
    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert seg.NumberOfFrames == 3
    assert (seg.BodyPartExamined, seg.SeriesNumber, seg.Modality) == ("BRAIN", 1004, "SEG")
    segment = seg.get_segment_description(1)
    assert (segment.segmented_property_category.value, segment.segmented_property_type.value) == (
        "49755003",
        "301766008",
    )
    assert segment.anatomic_regions[0].value == "12738006"
    assert segment.algorithm_type is hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("bn_unet", "0.1.0")
    assert SETTINGS.weights_sha256 in algorithm.AlgorithmParameters
    assert segment.tracking_uid.startswith("2.25.") and segment.tracking_id
    assert len(segment.RecommendedDisplayCIELabValue) == 3


def test_doubt_stands_where_a_pacs_shows_it(tmp_path):
    headers, affine = mr_series()
    texts = {}
    for name, settings in (("plain", SETTINGS), ("flagged", FLAGGED)):
        write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, [], settings)
        seg = pydicom.dcmread(tmp_path / "seg.dcm")
        said = seg.SegmentSequence[0].SegmentDescription
        texts[name] = (seg.SeriesDescription, seg.ContentDescription, said)
    assert all(RESEARCH_NOTICE in said for said in (*texts["plain"][1:], *texts["flagged"][1:]))
    assert not any("REVIEW" in said for said in texts["plain"])
    assert all("REVIEW" in said for said in texts["flagged"])
    assert all(reason in texts["flagged"][2] for reason in (*FLAGGED.flags, "post"))


def test_no_value_is_longer_than_its_vr_allows(tmp_path):
    headers, affine = mr_series()
    endless = "naïve \\ text\n" * 200
    settings = SegSettings(
        (Segment("endless", endless),),
        *(endless,) * 3,
        series_description=endless,
        flags=(endless,),
        substituted=(endless,),
        notes=endless,
    )
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, [], settings)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    limits = {"LO": LO_LENGTH, "ST": ST_LENGTH, "SH": 16, "CS": 16, "LT": 10240, "UI": 64}
    for element in every_element(seg):
        values = element.value if element.VM > 1 else [element.value]
        assert all(len(str(value)) <= limits.get(element.VR, 10**6) for value in values), element.keyword
    assert seg.SeriesDescription.startswith("REVIEW")
    assert dicom_errors(tmp_path / "seg.dcm") == []


@given(st.text(max_size=100), st.integers(4, 80))
def test_plain_text_fits_any_value_representation(value, length):
    text = plain_text(value, length)
    assert len(text) <= length and text.isascii() and "\\" not in text
    assert text == " ".join(text.split()) and (not text or text.isprintable())
