"""The measurement report against readers and validators of other people, against its mask and its Segmentation."""

import datetime
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import torch
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
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage
from sr_reports import comments, read_report, sr_errors
from studies import write_nifti_study

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_seg import SegKind, write_dicom_seg
from scanweave.transforms.io.dicom_seg_settings import RESEARCH_ONLY
from scanweave.transforms.io.dicom_sr import write_dicom_sr
from scanweave.transforms.measure_mask import MaskSize, measure_mask

pytest_plugins = ["study_fixtures"]
SAME_MM, SAME_ML = 0.01, 1e-4
"""What lengths and volumes are rounded to in the report, or less."""
ENDS_MM = 1e-3
"""Coordinates are stored in single precision, positions as decimals."""
EMPTY = MaskSize(0.0, 0, None, ())


def write(folder, mask, headers, further=(), settings=SETTINGS, with_seg=True, slice_axis=2, **options):
    """Segmentation and report of `mask`, each read back."""
    seg = None
    if with_seg:
        write_dicom_seg(folder / "seg.dcm", mask, headers, list(further), settings)
        seg = pydicom.dcmread(folder / "seg.dcm", stop_before_pixels=True)
    path = folder / "sr.dcm"
    size = measure_mask(mask, slice_axis)
    write_dicom_sr(path, size, headers, list(further), settings, seg=seg, **options)
    return SimpleNamespace(path=path, seg=seg, dataset=pydicom.dcmread(path))


def single(affine):
    """The mask of the tests without the parts that touch neither of its two large slices."""
    mask = lesion(affine)
    mask.array[:, :, 5:] = 0
    return mask


def check_numbers(group, measured, ml, headers):
    """A group says what was measured, and its axes lie where they were."""
    assert group.numbers["volume"] == pytest.approx(ml, abs=SAME_ML)
    for key, length, ends in (
        ("long", measured.long_mm, measured.long_ends),
        ("short", measured.short_mm, measured.short_ends),
    ):
        assert group.numbers[key] == pytest.approx(length, abs=SAME_MM)
        assert group.ends[key] == pytest.approx(np.array(ends) @ LPS_FROM_RAS[:3, :3], abs=ENDS_MM)
    assert len(group.drawn_on) == 1


# The report says what the mask is


def test_a_lesion_is_reported_on_its_segment_with_its_axes_on_their_slice(tmp_path):
    headers, affine = mr_series()
    mask = single(affine)
    made = write(tmp_path, mask, headers)
    report, (whole,), others = read_report(made.path, headers)
    size = measure_mask(mask)
    assert others == []
    assert whole.numbers["count"] == 1
    assert whole.numbers["volume"] == pytest.approx(mask.array.sum() * 0.9 * 1.25 * 5.5 / 1000, abs=SAME_ML)
    check_numbers(whole, size.diameters, size.volume_ml, headers)
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
    made = write(tmp_path, mask, headers)
    _, (whole,), parts = read_report(made.path, headers)
    size = measure_mask(mask)
    assert whole.numbers["count"] == len(parts) == size.count == 2
    check_numbers(whole, size.diameters, size.volume_ml, headers)
    for group, part in zip(parts, size.parts, strict=True):
        check_numbers(group, part.diameters, part.volume_ml, headers)
    assert sum(group.numbers["volume"] for group in parts) == pytest.approx(whole.numbers["volume"], abs=3 * SAME_ML)
    tracked = [group.group.tracking_uid for group in (whole, *parts)]
    assert len(set(tracked)) == 3


def test_a_label_map_is_referenced_like_a_segmentation(tmp_path):
    headers, affine = mr_series()
    made = write(tmp_path, single(affine), headers, settings=replace(SETTINGS, kind=SegKind.LABELMAP))
    _, (whole,), _ = read_report(made.path, headers)
    segment, _ = whole.group.referenced_segment
    assert segment.value == (made.seg.SOPClassUID, made.seg.SOPInstanceUID)
    assert segment.referenced_segment_numbers == [1]


