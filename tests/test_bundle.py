"""`monai.bundle run` gives the voxels of the command, and other bundles run through the same code."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from scanweave.cli import main
from scanweave.errors import UsageError
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.weights import file_sha256
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, find_bundle
from scanweave.pipeline.reserve_result import ReserveResultd
from scanweave.pipeline.study import inspect
from scanweave.transforms.monai_steps import ToImaged, ToMetaTensord

BUNDLE = find_bundle()


def test_monai_bundle_run_gives_the_same_voxels(phantom_study: Path, segmented_phantom: Path, tmp_path: Path) -> None:
    """From another directory, by MONAI's own command line."""
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(BUNDLE.root / INFERENCE_CONFIG),
               "--dataset_dir", str(phantom_study), "--output_dir", str(tmp_path / "out")]  # fmt: skip
    subprocess.run(command, check=True, cwd=tmp_path, capture_output=True)
    (folder,) = (tmp_path / "out").iterdir()
    assert folder.name == segmented_phantom.name
    ours, theirs = (nib.load(f / "segmentation.nii.gz") for f in (segmented_phantom, folder))
    assert np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert np.array_equal(ours.affine, theirs.affine)
    assert np.asarray(ours.dataobj).any()
    assert (folder / "segmentation.dcm").read_bytes() == (segmented_phantom / "segmentation.dcm").read_bytes()


def test_required_properties_are_there() -> None:
    from monai.bundle import create_workflow

    workflow = create_workflow(config_file=str(BUNDLE.root / INFERENCE_CONFIG), workflow_type="infer")
    assert not workflow.check_properties()


def test_metadata_follows_monais_schema(data_dir: Path) -> None:
    from jsonschema import validate

    schema = json.loads((data_dir.parent / "schemas" / "meta_schema_20240725.json").read_text())
    validate(json.loads((BUNDLE.root / METADATA_FILE).read_text()), schema)


def test_shipped_weights_are_the_recorded_ones() -> None:
    record = BUNDLE.metadata["weights"]
    path = BUNDLE.root / record["file"]
    assert file_sha256(path) == record["sha256"]
    assert path.stat().st_size < 16_000_000
    state = torch.load(path, weights_only=True)
    assert len(state) == 118
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    assert set(state) == set(BNUNet().state_dict())


def make_bundle(folder: Path, roles: list[dict], network: dict, inferer: dict) -> Path:
    """A bundle of other roles, network and inferer, with random weights: configuration only, no code."""
    config = json.loads((BUNDLE.root / INFERENCE_CONFIG).read_text())
    metadata = json.loads((BUNDLE.root / METADATA_FILE).read_text())
    config.update(reference=roles[0]["name"], network_def=network, inferer=inferer)
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    from monai.bundle import ConfigParser

    torch.manual_seed(0)
    state = ConfigParser({"network": network}).get_parsed_content("network").state_dict()
    torch.save(state, folder / "models" / "model.pt")
    metadata.update({
        "roles": roles,
        "weights": {"name": "random", "file": "models/model.pt", "sha256": file_sha256(folder / "models" / "model.pt")},
    })  # fmt: skip
    (folder / INFERENCE_CONFIG).write_text(json.dumps(config))
    (folder / METADATA_FILE).write_text(json.dumps(metadata))
    return folder


def test_what_a_user_types_is_never_evaluated(phantom_study: Path, tmp_path: Path, capsys) -> None:
    """MONAI's parser runs what begins with $ and resolves what begins with @; names of folders may begin so too."""
    trap = tmp_path / "sprung"
    evil = f"$__import__('pathlib').Path({str(trap)!r}).touch()"
    for arguments in (
        ["--flair", evil, "-o", str(tmp_path / "out")],
        [str(phantom_study), "-o", str(tmp_path / "out"), "--study", evil],
        [str(phantom_study), "-o", str(tmp_path / "out"), "--weights", evil],
        [str(phantom_study), "-o", str(tmp_path / "out"), "--outputs", evil],
        [str(phantom_study), "-o", str(tmp_path / "out"), "--bundle", evil],
        [evil, "-o", str(tmp_path / "out")],
    ):
        assert main(["segment", *arguments]) in (2, 3, 5)
    assert not trap.exists() and not (tmp_path / "out").exists()
    # A folder that is called like an expression is a folder.
    folder = tmp_path / "$1" / "@roles"
    folder.mkdir(parents=True)
    (folder / "empty.txt").touch()
    capsys.readouterr()
    assert main(["segment", str(folder), "-o", str(tmp_path / "$out")]) == 3
    assert "error[EMPTY_INPUT]" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["phi", "overwrite"])
