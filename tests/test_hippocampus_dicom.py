"""A T1 around a hippocampus as DICOM, end to end: two segments, measured, where the NIfTI of the same scan has them."""

import json
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_forms import COLUMNS, ROWS, SLICES, SPACING, mr_slices
from dicom_series import same_in_space
from external_tools import dicom_errors
from hippocampus_scans import BUNDLE, contrast_bundle, two_balls
from pydicom.sr.codedict import codes
from sr_reports import SAME_ML, read_report
from studies import run

from scanweave.transforms.geometry import LPS_FROM_RAS, Volume


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An oblique T1 of thick slices with a bright and a dark ball, and a bundle that marks them."""
    values, _ = two_balls((SLICES, ROWS, COLUMNS), SPACING, along=1)
    root = tmp_path_factory.mktemp("invented")
    (root / "series").mkdir()
    for n, dataset in enumerate(mr_slices(values=values)):
        dataset.SeriesDescription, dataset.EchoTime = "T1 crop", "3"
        dataset.save_as(root / "series" / f"{n}.dcm", enforce_file_format=True)
    return root / "series", str(contrast_bundle(root / "contrast"))


@pytest.fixture(scope="module")
def real(data_dir: Path) -> tuple[Path, str]:
    """A crop of 1 mm that somebody else has written as DICOM, and the shipped network."""
    return data_dir / "study-siemens" / "11_HCropVolume", BUNDLE.name


@pytest.mark.parametrize("scan", ["invented", "real"])
def test_a_crop_as_dicom(scan: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    series, bundle = request.getfixturevalue(scan)
    ran = run("segment", "--input", f"t1={series}", "-o", tmp_path / "dicom", "--bundle", bundle, "--json")
    assert ran.exit_code == 0, ran.lines
    (folder,) = (tmp_path / "dicom").iterdir()
    record = json.loads(ran.out)
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(series.glob("*.dcm"))]

    seg = hd.seg.segread(folder / "segmentation.dcm")
    assert dicom_errors(folder / "segmentation.dcm") == [] == dicom_errors(folder / "measurements.dcm")
    assert seg.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
    assert seg.StudyInstanceUID == headers[0].StudyInstanceUID and seg.PatientID == headers[0].PatientID
    found = [item.SegmentedPropertyTypeCodeSequence[0] for item in seg.SegmentSequence]
    assert [(code.CodeValue, code.CodingSchemeDesignator) for code in found] == [("5366008", "SCT")] * 2
    modifiers = [code.SegmentedPropertyTypeModifierCodeSequence[0] for code in found]
    assert [code.CodeMeaning for code in modifiers] == ["Anterior", "Posterior"]

    _, wholes, _ = read_report(folder / "measurements.dcm", headers)
    for number, (group, name) in enumerate(zip(wholes, ("anterior", "posterior"), strict=True), start=1):
        assert group.group.referenced_segment[0].referenced_segment_numbers == [number]
        (volume,) = group.group.get_measurements(name=codes.SCT.Volume)
        assert volume.value == pytest.approx(record["segments"][name]["volume_ml"], abs=SAME_ML)
        assert volume.value > 0.3

    read = seg.get_volume(combine_segments=True)
    by_dicom = Volume(read.array, LPS_FROM_RAS @ read.affine)
    by_nifti = segmented_nifti(series, bundle, tmp_path)
    for label in (1, 2):
        one, other = (Volume(volume.array == label, volume.affine) for volume in (by_dicom, by_nifti))
        assert one.array.any() and same_in_space(one, other)


def segmented_nifti(series: Path, bundle: str, folder: Path) -> Volume:
    """The labels of the same scan from the NIfTI file that SimpleITK makes of it."""
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series))
    sitk.WriteImage(sitk.ReadImage(files), folder / "t1.nii.gz")
    ran = run("segment", folder / "t1.nii.gz", "-o", folder / "nifti", "--bundle", bundle)
    assert ran.exit_code == 0, ran.lines
    image = nib.load(folder / "nifti" / "t1" / "segmentation.nii.gz")
    return Volume(np.asarray(image.dataobj), image.affine)