def test_without_a_segmentation_the_images_are_measured(tmp_path):
    headers, affine = mr_series()
    made = write(tmp_path, single(affine), headers, with_seg=False)
    _, on_segment, (whole,) = read_report(made.path, headers)
    size = measure_mask(single(affine))
    assert on_segment == []
    check_numbers(whole, size.diameters, size.volume_ml, headers)
    images = {image.referenced_sop_instance_uid for image in whole.group.source_images}
    assert images == {header.SOPInstanceUID for header in headers}


def test_nothing_found_is_said_in_numbers_and_words(tmp_path):
    headers, _ = mr_series()
    write_dicom_sr(tmp_path / "sr.dcm", EMPTY, headers, [], SETTINGS)
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
    made = write(tmp_path, mask, [header])
    report, (whole,), _ = read_report(made.path, [header])
    size = measure_mask(mask)
    check_numbers(whole, size.diameters, size.volume_ml, [header])
    (long_axis,) = (item for item in whole.group.get_measurements() if item.name.meaning == "Long axis")
    image = long_axis.referenced_coordinates[0].ContentSequence[0].ReferencedSOPSequence[0]
    assert image.ReferencedFrameNumber == list(order).index(4) + 1
    assert named_images(report) >= {header.SOPInstanceUID}
    assert dicom_errors(made.path) == []


def named_images(report):
    """Every instance that the content tree names."""
    return {str(e.value) for e in every_element(report) if e.keyword == "ReferencedSOPInstanceUID"}


@pytest.mark.parametrize("vendor", VENDORS)
def test_series_of_every_vendor_can_be_reported(tmp_path, data_dir, vendor):
    pattern = f"dicom-vendors/{vendor}/anatomical/001/*.dcm"
    mask, headers = read_real(data_dir, pattern)
    made = write(tmp_path, mask, headers, slice_axis=0)
    _, (whole,), _ = read_report(made.path, headers)
    size = measure_mask(mask, 0)
    check_numbers(whole, size.diameters, size.volume_ml, headers)
    inherited = dicom_errors(sorted(data_dir.glob(pattern))[0])  # an age that is none ("0Y")
    assert set(dicom_errors(made.path)) <= {line for line in inherited if "PatientAge" in line}


def test_the_report_of_a_real_study_is_valid_and_one_with_its_segmentation(tmp_path, data_dir):
    mask, headers = read_real(data_dir, FOREIGN_FLAIR)
    made = write(tmp_path, mask, headers, read_headers(data_dir, *FOREIGN_T1), FLAGGED, slice_axis=0)
    report, (whole,), _ = read_report(made.path, headers)
    size = measure_mask(mask, 0)
    check_numbers(whole, size.diameters, size.volume_ml, headers)
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
    one = write(folder / "one", single(affine), headers, further)
    several = write(folder / "several", lesion(affine), headers, further, FLAGGED, predecessors=[one.dataset])
    write_dicom_sr(folder / "nothing" / "sr.dcm", EMPTY, headers, further, FLAGGED, predecessors=[several.dataset])
    write(folder / "images", lesion(affine), headers, further, with_seg=False)
    return {path.parent.name: path for path in sorted(folder.glob("*/sr.dcm"))}


def test_dciodvfy_and_dcmtk_find_no_error(tmp_path):
    for path in kinds_of_report(tmp_path).values():
        assert dicom_errors(path) == []
        dumped = run_tool("dsrdump", "+U8", path)
        assert dumped.returncode == 0 and not re.search(r"^[EF]: ", dumped.stderr, re.MULTILINE)
        assert "Imaging Measurement Report" in dumped.stdout


def test_the_template_validator_finds_no_error(tmp_path):
    made = kinds_of_report(tmp_path)
    assert sr_errors(made["one"], made["several"], made["nothing"]) == [[], [], []]


def test_the_template_validator_would_find_one(tmp_path):
    headers, affine = mr_series()
    made = write(tmp_path, single(affine), headers)
    measurements = next(item for item in made.dataset.ContentSequence if "ContentSequence" in item and
                        item.ConceptNameCodeSequence[0].CodeValue == "126010")  # fmt: skip
    group = measurements.ContentSequence[0]
    named = [item for item in group.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue != "121191"]
    group.ContentSequence = named  # the segment is gone, its source series stays
    made.dataset.save_as(made.path)
    assert sr_errors(made.path) != [[]]


