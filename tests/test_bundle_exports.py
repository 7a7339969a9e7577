"""The bundle as MONAI's own tools see it: in the checkout, and unpacked from the zip that `make bundle` makes."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from conftest import REPOSITORY

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.cli import main
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.weights import Weights, load_weights
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, find_bundle

pytest_plugins = ["study_fixtures"]

SHIPPED = find_bundle()
NAME, VERSION = SHIPPED.name, SHIPPED.metadata["version"]
LARGEST_BYTES = 25_000_000
FRAMEWORKS = {"monai": "monai", "torch": "pytorch", "numpy": "numpy"}
"""Packages that the metadata give a version of their own, and what they call them."""
SAME = 1e-4
"""Between probabilities of one network in two runtimes."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_zip(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As MONAI downloads and unpacks it."""
    from monai.bundle import download

    folder = tmp_path_factory.mktemp("downloaded")
    download(name=NAME, bundle_dir=str(folder), url=archive.as_uri(), progress=False)
    return folder / NAME


@pytest.fixture(scope="module", params=["shipped", "unpacked"])
def root(request: pytest.FixtureRequest) -> Path:
    return SHIPPED.root if request.param == "shipped" else request.getfixturevalue("unpacked")


@pytest.fixture(scope="module")
def network() -> BNUNet:
    return load_weights(BNUNet(), Weights.of_bundle(SHIPPED.root, SHIPPED.metadata["weights"]))


def make_zip(out: Path) -> Path:
    command = [sys.executable, str(REPOSITORY / "scripts" / "make-bundle"), NAME, "--out", str(out)]
    line = subprocess.run(command, check=True, capture_output=True, text=True, cwd=out).stdout.split()
    assert line[0] == hashlib.sha256(Path(line[1]).read_bytes()).hexdigest()
    return Path(line[1])


def files_of(root: Path) -> dict[str, str]:
    """What MONAI's tools call the three files, in the arguments that they share."""
    names = {"meta_file": METADATA_FILE, "config_file": INFERENCE_CONFIG}
    return {name: str(root / path) for name, path in names.items()}


