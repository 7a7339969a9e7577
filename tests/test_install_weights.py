"""`scanweave weights install`: a new bundle that was trained is whole, or stays as it was."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from bundle_rooms import check_properties, quicken, read
from studies import run, tree

from scanweave.networks.weights import file_sha256
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE
from scanweave.pipeline.evaluation.evaluate import EVALUATE_CONFIG
from scanweave.pipeline.training.segment_loss import SegmentLoss

pytest_plugins = ["study_fixtures", "bundle_rooms"]


def test_training_learns_both_segments_and_knows_its_bundle(new_training: Path) -> None:
    assert read(new_training / "training.json")["bundle"] == {"name": "several", "version": "0.1.0"}
    assert read(new_training / "training.json")["recipe"]["loss"] == "SegmentLoss of DiceCELoss"
    figures = read(new_training / "evaluation" / "evaluation.json")["summary"]
    assert figures["dice_head"]["mean"] > 0.85 and figures["dice_bright"]["mean"] > 0.6


def test_installed_weights_come_with_what_is_known_of_them(installed: Path, new_training: Path) -> None:
    metadata, record = read(installed / METADATA_FILE), read(new_training / "training.json")
    sha256 = record["weights"]["sha256"]
    assert metadata["weights"] == {"name": f"several-{sha256[:8]}", "file": "models/model.pt", "sha256": sha256}
    assert file_sha256(installed / "models" / "model.pt") == sha256
    for name in ("split.json", "input_reference.json"):
        assert (installed / "configs" / name).read_bytes() == (new_training / name).read_bytes()
    measured = read(new_training / "evaluation" / "evaluation.json")
    expected = {"mean_dice": measured["mean"], "median_dice": measured["median"]}
    expected |= {f"mean_{name}": measured["summary"][name]["mean"] for name in ("dice_head", "dice_bright")}
    assert metadata["eval_metrics"] == {f"held_out_1_{name}": round(value, 3) for name, value in expected.items()}
    card = (installed / "docs" / "README.md").read_text()
    assert sha256 in card and "Not measured yet." not in card
    assert all(f"| {value:.3f} |" in card for value in metadata["eval_metrics"].values())
    before = read(new_training.parent / "several" / METADATA_FILE)
    assert {**metadata, "weights": None, "eval_metrics": {}} == before, "the rest is as its author left it"
    assert "onnx" not in metadata and not list(installed.rglob("*.part"))


@pytest.mark.parametrize("config", [INFERENCE_CONFIG, EVALUATE_CONFIG], ids=lambda path: path.stem)
def test_monai_finds_every_property_to_infer(config: Path, installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(installed)
    check_properties(installed, config, "infer")


def test_the_whole_bundle_segments_a_dicom_study(
    installed: Path, new_training: Path, small_study: Path, tmp_path: Path
) -> None:
    """By its own weights as by those of the training, and a copy of it anywhere."""

    moved = Path(shutil.copytree(installed, tmp_path / "elsewhere" / "several"))
    masks, records = [], []
    by_file_options = ["--bundle", new_training.parent / "several", "--weights", new_training / "model.pt"]
    for number, options in enumerate((["--bundle", moved], by_file_options)):
        ran = run("segment", small_study, "-o", tmp_path / str(number), *options, "--json", "--outputs",
                  "nifti,dicom-seg,probability")  # fmt: skip
        assert (ran.exit_code, ran.lines) == (0, ()), ran.lines
        records.append(json.loads(ran.out))
        (result,) = (tmp_path / str(number)).iterdir()
        masks.append(result)
    own, by_file = (seen["weights"] for seen in records)
    assert own["sha256"] == by_file["sha256"] and own["name"] == f"several-{own['sha256'][:8]}"
    assert all(seen["bundle"] == {"name": "several", "version": "0.1.0"} for seen in records)
    assert set(records[0]["roles"]) == {"flair", "t1c"} and set(records[0]["segments"]) == {"head", "bright"}
    arrays = [np.asarray(nib.load(folder / "segmentation.nii.gz").dataobj) for folder in masks]
    assert np.array_equal(*arrays) and set(np.unique(arrays[0])) == {0, 1, 2}
    segmentation = hd.seg.segread(masks[0] / "segmentation.dcm")
    assert [segment.SegmentLabel for segment in segmentation.SegmentSequence] == ["Head", "Bright"]
    assert {segment.SegmentedPropertyTypeCodeSequence[0].CodeValue for segment in segmentation.SegmentSequence} == {
        "52988006"
    }


def test_the_whole_bundle_measures_and_says_whom_it_has_seen(
    installed: Path, phantom_cases: Path, tmp_path: Path
) -> None:
    ran = run("evaluate", "--bundle", installed, "--images", phantom_cases, "--out", tmp_path / "out", "--json")
    assert ran.exit_code == 0, ran.lines
    record = json.loads(ran.out)
    assert len(record["patients"]) == 3 and record["summary"]["dice_head"]["mean"] > 0.85
    assert "trained on 2 of these 3" in record["warnings"][0]
    assert record["weights"]["name"] == read(installed / METADATA_FILE)["weights"]["name"]


def test_monais_command_gives_the_same_mask(installed: Path, phantom_cases: Path, tmp_path: Path) -> None:
    """From within the bundle's folder, with nothing said of where it is."""
    study = tmp_path / "study"
    shutil.copytree(phantom_cases / "patient_1", study, ignore=shutil.ignore_patterns("label*"))
    assert run("segment", study, "-o", tmp_path / "ours", "--bundle", installed).exit_code == 0
    before = sorted(installed.rglob("*"))
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json", "--dataset_dir",
               str(study), "--output_dir", str(tmp_path / "theirs")]  # fmt: skip
    subprocess.run(command, check=True, cwd=installed, capture_output=True)
    assert sorted(installed.rglob("*")) == before
    folders = [next((tmp_path / name).iterdir()) for name in ("ours", "theirs")]
    ours, theirs = (np.asarray(nib.load(folder / "segmentation.nii.gz").dataobj) for folder in folders)
    assert np.array_equal(ours, theirs) and ours.any()
    assert read(folders[1] / "result.json")["bundle"]["name"] == "several"


