"""What the report's file says in words and headers, that it is the same twice, and what is refused."""

import datetime
from dataclasses import replace

import numpy as np
import pytest
from dicom_series import (
    FLAGGED,
    SETTINGS,
    every_element,
    lesion,
    mr_series,
)
from external_tools import dicom_errors
from pydicom.dataset import Dataset
from pydicom.uid import Comprehensive3DSRStorage
from sr_reports import comments, read_report, single, write_report

from scanweave import RESEARCH_NOTICE
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.dicom_sr import write_dicom_sr
from scanweave.transforms.measure_mask import measure_mask
from scanweave.transforms.segments import Segment

# What it says in words


def test_doubt_stands_where_a_pacs_shows_it(tmp_path):
    headers, affine = mr_series()
    said = {}
    for name, settings in (("plain", SETTINGS), ("flagged", FLAGGED)):
        made = write_report(tmp_path, single(affine), headers, settings=settings)
        report, _, _ = read_report(made.path, headers)
        said[name] = (made.dataset.SeriesDescription, comments(report))
        assert RESEARCH_NOTICE in said[name][1]
    assert "REVIEW" not in said["plain"][0] + " ".join(said["plain"][1])
    assert said["flagged"][0].startswith("REVIEW")
    texts = said["flagged"][1]
    assert [text for text in texts if "REVIEW" in text] == [f"REVIEW: {flag}" for flag in FLAGGED.flags]
    assert "Another series stands in for: post" in texts


def test_the_algorithm_and_the_device_are_named(tmp_path):
    headers, affine = mr_series()
    made = write_report(tmp_path, lesion(affine), headers)
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
    settings = replace(FLAGGED, segments=(Segment("endless", endless),), algorithm=endless, version=endless,
                       weights_sha256=endless,
                       series_description=endless, flags=(endless,), substituted=(endless,), notes=endless)  # fmt: skip
    made = write_report(tmp_path, single(affine), headers, settings=settings)
    limits = {"LO": 64, "ST": 1024, "SH": 16, "CS": 16, "UI": 64}
    for element in every_element(made.dataset):
        values = element.value if element.VM > 1 else [element.value]
        assert all(len(str(value)) <= limits.get(element.VR, 10**6) for value in values), element.keyword
    assert dicom_errors(made.path) == []


# The same run twice is one result


def test_neither_order_of_the_sources_nor_time_changes_a_byte(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    one = write_report(tmp_path, lesion(affine), headers, further, FLAGGED).path.read_bytes()
    mix = np.random.default_rng(1).permutation
    twice = [*(further[n] for n in mix(len(further))), *headers]
    mixed = [headers[n] for n in mix(len(headers))]
    other = write_report(tmp_path, lesion(affine), mixed, twice, FLAGGED).path.read_bytes()
    assert one == other


def test_every_date_and_uid_is_the_sources_or_follows_from_it(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    made = write_report(tmp_path, lesion(affine), headers, further)
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
        write_report(tmp_path, *arguments, **options).dataset
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
    first = write_report(tmp_path / "early", Volume(early.array[:, :, :8], affine), by_place[:8])
    second = write_report(tmp_path, early, headers, predecessors=[first.dataset])
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
    made = write_report(tmp_path, lesion(affine), bare)
    assert dicom_errors(made.path) == []
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"):
        assert made.dataset[keyword].is_empty


def test_sources_stay_as_they_were(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    made = write_report(tmp_path, lesion(affine), headers, further, FLAGGED)
    before = made.seg.to_json()
    write_dicom_sr(tmp_path / "again.dcm", [measure_mask(lesion(affine))], headers, further, FLAGGED, seg=made.seg)
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
        write_dicom_sr(tmp_path / "sr.dcm", [size], headers, [], SETTINGS)
    assert not (tmp_path / "sr.dcm").exists()