def test_switches_on_monais_command_line_mean_what_they_say(name: str) -> None:
    assert getattr(ReserveResultd(None, **{name: "false"}), name) is False
    assert getattr(ReserveResultd(None, **{name: "True"}), name) is True
    with pytest.raises(UsageError):
        ReserveResultd(None, **{name: "no"})


def test_a_network_that_answers_nan_is_refused(phantom_study: Path, tmp_path: Path, capsys) -> None:
    """An empty mask would read as "no lesion"."""
    state = torch.load(BUNDLE.root / "models" / "model.pt", weights_only=True)
    state["conv.bias"][:] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    weights = ["--weights", str(tmp_path / "nan.pt")]
    assert main(["segment", str(phantom_study), "-o", str(tmp_path / "out"), *weights]) == 5
    assert "error[NOT_FINITE_OUTPUT]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_parts_of_the_chain_serve_monais_own_engines(phantom_study: Path) -> None:
    """MONAI Label and others call preprocessing, inferer, network and postprocessing themselves."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(BUNDLE.root / INFERENCE_CONFIG))
    parser.read_meta(str(BUNDLE.root / METADATA_FILE))
    parser.update({"dataset_dir": str(phantom_study), "output_dir": None})
    data = ToMetaTensord("image")(parser.get_parsed_content("dataset")[0])
    assert isinstance(data["image"], MetaTensor) and tuple(data["image"].shape[:3]) == (3, 256, 256)
    data["pred"] = torch.zeros_like(data["image"][:1])
    result = parser.get_parsed_content("postprocessing")(ToImaged("pred")(data))
    assert result["result"]["volume_ml"] == 0
    assert result["segmentation"].array.shape[1:] == data["loaded"].grid.shape


ONE_T1 = [{"name": "anatomy", "required": True, "rule": {"weighting": "t1", "contrast": "none"}}]


def test_a_bundle_with_one_t1_runs_through_the_same_chain(phantom_study: Path, tmp_path: Path) -> None:
    network = {"_target_": "scanweave.networks.bn_unet.BNUNet", "in_channels": 1, "out_channels": 1, "features": 4}
    inferer = {"_target_": "SliceInferer", "roi_size": [256, 256], "spatial_dim": 2, "sw_batch_size": 4}
    bundle = make_bundle(tmp_path / "one_t1", ONE_T1, network, inferer)
    arguments = [str(phantom_study), "-o", str(tmp_path / "out"), "--bundle", str(bundle), "--outputs", "nifti"]
    assert main(["segment", *arguments]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    result = json.loads((folder / "result.json").read_text())
    assert set(result["roles"]) == {"anatomy"} and result["registration"] == {}
    found = inspect(phantom_study, bundle=bundle)
    pre = found.roles["anatomy"]
    assert nib.load(folder / "segmentation.nii.gz").shape == pre.shape

    # A role by hand goes by the bundle's own name; the names of another bundle's roles are refused.
    by_hand = ["--input", f"anatomy={pre.name}"]
    assert main(["inspect", str(phantom_study), "--bundle", str(bundle), *by_hand]) == 0
    assert main(["inspect", str(phantom_study), "--bundle", str(bundle), "--flair", pre.name]) == 2


def test_windows_instead_of_slices_by_configuration(phantom_study: Path, tmp_path: Path) -> None:
    """Overlapping 3-D windows: the bundle's inferer decides, the chain is the same."""
    network = {"_target_": "UNet", "spatial_dims": 3, "in_channels": 3, "out_channels": 1, "channels": [4, 8],
               "strides": [2], "norm": "batch"}  # fmt: skip
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 16], "overlap": 0.25, "mode": "gaussian"}
    roles = [BUNDLE.metadata["roles"][n] for n in (1, 0, 2)]
    bundle = make_bundle(tmp_path / "windows", roles, network, inferer)
    arguments = [str(phantom_study), "-o", str(tmp_path / "out"), "--bundle", str(bundle), "--outputs", "probability"]
    assert main(["segment", *arguments]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    probability = nib.load(folder / "probability.nii.gz")
    found = inspect(phantom_study, bundle=bundle)
    assert probability.shape == found.roles["flair"].shape
    assert np.asarray(probability.dataobj).std() > 0


@pytest.mark.gpu
def test_gpu_gives_the_cpus_mask(phantom_study: Path, segmented_phantom: Path, tmp_path: Path) -> None:
    assert main(["segment", str(phantom_study), "-o", str(tmp_path / "out"), "--device", "cuda:0"]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    cpu, gpu = (np.asarray(nib.load(f / "segmentation.nii.gz").dataobj) > 0 for f in (segmented_phantom, folder))
    assert 2 * (cpu & gpu).sum() / (cpu.sum() + gpu.sum()) > 0.99
