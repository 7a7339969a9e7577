"""The DICOM Segmentation of headers from the wild, of several series, and what is refused."""

import struct
import warnings
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_series import (
    FLAGGED,
    SETTINGS,
    every_element,
    lesion,
    mr_series,
    read_dcmqi,
    read_highdicom,
    same_in_space,
)
from external_tools import dicom_errors
from pydicom import config
from pydicom.dataset import Dataset
from scipy.spatial.transform import Rotation

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume
from scanweave.transforms.io.dicom_seg import SegSettings, write_dicom_seg

READERS = pytest.mark.parametrize("read", [read_highdicom, read_dcmqi])


# The other series


def test_no_other_series_is_referenced(tmp_path):
    """A viewer that is offered several draws on any of them (OHIF 3.12), and none but the FLAIR has these planes."""
    headers, affine = mr_series()
    further = mr_series("1.2.3.4", "T1")[0]
    elsewhere = mr_series("1.2.3.5", "T1 of last year")[0][:2]
    placeless = mr_series("1.2.3.6")[0][:1]
    del placeless[0].ImagePositionPatient
    for header in elsewhere:
        header.StudyInstanceUID = "1.2.4.1"
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, further + elsewhere + placeless, SETTINGS)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    flair = {header.SOPInstanceUID for header in headers}
    named = {element.value for element in every_element(seg) if element.keyword == "ReferencedSOPInstanceUID"}
    assert named == flair
    assert {item.ReferencedSOPInstanceUID for item in seg.SourceImageSequence} == flair
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == "1.2.3.2"
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == flair
    assert "StudiesContainingOtherReferencedInstancesSequence" not in seg
    assert dicom_errors(tmp_path / "seg.dcm") == []


def test_a_series_in_two_roles_counts_once_in_any_order(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    write_dicom_seg(tmp_path / "one.dcm", lesion(affine), headers, further, SETTINGS)
    twice = [*further[::-1], *headers, *further]
    write_dicom_seg(tmp_path / "two.dcm", lesion(affine), headers[::-1], twice, SETTINGS)
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()


# Headers from the wild


def test_absent_and_odd_attributes_become_empty_ones(tmp_path):
    headers, affine = mr_series()
    kept = (
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "Modality",
        "Rows",
        "Columns",
    )
    geometry = ("PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient")
    bare = []
    for header in headers:
        bare.append(Dataset())
        for keyword in (*kept, *geometry):
            bare[-1].add(header[keyword])
    write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), bare, bare[:0], SETTINGS)
    assert dicom_errors(tmp_path / "seg.dcm") == []
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "AccessionNumber",
        "StudyID",
    ):
        assert seg[keyword].is_empty
    assert seg.FrameOfReferenceUID.startswith("2.25.")
    assert same_in_space(lesion(affine), read_highdicom(tmp_path / "seg.dcm", tmp_path))


def test_odd_values_give_no_warning_that_names_the_patient(tmp_path, caplog):
    headers, affine = mr_series()
    files = [tmp_path / f"{header.SOPInstanceUID}.dcm" for header in headers]
    with config.disable_value_validation():
        for header, file in zip(headers, files, strict=True):
            header.add_new("PatientName", "PN", "secret")
            header.add_new("PatientID", "LO", "secret" * 20)
            header.add_new("PatientSex", "CS", "U")
            header.add_new("PatientBirthDate", "DA", "3.2.1961 secret")
            header.add_new("StudyDate", "DA", "last week")
            header.DiffusionBValue = 1000.0
            header.save_as(file, enforce_file_format=True)
            whole = b"FD\x08\x00" + struct.pack("<d", 1000.0)
            assert whole in file.read_bytes()  # half a number is left: pydicom raises when it meets that
            file.write_bytes(file.read_bytes().replace(whole, b"FD\x04\x00" + whole[-4:]))
    headers = [pydicom.dcmread(file) for file in files]  # values are decoded only when they are used
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, [], SETTINGS)
    assert "secret" not in caplog.text + " ".join(str(item.message) for item in caught)
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    with config.disable_value_validation():
        assert (seg.PatientName, seg.PatientID) == ("secret", "secret" * 20)
    assert (seg.PatientSex, seg.PatientBirthDate, seg.StudyDate) == ("", "", "")


def test_sources_and_mask_stay_as_they_were(tmp_path):
    headers, affine = mr_series()
    further = mr_series("1.2.3.4")[0]
    mask = lesion(affine)
    write_dicom_seg(tmp_path / "seg.dcm", mask, headers, further, FLAGGED)
    assert headers == mr_series()[0] and further == mr_series("1.2.3.4")[0]
    assert np.array_equal(mask.array, lesion(affine).array) and np.array_equal(mask.affine, affine)


# What is refused


def shifted(affine, axis, voxels):
    moved = affine.copy()
    moved[:3, 3] += affine[:3, axis] * voxels
    return moved


def wrong_masks():
    _, affine = mr_series()
    array = lesion(affine).array
    oblique = affine.copy()
    oblique[:3, :3] = Rotation.from_euler("z", 45, degrees=True).as_matrix() @ oblique[:3, :3]
    mirrored = affine.copy()
    mirrored[:3, 1] *= -1
    return {
        "empty": Volume(np.zeros_like(array), affine),
        "labels": Volume(array * 2, affine),
        "half a column aside": Volume(array, shifted(affine, 0, 0.5)),
        "half a slice aside": Volume(array, shifted(affine, 2, 0.5)),
        "other spacing": Volume(array, affine @ np.diag([1.01, 1, 1, 1]) @ np.diag([1.02, 1, 1, 1])),
        "a slice short": Volume(array[:, :, :-1], affine),
        "rotated": Volume(array, oblique),
        "mirrored": Volume(array, mirrored),
        "LPS for RAS": Volume(array, LPS_FROM_RAS @ affine),
    }


@pytest.mark.parametrize("name", wrong_masks())
def test_masks_that_do_not_belong_to_the_headers_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"mask|slices, rows, columns"):
        write_dicom_seg(tmp_path / "seg.dcm", wrong_masks()[name], mr_series()[0], [], SETTINGS)
    assert not (tmp_path / "seg.dcm").exists()


def test_sources_without_geometry_are_refused(tmp_path):
    headers, affine = mr_series()
    del headers[2].ImageOrientationPatient
    with pytest.raises(ValueError, match="complete geometry"):
        write_dicom_seg(tmp_path / "seg.dcm", lesion(affine), headers, [], SETTINGS)


@pytest.mark.parametrize("name", ["label", "algorithm", "version", "weights_sha256"])
def test_settings_without_provenance_cannot_be_built(name):
    with pytest.raises(ValueError, match=name):
        given = {"segments": (replace(SETTINGS.segments[0], label=" "),)} if name == "label" else {name: " "}
        SegSettings(**{**vars(SETTINGS), **given})
