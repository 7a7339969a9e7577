"""The measurement report against readers and validators of other people, against its mask and its Segmentation."""

import copy
import json
import re
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_forms import enhanced, mr_slices
from dicom_series import (
    FLAGGED,
    FOREIGN_FLAIR,
    FOREIGN_T1,
    SETTINGS,
    VENDORS,
    every_element,
    lesion,
    mr_series,
    read_headers,
    read_real,
)
from external_tools import dicom_errors, run_tool
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from sr_reports import (
    SAME_ML,
    SAME_MM,
    check_numbers,
    comments,
    entity_errors,
    named_images,
    read_report,
    single,
    sr_errors,
    write_report,
)

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_seg import SegKind, write_dicom_seg
from scanweave.transforms.io.dicom_sr import write_dicom_sr
from scanweave.transforms.measure_mask import MaskSize, measure_mask

EMPTY = MaskSize(0.0, 0, None, (), "axial")


# The report says what the mask is


def test_a_lesion_is_reported_on_its_segment_with_its_axes_on_their_slice(tmp_path):
    headers, affine = mr_series()
    mask = single(affine)
    made = write_report(tmp_path, mask, headers)
    report, (whole,), others = read_report(made.path, headers)
    size = measure_mask(mask)
    assert others == []
    assert whole.numbers["count"] == 1
    assert whole.numbers["volume"] == pytest.approx(mask.array.sum() * 0.9 * 1.25 * 5.5 / 1000, abs=SAME_ML)
    check_numbers(whole, size.diameters, size.volume_ml)
    assert whole.drawn_on == {f"1.2.3.2.{size.diameters.slice_index + 1}"}  # numbered along the normal
    segment, series = whole.group.referenced_segment
    assert segment.referenced_sop_class_uid == SegmentationStorage
    assert segment.referenced_sop_instance_uid == made.seg.SOPInstanceUID
    assert segment.referenced_segment_numbers == [1]
    assert series.value == headers[0].SeriesInstanceUID
    described = made.seg.SegmentSequence[0]
    assert (whole.group.tracking_uid, whole.group.tracking_identifier) == (described.TrackingUID, described.TrackingID)
    assert (whole.group.finding_category.value, whole.group.finding_type.value) == ("49755003", "301766008")
    assert [site.value.value for site in whole.group.finding_sites] == ["12738006"]
    assert report.SOPClassUID == Comprehensive3DSRStorage


def test_every_part_of_a_lesion_has_a_group_of_its_own(tmp_path):
    headers, affine = mr_series()
    mask = lesion(affine)
    made = write_report(tmp_path, mask, headers)
    _, (whole,), parts = read_report(made.path, headers)
    size = measure_mask(mask)
    assert whole.numbers["count"] == len(parts) == size.count == 2
    check_numbers(whole, size.diameters, size.volume_ml)
    for group, part in zip(parts, size.parts, strict=True):
        check_numbers(group, part.diameters, part.volume_ml)
    assert sum(group.numbers["volume"] for group in parts) == pytest.approx(whole.numbers["volume"], abs=3 * SAME_ML)
    tracked = [group.group.tracking_uid for group in (whole, *parts)]
    assert len(set(tracked)) == 3


def test_a_label_map_is_referenced_like_a_segmentation(tmp_path):
    headers, affine = mr_series()
    made = write_report(tmp_path, single(affine), headers, settings=replace(SETTINGS, kind=SegKind.LABELMAP))
    _, (whole,), _ = read_report(made.path, headers)
    segment, _ = whole.group.referenced_segment
    assert segment.value == (made.seg.SOPClassUID, made.seg.SOPInstanceUID)
    assert segment.referenced_segment_numbers == [1]


def test_without_a_segmentation_the_images_are_measured(tmp_path):
    headers, affine = mr_series()
    made = write_report(tmp_path, single(affine), headers, with_seg=False)
    _, on_segment, (whole,) = read_report(made.path, headers)
    size = measure_mask(single(affine))
    assert on_segment == []
    check_numbers(whole, size.diameters, size.volume_ml)
    images = {image.referenced_sop_instance_uid for image in whole.group.source_images}
    assert images == {header.SOPInstanceUID for header in headers}