def test_monais_command_trains_it_and_knows_its_name(
    untrained: Path, phantom_cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from monai.bundle import run as monai_run

    quicken(untrained, epochs=1, draws=8)
    monkeypatch.chdir(untrained)
    monai_run(config_file="configs/train.json", dataset_dir=str(phantom_cases), output_dir=str(tmp_path / "out"))
    assert read(tmp_path / "out" / "training.json")["bundle"]["name"] == "several"
    assert run("weights", "install", tmp_path / "out", "--bundle", ".").exit_code == 0
    assert read(untrained / METADATA_FILE)["eval_metrics"] == {}, "train.json measures nobody by itself"
    assert "Not measured yet." in (untrained / "docs" / "README.md").read_text()


def test_an_onnx_file_beside_the_weights(
    untrained: Path, new_training: Path, phantom_cases: Path, tmp_path: Path
) -> None:
    assert run("weights", "install", new_training, "--bundle", untrained, "--onnx").exit_code == 0
    metadata = read(untrained / METADATA_FILE)
    assert metadata["onnx"]["weights_sha256"] == metadata["weights"]["sha256"]
    assert metadata["onnx"]["sha256"] == file_sha256(untrained / metadata["onnx"]["file"])
    ran = run("evaluate", "--bundle", untrained, "--images", phantom_cases, "--json", "--runtime", "onnxruntime")
    assert ran.exit_code == 0 and json.loads(ran.out)["settings"]["runtime"].startswith("onnxruntime")
    # Other weights: what was exported from the old ones goes with them.
    assert run("weights", "install", new_training, "--bundle", untrained, "--overwrite").exit_code == 0
    assert "onnx" not in read(untrained / METADATA_FILE) and not (untrained / "models" / "model.onnx").exists()


# --- what is not installed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code", "exit_code"),
    [
        ("nowhere", "INPUT_NOT_FOUND", 3),
        ("unfinished", "INPUT_NOT_FOUND", 3),
        ("altered", "WEIGHTS_ALTERED", 5),
        ("gone", "WEIGHTS_MISSING", 5),
        ("wider", "WEIGHTS_INVALID", 5),
        ("another's", "TRAINING_MISMATCH", 2),
        ("other roles", "TRAINING_MISMATCH", 2),
        ("twice", "OUTPUT_EXISTS", 3),
        ("no bundle", "BUNDLE_INVALID", 5),
    ],
)
def test_weights_that_are_refused(
    kind: str, code: str, exit_code: int, untrained: Path, new_training: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(new_training, tmp_path / "out"))
    bundle = tmp_path / "none" if kind == "no bundle" else untrained
    if kind == "nowhere":
        shutil.rmtree(out)
    elif kind == "unfinished":
        (out / "training.json").unlink()
    elif kind == "altered":
        (out / "model.pt").write_bytes((out / "model.pt").read_bytes() + b"\0")
    elif kind == "gone":
        (out / "model.pt").unlink()
    elif kind == "wider":
        for path in (untrained / "configs").glob("*.json"):
            path.write_text(path.read_text().replace('"features": 8', '"features": 16'))
    elif kind == "another's":
        bundle = untrained.rename(untrained.with_name("another"))
    elif kind == "other roles":
        reference = (out / "input_reference.json").read_text()
        (out / "input_reference.json").write_text(reference.replace('"t1c"', '"t1"'))
    elif kind == "twice":
        assert run("weights", "install", out, "--bundle", bundle).exit_code == 0
    before = tree(tmp_path)
    ran = run("weights", "install", out, "--bundle", bundle)
    assert (ran.exit_code, ran.codes, ran.out) == (exit_code, [code], ""), ran
    assert tree(tmp_path) == before


