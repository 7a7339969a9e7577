"""Whole runs with every output for a PACS or viewer: alike, of nothing, with frames for all slices, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import slicerio
import torch
from external_tools import dicom_errors
from sr_reports import SAME_ML, SAME_MM, Group, read_report
from studies import Trial, edit, tree, write_nifti_study

from scanweave.pipeline.outputs import OUTPUTS
from scanweave.pipeline.segment_settings import SegmentSettings, overrides_of
from scanweave.transforms.geometry import LPS_FROM_RAS

pytest_plugins = ["study_fixtures"]

DICOM_OUTPUTS = [name for name, output in OUTPUTS.items() if output.sources == ("dicom",)]
SEGS = [name for name in DICOM_OUTPUTS if name.startswith("dicom-seg")]


def files_of(*outputs: str) -> set[str]:
    return {"result.json", *(OUTPUTS[name].file for name in outputs)}


def flair_headers(trial: Trial) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(file, stop_before_pixels=True) for file in trial.slices("flair")]


def test_the_report_agrees_with_all_other_results(trial: Trial) -> None:
    wanted = ("nifti", "dicom-seg", "sr")
    folder = trial.done(trial.study, "--outputs", ",".join(wanted), files=files_of(*wanted))
    report, (whole,), parts = read_report(folder / "measurements.dcm", flair_headers(trial))
    result = json.loads((folder / "result.json").read_text())
    seg = pydicom.dcmread(folder / "segmentation.dcm")
    segment, _ = whole.group.referenced_segment
    assert segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert whole.group.tracking_uid == seg.SegmentSequence[0].TrackingUID
    assert report.SeriesDescription.removeprefix("REVIEW: ") == "scanweave measurements"
    assert report.PatientName == "Hidden^Person"
    measured = result["measurements"]
    assert whole.numbers["volume"] == pytest.approx(result["volume_ml"], abs=SAME_ML)
    assert whole.numbers["count"] == result["components"]["kept"]
    assert (measured["plane"], measured["slice_axis"]) == ("axial", "k")
    check_record(whole, measured)
    assert len(measured["parts"]) == result["components"]["kept"]
    for group, part in zip(parts, measured["parts"] if parts else [], strict=True):
        check_record(group, part)


def check_record(group: Group, record: dict[str, Any]) -> None:
    """result.json and the report say the same."""
    for key in ("long", "short"):
        assert group.numbers[key] == record[f"{key}_axis_mm"]
        ends = np.array(record[f"{key}_axis_ras"]) @ LPS_FROM_RAS[:3, :3]
        assert group.ends[key] == pytest.approx(ends, abs=SAME_MM)


def test_two_runs_give_the_same_bytes(trial: Trial) -> None:
    """All but result.json, which holds the seconds."""
    wanted = (*DICOM_OUTPUTS, "nifti", "probability", "seg-nrrd")
    arguments = (trial.study, "--outputs", ",".join(wanted))
    one = tree(trial.done(*arguments, files=files_of(*wanted)))
    two = tree(trial.done(*arguments, out=trial.root / "again", files=files_of(*wanted)))
    assert one.keys() == two.keys() and len(one) == len(files_of(*wanted)) + len(trial.slices("flair"))
    assert {name for name in one if one[name] != two[name]} == {"result.json"}


def test_a_run_that_finds_nothing_says_so_in_every_result_but_the_segmentations(trial: Trial, tmp_path: Path) -> None:
    (shipped,) = trial.bundle.glob("models/*.pt")
    weights = torch.load(shipped, weights_only=True)
    torch.nn.init.constant_(weights["conv.bias"], -1000.0)
    torch.save(weights, tmp_path / "nothing.pt")
    wanted = (*DICOM_OUTPUTS, "seg-nrrd")
    arguments = ("--outputs", ",".join(wanted), "--weights", tmp_path / "nothing.pt")
    folder = trial.done(trial.study, *arguments, files=files_of("sr", "secondary-capture", "seg-nrrd"))
    headers = flair_headers(trial)
    slices = {header.SOPInstanceUID for header in headers}
    _, on_segment, (whole,) = read_report(folder / "measurements.dcm", headers)
    assert (on_segment, whole.numbers) == ([], {"volume": 0.0, "count": 0.0})
    assert {image.referenced_sop_instance_uid for image in whole.group.source_images} == slices
    pictures = sorted((folder / "secondary-capture").iterdir())
    assert {pydicom.dcmread(path).SourceImageSequence[0].ReferencedSOPInstanceUID for path in pictures} == slices
    for path in (folder / "measurements.dcm", pictures[0]):
        assert dicom_errors(path) == []
    nrrd = slicerio.read_segmentation(str(folder / "segmentation.seg.nrrd"))
    assert len(nrrd["segments"]) == 1 and not nrrd["voxels"].any()
    result = json.loads((folder / "result.json").read_text())
    assert (result["measurements"]["long_axis_mm"], result["measurements"]["parts"]) == (None, [])
    assert any("the mask is empty" in text for text in result["warnings"])


def test_frames_are_those_that_hold_something_unless_all_are_asked_for(trial: Trial) -> None:
    slices = trial.slices("flair")
    rows, columns = (pydicom.dcmread(slices[0])[keyword].value for keyword in ("Rows", "Columns"))
    edit(slices[0], PixelData=bytes(2 * rows * columns))  # no head in it, nor in a T1: it is cropped away
    for path in (*trial.slices("pre"), *trial.slices("post")):
        path.unlink()
    counts = []
    for option in ((), ("--seg-all-frames",)):
        arguments = (trial.study, "--outputs", ",".join(SEGS), "--overwrite", *option)
        folder = trial.done(*arguments, files=files_of(*SEGS))
        counts.append([int(pydicom.dcmread(folder / OUTPUTS[name].file).NumberOfFrames) for name in SEGS])
    assert counts == [[len(slices) - 1] * len(SEGS), [len(slices)] * len(SEGS)]


def test_frames_are_the_bundles_choice_where_the_settings_have_none() -> None:
    assert "seg_all_frames" not in overrides_of(SegmentSettings())
    for choice in (True, False):
        assert overrides_of(SegmentSettings(seg_all_frames=choice))["seg_all_frames"] is choice


def test_what_needs_dicom_is_refused_of_nifti_each_by_name(trial: Trial) -> None:
    flair = write_nifti_study(trial.study, trial.root / "nifti")["flair"]
    wanted = ",".join((*DICOM_OUTPUTS, "nifti"))
    ran = trial.refused("USAGE", "--flair", flair, "--outputs", wanted, exit_code=2)
    said = [f"error[USAGE]: --outputs: {name} needs dicom input, found nifti" for name in DICOM_OUTPUTS]
    assert list(ran.lines) == said