def test_it_tracks_the_finding_of_the_segmentations_without_referring_to_any(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    of_probabilities = replace(SETTINGS, kind=SegKind.FRACTIONAL, all_frames=True, notes="Probabilities")
    made = [write_report(tmp_path, single(affine), headers, further, with_seg=with_seg) for with_seg in (True, False)]
    write_dicom_seg(tmp_path / "seg.dcm", single(affine), headers, further, of_probabilities)
    (segment,) = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    tracked = [(segment.TrackingUID, segment.TrackingID)]
    for item in made:
        (whole,) = (group for groups in read_report(item.path, headers)[1:] for group in groups)
        tracked.append((whole.group.tracking_uid, whole.group.tracking_identifier))
    assert len(set(tracked)) == 1


@pytest.mark.parametrize(("axis", "plane"), [(0, "sagittal"), (1, "coronal"), (2, "axial")])
def test_the_plane_of_the_slices_is_told(tmp_path, axis, plane):
    directions = np.roll(np.eye(3), 2 - axis, axis=0)  # of rows, columns and slices
    assert directions[2, axis] == 1
    slices = mr_slices(directions)
    mask = np.zeros((slices[0].Columns, slices[0].Rows, len(slices)), np.uint8)
    mask[3:9, 4:8, 2] = 1
    affine = np.eye(4)
    affine[:3, :3] = (directions * np.array([[1.1], [0.9], [5.5]])).T  # mm along row, column and normal
    affine[:3, 3] = np.array(slices[0].ImagePositionPatient, float)
    made = write_report(tmp_path, Volume(mask, LPS_FROM_RAS @ affine), slices, with_seg=False)
    report, _, (whole,) = read_report(made.path, slices)
    assert whole.numbers["long"] == pytest.approx(np.hypot(6 * 1.1, 3 * 0.9), abs=SAME_MM)
    assert f"within one {plane} slice" in " ".join(comments(report))


def test_nothing_found_is_said_in_numbers_and_words(tmp_path):
    headers, _ = mr_series()
    write_dicom_sr(tmp_path / "sr.dcm", [EMPTY], headers, [], SETTINGS)
    report, on_segment, (whole,) = read_report(tmp_path / "sr.dcm", headers)
    assert on_segment == []
    assert whole.numbers == {"volume": 0.0, "count": 0.0}
    images = {image.referenced_sop_instance_uid for image in whole.group.source_images}
    assert images == {header.SOPInstanceUID for header in headers}
    assert any("mask is empty" in text for text in comments(report))


@pytest.mark.parametrize("order", [range(6), (3, 0, 5, 1, 4, 2)])
def test_axes_on_an_enhanced_image_name_their_frame(tmp_path, order):
    slices = mr_slices()
    header = enhanced([slices[n] for n in order])
    along, down = np.reshape(np.array(slices[0].ImageOrientationPatient, float), (2, 3))
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([along * 1.1, down * 0.9, np.cross(along, down) * 5.5])
    affine[:3, 3] = slices[0].ImagePositionPatient
    array = np.zeros((36, 40, 6), np.uint8)
    array[4:9, 11:30, 4] = 1
    mask = Volume(array, LPS_FROM_RAS @ affine)
    made = write_report(tmp_path, mask, [header])
    report, (whole,), _ = read_report(made.path, [header])
    size = measure_mask(mask)
    check_numbers(whole, size.diameters, size.volume_ml)
    (long_axis,) = (item for item in whole.group.get_measurements() if item.name.meaning == "Long axis")
    image = long_axis.referenced_coordinates[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedFrameNumber == list(order).index(4) + 1
    assert named_images(report) >= {header.SOPInstanceUID}
    assert dicom_errors(made.path) == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_series_of_every_vendor_can_be_reported(tmp_path, data_dir, vendor):
    pattern = f"dicom-vendors/{vendor}/anatomical/001/*.dcm"
    mask, headers = read_real(data_dir, pattern)
    made = write_report(tmp_path, mask, headers, slice_axis=0)
    _, (whole,), _ = read_report(made.path, headers)
    size = measure_mask(mask, 0)
    check_numbers(whole, size.diameters, size.volume_ml)
    inherited = dicom_errors(sorted(data_dir.glob(pattern))[0])  # an age that is none ("0Y")
    assert set(dicom_errors(made.path)) <= {line for line in inherited if "PatientAge" in line}


def test_the_report_of_a_real_study_is_valid_and_one_with_its_segmentation(tmp_path, data_dir):
    mask, headers = read_real(data_dir, FOREIGN_FLAIR)
    made = write_report(tmp_path, mask, headers, read_headers(data_dir, *FOREIGN_T1), FLAGGED, slice_axis=0)
    report, (whole,), _ = read_report(made.path, headers)
    size = measure_mask(mask, 0)
    check_numbers(whole, size.diameters, size.volume_ml)
    assert made.seg.SOPInstanceUID in named_images(report)
    assert dicom_errors(made.path) == []
    sources = sorted(data_dir.glob(FOREIGN_FLAIR))
    assert entity_errors(made.path, tmp_path / "seg.dcm", *sources) == entity_errors(*sources)
    assert sr_errors(made.path) == [[]]


# What other programs say of it


def kinds_of_report(folder):
    """A report of each kind: one lesion; several, in doubt, with a predecessor; nothing; without a Segmentation."""
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    for name in ("one", "several", "nothing", "images"):
        (folder / name).mkdir()
    one = write_report(folder / "one", single(affine), headers, further)
    several = write_report(folder / "several", lesion(affine), headers, further, FLAGGED, predecessors=[one.dataset])
    write_dicom_sr(folder / "nothing" / "sr.dcm", [EMPTY], headers, further, FLAGGED, predecessors=[several.dataset])
    write_report(folder / "images", lesion(affine), headers, further, with_seg=False)
    return {path.parent.name: path for path in sorted(folder.glob("*/sr.dcm"))}


def test_dciodvfy_and_dcmtk_find_no_error(tmp_path):
    for path in kinds_of_report(tmp_path).values():
        assert dicom_errors(path) == []
        dumped = run_tool("dsrdump", "+U8", path)
        assert dumped.returncode == 0 and not re.search(r"^[EF]: ", dumped.stderr, re.MULTILINE)
        assert "Imaging Measurement Report" in dumped.stdout


def test_dcmqi_reads_numbers_and_references(tmp_path):
    headers, affine = mr_series()
    made = write_report(tmp_path, lesion(affine), headers)
    ran = run_tool("tid1500reader", "--inputDICOM", made.path, "--outputMetadata", tmp_path / "read.json")
    assert ran.returncode == 0, ran.stderr
    whole, *parts = json.loads((tmp_path / "read.json").read_text())["Measurements"]
    size = measure_mask(lesion(affine))
    for read, volume_ml, measured in (
        (whole, size.volume_ml, size.diameters),
        *((read, part.volume_ml, part.diameters) for read, part in zip(parts, size.parts, strict=True)),
    ):
        values = {item["quantity"]["CodeMeaning"]: float(item["value"]) for item in read["measurementItems"]}
        values.pop("Number of lesions (observable entity)", None)
        expected = {"Volume": volume_ml, "Long axis": measured.long_mm, "Short axis": measured.short_mm}
        assert values == pytest.approx(expected, abs=SAME_MM)
    assert whole["segmentationSOPInstanceUID"] == made.seg.SOPInstanceUID
    assert whole["SourceSeriesForImageSegmentation"] == headers[0].SeriesInstanceUID


def test_the_template_validator_finds_no_error(tmp_path):
    made = kinds_of_report(tmp_path)
    assert sr_errors(made["one"], made["several"], made["nothing"]) == [[], [], []]


def test_the_template_validator_would_find_one(tmp_path):
    headers, affine = mr_series()
    made = write_report(tmp_path, single(affine), headers)
    (measurements,) = (i for i in made.dataset.ContentSequence if i.ConceptNameCodeSequence[0].CodeValue == "126010")
    without = copy.deepcopy(measurements.ContentSequence[0])
    kept = [item for item in without.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != "121191"]
    without.ContentSequence = kept  # the segment is gone from a first group, and stays in the second
    measurements.ContentSequence = [without, *measurements.ContentSequence]
    made.dataset.save_as(made.path)
    with pytest.raises(AssertionError, match="Missing conditional content item"):
        sr_errors(made.path)


def test_file_and_its_sources_are_one_patient_and_study(tmp_path):
    headers, affine = mr_series()
    made = write_report(tmp_path, single(affine), headers)
    for keyword in (
        *("PatientName", "PatientID", "PatientSex", "PatientBirthDate", "PatientAge", "AccessionNumber"),
        *("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "ReferringPhysicianName"),
        "SpecificCharacterSet",
    ):
        assert made.dataset[keyword].value == headers[0][keyword].value, keyword
    files = [tmp_path / "seg.dcm"]
    for header in headers:
        files.append(tmp_path / f"{header.SOPInstanceUID}.dcm")
        header.save_as(files[-1], enforce_file_format=True)
    assert entity_errors(made.path, *files) == []
    made.dataset.PatientID = "another"
    made.dataset.save_as(made.path)
    assert any("PatientID" in line for line in entity_errors(made.path, *files))


def test_everything_that_is_named_is_evidence(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4", "T1")[0]
    elsewhere = mr_series("1.2.3.5", "T1 of last year")[0][:2]
    for header in elsewhere:
        header.StudyInstanceUID = "1.2.4.1"
    made = write_report(tmp_path, lesion(affine), headers, [*further, *elsewhere, *headers])
    listed = {}
    for keyword in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        (study,) = made.dataset[keyword]
        uids = [i.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for i in s.ReferencedSOPSequence]
        assert len(uids) == len(set(uids))
        listed[study.StudyInstanceUID] = set(uids)
    own = {header.SOPInstanceUID for header in headers + further} | {made.seg.SOPInstanceUID}
    assert listed == {"1.2.3.1": own, "1.2.4.1": {header.SOPInstanceUID for header in elsewhere}}
    tree_of_content = made.dataset.ContentSequence
    named = {
        e.value for item in tree_of_content for e in every_element(item) if e.keyword == "ReferencedSOPInstanceUID"
    }
    assert named <= own and {header.SOPInstanceUID for header in headers} | {made.seg.SOPInstanceUID} <= named