def test_figures_of_patients_who_trained_are_none(
    untrained: Path, new_training: Path, phantom_cases: Path, tmp_path: Path
) -> None:
    """Nor are those of other weights."""
    for kind in ("seen", "other weights"):
        out = Path(shutil.copytree(new_training, tmp_path / kind))
        path = out / "evaluation" / "evaluation.json"
        record = read(path)
        if kind == "seen":
            next(iter(record["patients"].values()))["patient"] = read(out / "split.json")["train"][0]
        else:
            record["weights"]["sha256"] = "0" * 64
        path.write_text(json.dumps(record))
        ran = run("weights", "install", out, "--bundle", untrained, "--overwrite", "--json")
        assert ran.exit_code == 0 and json.loads(ran.out)["eval_metrics"] == {}, kind


def test_a_card_of_ones_own_stays(untrained: Path, new_training: Path) -> None:
    (untrained / "docs" / "README.md").write_text("# Mine\n")
    assert run("weights", "install", new_training, "--bundle", untrained).exit_code == 0
    assert (untrained / "docs" / "README.md").read_text() == "# Mine\n"


def test_a_full_disk_leaves_a_bundle_without_weights(
    untrained: Path, new_training: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: IO[bytes], target: IO[bytes]) -> None:
        if Path(source.name).name == "input_reference.json":
            raise OSError(28, "No space left on device")
        target.write(source.read())

    before = tree(untrained)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", refuse)
        ran = run("weights", "install", new_training, "--bundle", untrained)
    assert (ran.exit_code, ran.codes) == (5, ["DISK_FULL"])
    after = tree(untrained)
    assert {name: after[name] for name in before} == before and read(untrained / METADATA_FILE)["weights"] is None
    assert run("weights", "install", new_training, "--bundle", untrained).exit_code == 0, "no --overwrite is needed"


def test_what_is_no_segment_costs() -> None:
    """MONAI's loss by itself would pass over a voxel that belongs to none of several segments."""
    import torch
    from monai.losses import DiceCELoss

    loss, nothing = SegmentLoss(DiceCELoss(sigmoid=True, batch=True)), torch.zeros(2, 1, 4, 4)
    marked, clear = (loss(torch.full((2, 2, 4, 4), value), nothing) for value in (6.0, -6.0))
    assert marked > clear + 3
    label = torch.tensor([[[[1.0, 2.0], [0.0, 2.0]]]])
    right = torch.stack([label[0, 0] == 1, label[0, 0] == 2])[None] * 20.0 - 10.0
    assert loss(right, label) < 0.01 < 1 < loss(right.flip(1), label)