def test_file_and_its_sources_are_one_patient_and_study(tmp_path):
    headers, affine = mr_series()
    made = write(tmp_path, single(affine), headers)
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


def entity_errors(report, *others):
    """What dcentvfy finds different in one patient, study or series; its tables put one number of SR and MR apart."""
    judged = run_tool("dcentvfy", report, *others)
    false = (
        "Warning - Different information entities for attribute - Element=<AccessionNumber> IE <Study> versus <Series> "
    )
    return [line for line in (judged.stdout + judged.stderr).splitlines() if not line.startswith(false)]


def test_everything_that_is_named_is_evidence(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4", "T1")[0]
    elsewhere = mr_series("1.2.3.5", "T1 of last year")[0][:2]
    for header in elsewhere:
        header.StudyInstanceUID = "1.2.4.1"
    made = write(tmp_path, lesion(affine), headers, [*further, *elsewhere, *headers])
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


# What it says in words


def test_doubt_stands_where_a_pacs_shows_it(tmp_path):
    headers, affine = mr_series()
    said = {}
    for name, settings in (("plain", SETTINGS), ("flagged", FLAGGED)):
        made = write(tmp_path, single(affine), headers, settings=settings)
        report, _, _ = read_report(made.path, headers)
        said[name] = (made.dataset.SeriesDescription, comments(report))
        assert RESEARCH_ONLY in said[name][1]
    assert "REVIEW" not in said["plain"][0] + " ".join(said["plain"][1])
    assert said["flagged"][0].startswith("REVIEW")
    texts = said["flagged"][1]
    assert [text for text in texts if "REVIEW" in text] == [f"REVIEW: {flag}" for flag in FLAGGED.flags]
    assert "Another series stands in for: post" in texts


def test_the_algorithm_and_the_device_are_named(tmp_path):
    headers, affine = mr_series()
    made = write(tmp_path, lesion(affine), headers)
    report, (whole,), parts = read_report(made.path, headers)
    for group in (whole, *parts):
        texts = {i.name.meaning: i.TextValue for i in group.group[0].ContentSequence if i.ValueType == "TEXT"}
        assert (texts["Algorithm Name"], texts["Algorithm Version"]) == ("bn_unet", "0.1.0")
        assert SETTINGS.weights_sha256 in texts["Algorithm Parameters"]
    (observer,) = report.content.get_observer_contexts()
    device = observer.observer_identifying_attributes
    assert (device.name, device.model_name) == ("scanweave", "bn_unet") and device.uid.startswith("2.25.")
    assert (made.dataset.CompletionFlag, made.dataset.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert made.dataset.PreliminaryFlag == "PRELIMINARY"
    assert (made.dataset.Modality, made.dataset.SeriesNumber) == ("SR", 5004)


def test_no_value_is_longer_than_its_vr_allows(tmp_path):
    headers, affine = mr_series()
    endless = "naïve \\ text\n" * 200
    settings = replace(FLAGGED, label=endless, algorithm=endless, version=endless, weights_sha256=endless,
                       series_description=endless, flags=(endless,), substituted=(endless,), notes=endless)  # fmt: skip
    made = write(tmp_path, single(affine), headers, settings=settings)
    limits = {"LO": 64, "ST": 1024, "SH": 16, "CS": 16, "UI": 64}
    for element in every_element(made.dataset):
        values = element.value if element.VM > 1 else [element.value]
        assert all(len(str(value)) <= limits.get(element.VR, 10**6) for value in values), element.keyword
    assert dicom_errors(made.path) == []


# The same run twice is one result


def test_neither_order_of_the_sources_nor_time_changes_a_byte(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    one = write(tmp_path, lesion(affine), headers, further, FLAGGED).path.read_bytes()
    mix = np.random.default_rng(1).permutation
    twice = [*(further[n] for n in mix(len(further))), *headers]
    other = write(tmp_path, lesion(affine), [headers[n] for n in mix(len(headers))], twice, FLAGGED).path.read_bytes()
    assert one == other


def test_every_date_and_uid_is_the_sources_or_follows_from_it(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    made = write(tmp_path, lesion(affine), headers, further)
    sources = {str(e.value) for h in headers + further for e in every_element(h)}
    dated = [e for e in every_element(made.dataset) if e.VR in ("DA", "TM", "DT") and not e.is_empty]
    assert len(dated) >= 8
    assert {str(e.value) for e in dated} <= sources
    named = {str(e.value) for e in every_element(made.dataset) if e.VR == "UI"}
    assert named - sources <= {uid for uid in named if uid.startswith(("2.25.", "1.2.840.10008."))}
    assert (made.dataset.SeriesDate, made.dataset.SeriesTime) == ("20200121", "081704.25")
    assert (made.dataset.ContentDate, made.dataset.ContentTime) == ("20200121", "081730")  # of the lowest slice
    assert datetime.date.today().strftime("%Y%m%d") not in str(made.dataset)


def test_uids_change_with_inputs_weights_settings_mask_and_predecessor(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    mask = lesion(affine)
    moved = Volume(np.roll(mask.array, 1, axis=1), affine)
    earlier = Dataset()
    earlier.SOPClassUID, earlier.SOPInstanceUID = Comprehensive3DSRStorage, "1.2.3.8.1"
    earlier.StudyInstanceUID, earlier.SeriesInstanceUID = "1.2.3.1", "1.2.3.8"
    made = [
        write(tmp_path, *arguments, **options).dataset
        for arguments, options in (
            ((mask, headers, further), {}),
            ((moved, headers, further), {}),
            ((mask, headers, further), {"predecessors": [earlier]}),
            ((mask, headers, further), {"with_seg": False}),
            ((mask, headers, further[:-1]), {}),
            ((mask, headers, further, replace(SETTINGS, run="bf16")), {}),
            ((mask, headers, further, replace(SETTINGS, weights_sha256="0" * 64)), {}),
        )
    ]
    assert len({item.SOPInstanceUID for item in made}) == len(made)
    assert [item.SeriesInstanceUID == made[0].SeriesInstanceUID for item in made] == [True] * 4 + [False] * 3
    assert all(item.file_meta.MediaStorageSOPInstanceUID == item.SOPInstanceUID for item in made)


def test_a_report_on_late_slices_names_the_one_that_it_stands_in_for(tmp_path):
    headers, affine = mr_series()
    by_place = sorted(headers, key=lambda header: header.InstanceNumber)
    early = single(affine)
    (tmp_path / "early").mkdir()
    first = write(tmp_path / "early", Volume(early.array[:, :, :8], affine), by_place[:8])
    second = write(tmp_path, early, headers, predecessors=[first.dataset])
    assert first.dataset.SeriesInstanceUID != second.dataset.SeriesInstanceUID
    assert "PredecessorDocumentsSequence" not in first.dataset
    (study,) = second.dataset.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (instance,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID, instance.ReferencedSOPInstanceUID) == (
        first.dataset.StudyInstanceUID,
        first.dataset.SeriesInstanceUID,
        first.dataset.SOPInstanceUID,
    )
    assert instance.ReferencedSOPClassUID == Comprehensive3DSRStorage


# Headers from the wild, and mistakes of the caller


def test_absent_attributes_become_empty_ones(tmp_path):
    headers, affine = mr_series()
    kept = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns",
            "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")  # fmt: skip
    bare = []
    for header in headers:
        bare.append(Dataset())
        for keyword in kept:
            bare[-1].add(header[keyword])
    made = write(tmp_path, lesion(affine), bare)
    assert dicom_errors(made.path) == []
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        assert made.dataset[keyword].is_empty


def test_sources_stay_as_they_were(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    made = write(tmp_path, lesion(affine), headers, further, FLAGGED)
    before = made.seg.to_json()
    write_dicom_sr(tmp_path / "again.dcm", measure_mask(lesion(affine)), headers, further, FLAGGED, seg=made.seg)
    assert headers == mr_series()[0] and further == mr_series("1.2.3.4")[0]
    assert made.seg.to_json() == before


@pytest.mark.parametrize("name", ["between two slices", "of other planes"])
def test_axes_that_were_not_measured_on_the_source_are_refused(tmp_path, name):
    headers, affine = mr_series()
    aside = affine.copy()
    aside[:3, 3] += affine[:3, 2] / 2
    array = lesion(affine).array
    size = measure_mask(Volume(array, aside)) if name == "between two slices" else measure_mask(lesion(affine), 0)
    with pytest.raises(ValueError, match="no slice of the source"):
        write_dicom_sr(tmp_path / "sr.dcm", size, headers, [], SETTINGS)
    assert not (tmp_path / "sr.dcm").exists()


# Whole runs


def test_two_runs_give_one_report_that_agrees_with_all_other_results(trial):
    wanted = ("--outputs", "nifti,dicom-seg,sr")
    names = {"segmentation.nii.gz", "segmentation.dcm", "measurements.dcm", "result.json"}
    folder = trial.done(trial.study, *wanted, files=names)
    again = trial.done(trial.study, *wanted, out=trial.root / "again", files=names)
    path = folder / "measurements.dcm"
    assert path.read_bytes() == (again / "measurements.dcm").read_bytes()
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in trial.slices("flair")]
    report, (whole,), parts = read_report(path, headers)
    result = json.loads((folder / "result.json").read_text())
    seg = pydicom.dcmread(folder / "segmentation.dcm")
    segment, _ = whole.group.referenced_segment
    assert segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert whole.group.tracking_uid == seg.SegmentSequence[0].TrackingUID
    assert report.SeriesDescription == "scanweave measurements"
    assert report.PatientName == "Hidden^Person"
    measured = result["measurements"]
    assert whole.numbers["volume"] == pytest.approx(result["volume_ml"], abs=SAME_ML)
    assert whole.numbers["count"] == result["components"]["kept"]
    assert (measured["plane"], measured["slice_axis"]) == ("axial", "k")
    check_record(whole, measured)
    assert len(measured["parts"]) == result["components"]["kept"]
    for group, part in zip(parts, measured["parts"] if parts else [], strict=True):
        check_record(group, part)
    assert dicom_errors(path) == []
    assert sr_errors(path) == [[]]


def check_record(group, record):
    """result.json and the report say the same."""
    for key in ("long", "short"):
        assert group.numbers[key] == record[f"{key}_axis_mm"]
        ends = np.array(record[f"{key}_axis_ras"]) @ LPS_FROM_RAS[:3, :3]
        assert group.ends[key] == pytest.approx(ends, abs=SAME_MM)


def test_a_run_that_finds_nothing_leaves_a_report_and_no_segmentation(trial, tmp_path):
    (shipped,) = trial.bundle.glob("models/*.pt")
    weights = torch.load(shipped, weights_only=True)
    torch.nn.init.constant_(weights["conv.bias"], -1000.0)
    torch.save(weights, tmp_path / "nothing.pt")
    wanted = ("--outputs", "dicom-seg,sr", "--weights", tmp_path / "nothing.pt")
    folder = trial.done(trial.study, *wanted, files={"measurements.dcm", "result.json"})
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in trial.slices("flair")]
    _, on_segment, (whole,) = read_report(folder / "measurements.dcm", headers)
    assert (on_segment, whole.numbers) == ([], {"volume": 0.0, "count": 0.0})
    assert {image.referenced_sop_instance_uid for image in whole.group.source_images} == {
        header.SOPInstanceUID for header in headers
    }
    result = json.loads((folder / "result.json").read_text())
    assert (result["measurements"]["long_axis_mm"], result["measurements"]["parts"]) == (None, [])
    assert dicom_errors(folder / "measurements.dcm") == []


def test_a_report_needs_dicom(trial):
    flair = write_nifti_study(trial.study, trial.root / "nifti")["flair"]
    trial.refused("USAGE", "--flair", flair, "--outputs", "sr", exit_code=2)
