"""Masks of several labels: from probabilities to every result, read by the field's own programs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import slicerio
from dicom_series import SETTINGS, lesion, mr_series
from external_tools import dicom_errors, run_tool
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sr_reports import read_report, sr_errors

from scanweave.pipeline.bundle import find_bundle
from scanweave.transforms.geometry import Volume
from scanweave.transforms.image import Image
from scanweave.transforms.io.dicom_seg import SegKind, write_dicom_seg
from scanweave.transforms.io.dicom_sr import write_dicom_sr
from scanweave.transforms.io.seg_nrrd import write_seg_nrrd
from scanweave.transforms.keep_components import KeepComponentsd
from scanweave.transforms.measure_mask import measure_mask
from scanweave.transforms.segments import parse_segments
from scanweave.transforms.threshold import label_map

HIPPOCAMPUS = parse_segments(find_bundle("hippocampus").metadata["segments"])
TWO = replace(SETTINGS, segments=HIPPOCAMPUS)


def two_parts() -> tuple[Volume, list[pydicom.Dataset]]:
    """A lesion of which the front is label 1 and the back label 2."""
    headers, affine = mr_series()
    mask = lesion(affine)
    labels = mask.array.astype(np.uint8)
    middle = int(np.argwhere(labels).mean(axis=0)[1])
    labels[:, middle:][labels[:, middle:] > 0] = 2
    return Volume(labels, affine), headers


@given(arrays(np.float32, (3, 2, 3, 4), elements=st.floats(0, 1, width=32)), st.floats(0.1, 0.9))
def test_a_label_is_the_largest_that_is_large_enough(probabilities: np.ndarray, threshold: float) -> None:
    labels = label_map(probabilities, threshold)
    assert labels.shape == (1, 2, 3, 4) and labels.dtype == np.uint8
    for index in np.ndindex(2, 3, 4):
        values = probabilities[:, *index]
        found = labels[0, *index]
        assert found == (int(values.argmax()) + 1 if values.max() >= np.float32(threshold) else 0)
    assert np.array_equal(label_map(probabilities[:1], threshold), probabilities[:1] >= threshold)


def test_components_are_of_all_labels_together() -> None:
    labels = np.zeros((1, 9, 9, 3), dtype=np.uint8)
    labels[0, :3, :3, 0], labels[0, 3:5, :3, 0], labels[0, 7:, 7:, 2] = 1, 2, 2
    pred = np.where(labels > 0, 0.9, 0.0).astype(np.float32).repeat(2, axis=0)
    kept = KeepComponentsd(keep="largest")({"segmentation": Image(labels, np.eye(4)), "pred": Image(pred, np.eye(4))})
    assert kept["components"].count == 2, "what touches is one part, whatever its labels"
    assert np.array_equal(kept["segmentation"].array > 0, (labels > 0) & (np.arange(3) == 0))
    assert set(np.unique(kept["segmentation"].array)) == {0, 1, 2}


@pytest.mark.parametrize("kind", [SegKind.BINARY, SegKind.LABELMAP])
def test_a_seg_of_two_segments(kind: SegKind, tmp_path: Path) -> None:
    mask, headers = two_parts()
    write_dicom_seg(tmp_path / "seg.dcm", mask, headers, [], replace(TWO, kind=kind))
    if kind is SegKind.BINARY:  # dciodvfy does not know the other IOD
        assert dicom_errors(tmp_path / "seg.dcm") == []
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    assert [seg.get_segment_description(n).segment_label for n in (1, 2)] == [one.label for one in HIPPOCAMPUS]
    modifiers = [
        seg.get_segment_description(n).SegmentedPropertyTypeCodeSequence[0].SegmentedPropertyTypeModifierCodeSequence
        for n in (1, 2)
    ]
    assert [code[0].CodeMeaning for code in modifiers] == ["Anterior", "Posterior"]
    assert len({seg.get_segment_description(n).tracking_uid for n in (1, 2)}) == 2
    read = seg.get_volume(combine_segments=True)
    there = Volume(read.array, np.diag([-1.0, -1.0, 1.0, 1.0]) @ read.affine)
    assert same_labels(there, mask)


def same_labels(one: Volume, other: Volume) -> bool:
    """Whether each label has the same voxels in space."""
    for label in (1, 2):
        points = [
            {tuple(point) for point in volume.grid.points(np.argwhere(volume.array == label)).round(2).tolist()}
            for volume in (one, other)
        ]
        if points[0] != points[1] or not points[0]:
            return False
    return True


def test_dcmqi_reads_both(tmp_path: Path) -> None:
    import SimpleITK as sitk

    mask, headers = two_parts()
    write_dicom_seg(tmp_path / "seg.dcm", mask, headers, [], TWO)
    (tmp_path / "out").mkdir()
    run = run_tool(
        "segimage2itkimage", "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path / "out",
        "--outputType", "nrrd",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    for label in (1, 2):
        image = sitk.ReadImage(tmp_path / "out" / f"{label}.nrrd")
        assert int((sitk.GetArrayFromImage(image) > 0).sum()) == int((mask.array == label).sum())


def test_probabilities_of_two_segments(tmp_path: Path) -> None:
    mask, headers = two_parts()
    volumes = [Volume((mask.array == label) * np.float32(level), mask.affine) for label, level in ((1, 0.8), (2, 0.4))]
    settings = replace(TWO, kind=SegKind.FRACTIONAL)
    write_dicom_seg(tmp_path / "seg.dcm", volumes, headers, [], settings)
    assert dicom_errors(tmp_path / "seg.dcm") == []
    seg = hd.seg.segread(tmp_path / "seg.dcm")
    read = seg.get_volume()
    for number, level in ((0, 204), (1, 102)):
        assert set(np.unique(np.rint(read.array[..., number] * 255))) == {0, level}
    with pytest.raises(ValueError, match="a volume for each of 2 segments"):
        write_dicom_seg(tmp_path / "other.dcm", volumes[0], headers, [], settings)
    with pytest.raises(ValueError, match="labels, 0 to 2"):
        write_dicom_seg(tmp_path / "other.dcm", Volume(mask.array * 2, mask.affine), headers, [], TWO)


def test_slicer_reads_both(tmp_path: Path) -> None:
    mask, _ = two_parts()
    write_seg_nrrd(tmp_path / "a.seg.nrrd", mask, TWO)
    read = slicerio.read_segmentation(str(tmp_path / "a.seg.nrrd"))
    assert np.array_equal(read["voxels"], mask.array)
    assert [one["labelValue"] for one in read["segments"]] == [1, 2]
    assert [one["name"] for one in read["segments"]] == [one.label for one in HIPPOCAMPUS]
    assert read["segments"][0]["terminology"]["typeModifier"][1:] == ["255549009", "Anterior"]
    assert read["segments"][0]["color"] != read["segments"][1]["color"]


def test_a_report_measures_each(tmp_path: Path) -> None:
    mask, headers = two_parts()
    write_dicom_seg(tmp_path / "seg.dcm", mask, headers, [], TWO)
    seg = pydicom.dcmread(tmp_path / "seg.dcm", stop_before_pixels=True)
    sizes = [measure_mask(Volume(mask.array == label, mask.affine)) for label in (1, 2)]
    write_dicom_sr(tmp_path / "sr.dcm", sizes, headers, [], TWO, seg=seg)
    assert sr_errors(tmp_path / "sr.dcm") == [[]]
    _, wholes, parts = read_report(tmp_path / "sr.dcm", headers)
    assert len(wholes) == 2 and len(parts) == sum(size.count for size in sizes if size.count > 1)
    for number, (group, size) in enumerate(zip(wholes, sizes, strict=True), start=1):
        segment, _ = group.group.referenced_segment
        assert segment.referenced_segment_numbers == [number]
        assert group.group.tracking_uid == seg.SegmentSequence[number - 1].TrackingUID
        (volume,) = group.group.get_measurements(name=pydicom.sr.codedict.codes.SCT.Volume)
        assert volume.value == pytest.approx(size.volume_ml, abs=1e-4)
        assert not group.group.get_measurements(name=pydicom.sr.codedict.codes.SCT.NumberOfLesions), "no lesions"


@pytest.mark.parametrize(
    ("declared", "said"),
    [([], "1 to 255"), ([{"name": "a"}] * 2, "different"), ([{"name": "A b"}], "small letters")],
)
def test_what_is_no_list_of_segments(declared: list[dict[str, Any]], said: str) -> None:
    code = {"value": "1", "scheme": "SCT", "meaning": "x"}
    whole = [{"label": "x", "category": code, "type": code, "region": code, **one} for one in declared]
    with pytest.raises(ValueError, match=said):
        parse_segments(whole)