def smooth_images(count: int, height: int, width: int) -> torch.Tensor:
    """(count, 3, height, width) of unit deviation and large structures, to which the network does answer."""
    noise = torch.randn(count, 3, 6, 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(3 * noise, size=(height, width), mode="bilinear")


def test_verify_metadata(root: Path, data_dir: Path, tmp_path: Path) -> None:
    """With the schema at hand MONAI checks its hash and fetches nothing."""
    from monai.bundle import verify_metadata

    schema = Path(shutil.copy(data_dir.parent / "schemas" / "meta_schema_20240725.json", tmp_path / "schema.json"))
    known = {
        "filepath": str(schema),
        "hash_type": "sha256",
        "hash_val": hashlib.sha256(schema.read_bytes()).hexdigest(),
    }
    verify_metadata(meta_file=str(root / METADATA_FILE), **known)
    broken = {**json.loads((root / METADATA_FILE).read_text()), "authors": ["a list"]}
    (tmp_path / "metadata.json").write_text(json.dumps(broken))
    with pytest.raises(ValueError, match="Failed validating"):
        verify_metadata(meta_file=str(tmp_path / "metadata.json"), **known)


def test_verify_net_in_out(root: Path) -> None:
    from monai.bundle import verify_net_in_out

    verify_net_in_out(net_id="network_def", **files_of(root), n=4, device="cpu")
    with pytest.raises(ValueError, match="output channel number"):
        two = {"_meta_::network_data_format::outputs::pred::num_channels": 2}
        verify_net_in_out(net_id="network_def", **files_of(root), device="cpu", **two)


def test_workflow_has_every_property(root: Path) -> None:
    from monai.bundle import create_workflow

    workflow = create_workflow(
        config_file=str(root / INFERENCE_CONFIG),
        workflow_type="infer",
        logging_file=str(root / "configs" / "logging.conf"),
        bundle_root=str(root),
    )
    assert workflow.check_properties() == []


def test_ckpt_export_gives_the_same_network(root: Path, network: BNUNet, tmp_path: Path) -> None:
    from monai.bundle import ckpt_export
    from monai.data import load_net_with_metadata

    target, weights = str(tmp_path / "model.ts"), str(root / SHIPPED.metadata["weights"]["file"])
    ckpt_export(net_id="network_def", filepath=target, ckpt_file=weights, **files_of(root))
    images = smooth_images(2, 96, 64)
    with torch.inference_mode():
        exported, expected = torch.jit.load(target)(images), network(images)
    assert expected.std() > 0.1
    assert torch.allclose(exported, expected, rtol=0, atol=SAME)
    _, metadata, extra = load_net_with_metadata(target, more_extra_files=["inference.json"])
    assert metadata["version"] == VERSION and "network_def" in json.loads(extra["inference.json"])


def test_onnx_export_gives_the_same_network(network: BNUNet, tmp_path: Path) -> None:
    """By the command of the model card: any number of slices, any multiple of 16."""
    import onnx
    import onnxruntime
    from monai.bundle import onnx_export

    target, weights = str(tmp_path / "model.onnx"), str(SHIPPED.root / SHIPPED.metadata["weights"]["file"])
    axes = {"image": {0: "slices", 2: "height", 3: "width"}}
    names = {"input_names": ["image"], "output_names": ["pred"], "dynamic_axes": axes}
    onnx_export(net_id="network_def", filepath=target, ckpt_file=weights, input_shape=[2, 3, 64, 64], use_trace=True,
                converter_kwargs=names, **files_of(SHIPPED.root))  # fmt: skip
    onnx.checker.check_model(onnx.load(target))
    images = smooth_images(3, 96, 64)
    with torch.inference_mode():
        expected = network(images).numpy()
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    (exported,) = session.run(["pred"], {"image": images.numpy()})
    assert expected.std() > 0.1
    np.testing.assert_allclose(exported, expected, rtol=0, atol=SAME)


def test_monai_loads_the_network(unpacked: Path, network: BNUNet) -> None:
    from monai.bundle import load

    loaded = load(NAME, bundle_dir=str(unpacked.parent), source="github", workflow_type="inference", device="cpu")
    assert isinstance(loaded, BNUNet)
    images = smooth_images(1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(loaded.eval()(images), network(images))


def test_the_unpacked_bundle_gives_the_commands_voxels(unpacked: Path, small_study: Path, tmp_path: Path) -> None:
    """By MONAI's command line from within its folder, where nothing is left behind."""
    wanted = ["--outputs", "probability,dicom-seg"]
    assert main(["segment", str(small_study), "-o", str(tmp_path / "command"), *wanted]) == 0
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json",
               "--bundle_root", ".", "--dataset_dir", str(small_study),
               "--output_dir", str(tmp_path / "monai"), *wanted]  # fmt: skip
    before = sorted(unpacked.rglob("*"))
    subprocess.run(command, check=True, cwd=unpacked, capture_output=True)
    assert sorted(unpacked.rglob("*")) == before
    ours, theirs = (nib.load(next((tmp_path / name).glob("*/probability.nii.gz"))) for name in ("command", "monai"))
    assert np.asarray(ours.dataobj).max() > 0.5
    assert np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    assert np.array_equal(ours.affine, theirs.affine)
    results = [json.loads(next((tmp_path / name).glob("*/result.json")).read_text()) for name in ("command", "monai")]
    assert all(result["bundle"] == {"name": NAME, "version": VERSION} for result in results)


def test_the_unpacked_bundle_runs_on_its_own_weights(unpacked: Path) -> None:
    """Not on those of the installed package, which the configuration takes where nothing is said."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(unpacked / INFERENCE_CONFIG))
    parser.read_meta(str(unpacked / METADATA_FILE))
    parser.update({"bundle_root": str(unpacked)})
    assert parser.get_parsed_content("weights").path == unpacked / SHIPPED.metadata["weights"]["file"]


def test_the_zip_is_one_folder_as_the_model_zoo_wants_it(archive: Path) -> None:
    assert archive.name == f"{NAME}_v{VERSION}.zip"
    known = subprocess.run(["git", "ls-files", f"bundles/{NAME}"], cwd=REPOSITORY, check=True, capture_output=True,
                           text=True).stdout.split()  # fmt: skip
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        assert [f"bundles/{entry.filename}" for entry in packed.infolist()] == sorted(known)
        assert all(entry.file_size < LARGEST_BYTES for entry in packed.infolist())
        names = {entry.filename.removeprefix(f"{NAME}/") for entry in packed.infolist()}
    assert {"LICENSE", "configs/metadata.json", "configs/inference.json", "configs/logging.conf", "models/model.pt",
            "docs/README.md", "docs/data_license.txt"} <= names  # fmt: skip


def test_the_same_sources_give_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    """From another checkout, with other dates and modes, and with what lies beside."""
    copy = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(copy)], check=True)
    known = subprocess.run(["git", "ls-files", "-z", "bundles", "scripts"], cwd=REPOSITORY, check=True,
                           capture_output=True, text=True).stdout.split("\0")  # fmt: skip
    for name in [*filter(None, known), "scripts/make-bundle"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, copy / name)
    subprocess.run(["git", "add", "--all"], cwd=copy, check=True)
    stray = copy / "bundles" / NAME / "docs" / "__pycache__" / "stray.pyc"
    stray.parent.mkdir()
    stray.touch()
    (stray.parent.parent / "notes.txt").write_text("not known to git")
    command = [sys.executable, str(copy / "scripts" / "make-bundle"), NAME]
    subprocess.run(command, check=True, capture_output=True, cwd="/")
    assert (copy / "dist" / archive.name).read_bytes() == archive.read_bytes()


def test_recorded_versions_are_those_that_were_tested() -> None:
    metadata = SHIPPED.metadata
    named = {package: metadata[f"{name}_version"] for package, name in FRAMEWORKS.items()}
    named.update(metadata["required_packages_version"])
    assert {name: version(name).split("+")[0] for name in named} == named
    assert named["scanweave"] == __version__
    assert VERSION in metadata["changelog"]


def test_the_model_card_says_what_the_metadata_say() -> None:
    card = (SHIPPED.root / "docs" / "README.md").read_text()
    assert RESEARCH_NOTICE in card
    for part in ("Data", "Training", "Performance", "Limits", "Commands", "Licence", "References"):
        assert f"\n## {part}\n" in card, part
    assert SHIPPED.metadata["weights"]["sha256"] in card
    assert SHIPPED.metadata["eval_metrics"]
    for name, figure in SHIPPED.metadata["eval_metrics"].items():
        assert f"{figure:.3f}" in card, name
