"""Every shipped bundle as MONAI's own tools see it: in the checkout, and unpacked from the zip of `make bundle`."""

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
from cell_pictures import cells_and_picture
from conftest import REPOSITORY
from PIL import Image
from studies import run, tree

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.networks.export import Size, onnx_run
from scanweave.networks.weights import Weights, file_sha256, load_weights
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, TRAIN_CONFIG, Bundle, find_bundle

pytest_plugins = ["study_fixtures"]

BUNDLES = {
    "flair_abnormality": ("small_study", "dicom-seg,probability"),
    "hippocampus": ("small_t1", "probability"),
    "membranes": ("small_picture", "png"),
}
"""Each shipped bundle with the fixture of an input, and what is written of it."""
LARGEST_BYTES = 25_000_000
FRAMEWORKS = {"monai": "monai", "torch": "pytorch", "numpy": "numpy"}
"""Packages that the metadata give a version of their own, and what they call them."""
SAME = 1e-4
"""Between probabilities of one network in two runtimes."""
ANSWERS = 0.01
"""Least deviation of probabilities that are not everywhere alike."""


@pytest.fixture(scope="module", params=BUNDLES)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return find_bundle(request.param)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zips of all bundles."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, str(REPOSITORY / "scripts" / "make-bundle"), "--out", str(out)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, cwd=out).stdout.splitlines()
    assert {line.split()[1]: line.split()[0] for line in said} == {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.iterdir()
    }
    return out


@pytest.fixture(scope="module")
def archive(bundle: Bundle, dist: Path) -> Path:
    return dist / f"{bundle.name}_v{bundle.metadata['version']}.zip"


@pytest.fixture(scope="module")
def unpacked(bundle: Bundle, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As MONAI downloads and unpacks it."""
    from monai.bundle import download

    folder = tmp_path_factory.mktemp("downloaded")
    download(name=bundle.name, bundle_dir=str(folder), url=archive.as_uri(), progress=False)
    return folder / bundle.name


@pytest.fixture(scope="module", params=["shipped", "unpacked"])
def root(bundle: Bundle, request: pytest.FixtureRequest) -> Path:
    return bundle.root if request.param == "shipped" else request.getfixturevalue("unpacked")


@pytest.fixture(scope="module")
def network(bundle: Bundle) -> torch.nn.Module:
    return load_weights(parsed(bundle.root, "network_def"), Weights.of_bundle(bundle.root, bundle.metadata["weights"]))


@pytest.fixture(scope="module")
def small_t1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An invented T1 of a few slices, smooth and without meaning."""
    noise = torch.rand(1, 1, 4, 5, 3, generator=torch.Generator().manual_seed(3))
    smooth = torch.nn.functional.interpolate(noise, (34, 48, 6), mode="trilinear")[0, 0].numpy()
    path = tmp_path_factory.mktemp("small_t1") / "t1.nii.gz"
    nib.save(nib.Nifti1Image((1000 * smooth).astype(np.int16), np.eye(4)), path)
    return path


@pytest.fixture(scope="module")
def small_picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up cells."""
    path = tmp_path_factory.mktemp("small_picture") / "made.png"
    Image.fromarray(cells_and_picture(70, 90, seed=1, cells=12)[1]).save(path)
    return path


def parsed(root: Path, part: str) -> object:
    """What the bundle's inference configuration names `part`, built by MONAI."""
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(str(root / INFERENCE_CONFIG))
    parser.read_meta(str(root / METADATA_FILE))
    parser.update({"bundle_root": str(root)})
    return parser.get_parsed_content(part)


def files_of(root: Path) -> dict[str, str]:
    """What MONAI's tools call the three files, in the arguments that they share."""
    names = {"meta_file": METADATA_FILE, "config_file": INFERENCE_CONFIG}
    return {name: str(root / path) for name, path in names.items()}


def smooth_images(bundle: Bundle, count: int, *times: int) -> torch.Tensor:
    """(count, C, row, column) of large structures, which the network answers: so many `times` its smallest size."""
    given = bundle.metadata["network_data_format"]["inputs"]["image"]
    size = [Size.parse(text).times(n) for text, n in zip(given["spatial_shape"], times, strict=True)]
    noise = torch.randn(count, given["num_channels"], 6, 4, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(3 * noise, size=size, mode="bilinear")


def test_every_bundle_is_tested() -> None:
    assert set(BUNDLES) == {
        path.parent.parent.name for path in (REPOSITORY / "bundles").glob("*/configs/metadata.json")
    }


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


def test_verify_net_in_out(bundle: Bundle, root: Path) -> None:
    from monai.bundle import verify_net_in_out

    verify_net_in_out(net_id="network_def", **files_of(root), n=4, device="cpu")
    channels = bundle.metadata["network_data_format"]["outputs"]["pred"]["num_channels"]
    with pytest.raises(ValueError, match="output channel number"):
        more = {"_meta_::network_data_format::outputs::pred::num_channels": channels + 1}
        verify_net_in_out(net_id="network_def", **files_of(root), device="cpu", **more)


def test_workflows_have_every_property(root: Path) -> None:
    from monai.bundle import create_workflow

    for kind, config in (("infer", INFERENCE_CONFIG), ("train", TRAIN_CONFIG)):
        workflow = create_workflow(
            config_file=str(root / config),
            meta_file=str(root / METADATA_FILE),
            workflow_type=kind,
            logging_file=str(root / "configs" / "logging.conf"),
            bundle_root=str(root),
        )
        assert workflow.check_properties() == [], kind


def test_ckpt_export_gives_the_same_network(
    bundle: Bundle, root: Path, network: torch.nn.Module, tmp_path: Path
) -> None:
    from monai.bundle import ckpt_export
    from monai.data import load_net_with_metadata

    target = str(tmp_path / "model.ts")
    ckpt_export(config_file=str(root / INFERENCE_CONFIG), bundle_root=str(root), filepath=target)
    images = smooth_images(bundle, 2, 6, 4)
    with torch.inference_mode():
        exported, expected = torch.jit.load(target)(images), network(images)
    assert expected.std() > ANSWERS
    assert torch.allclose(exported, expected, rtol=0, atol=SAME)
    _, metadata, extra = load_net_with_metadata(target, more_extra_files=["inference.json"])
    assert metadata["version"] == bundle.metadata["version"] and "network_def" in json.loads(extra["inference.json"])


def test_onnx_export_gives_the_same_network(
    bundle: Bundle, unpacked: Path, network: torch.nn.Module, tmp_path: Path
) -> None:
    """By the command of the model card, from within the bundle's folder: any number of slices, any size it takes."""
    target = tmp_path / "model.onnx"
    command = [sys.executable, "-m", "monai.bundle", "onnx_export", "--args_file", "configs/onnx_export.json"]
    subprocess.run([*command, "--filepath", str(target)], cwd=unpacked, check=True, capture_output=True)
    answer = onnx_run(target.read_bytes())
    for images in (smooth_images(bundle, 1, 2, 3), smooth_images(bundle, 3, 4, 2)):
        with torch.inference_mode():
            expected = network(images)
        assert expected.std() > ANSWERS
        np.testing.assert_allclose(answer(images), expected, rtol=0, atol=SAME)


def test_monai_loads_the_network(bundle: Bundle, unpacked: Path, network: torch.nn.Module) -> None:
    from monai.bundle import load

    loaded = load(
        bundle.name, bundle_dir=str(unpacked.parent), source="github", workflow_type="inference", device="cpu"
    )
    assert type(loaded) is type(network)
    images = smooth_images(bundle, 1, 4, 4)
    with torch.inference_mode():
        assert torch.equal(loaded.eval()(images), network(images))


def test_the_unpacked_bundle_gives_the_commands_results(
    bundle: Bundle, unpacked: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """By MONAI's command line from within its folder, where nothing is left behind."""
    fixture, outputs = BUNDLES[bundle.name]
    given, wanted = request.getfixturevalue(fixture), ["--outputs", outputs]
    ran = run("segment", given, "-o", tmp_path / "command", "--bundle", bundle.name, *wanted)
    assert ran.exit_code == 0, ran.lines
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json",
               "--bundle_root", ".", "--dataset_dir", str(given),
               "--output_dir", str(tmp_path / "monai"), *wanted]  # fmt: skip
    before = sorted(unpacked.rglob("*"))
    subprocess.run(command, check=True, cwd=unpacked, capture_output=True)
    assert sorted(unpacked.rglob("*")) == before
    ours, theirs = (tree(next((tmp_path / name).iterdir())) for name in ("command", "monai"))
    assert ours.keys() == theirs.keys() and len(ours) > 1
    assert {name for name in ours if ours[name] != theirs[name]} <= {"result.json"}
    for name in ("command", "monai"):
        record = json.loads(next((tmp_path / name).glob("*/result.json")).read_text())
        assert record["bundle"] == {"name": bundle.name, "version": bundle.metadata["version"]}


def test_the_unpacked_bundle_runs_on_its_own_weights(bundle: Bundle, unpacked: Path) -> None:
    """Not on those of the installed package, which the configuration takes where nothing is said."""
    weights = parsed(unpacked, "weights")
    assert isinstance(weights, Weights) and weights.path == unpacked / bundle.metadata["weights"]["file"]


def test_the_zip_is_one_folder_as_the_model_zoo_wants_it(bundle: Bundle, archive: Path) -> None:
    command = ["git", "ls-files", f"bundles/{bundle.name}"]
    known = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.split()
    with zipfile.ZipFile(archive) as packed:
        assert packed.testzip() is None
        assert [f"bundles/{entry.filename}" for entry in packed.infolist()] == sorted(known)
        assert all(entry.file_size < LARGEST_BYTES for entry in packed.infolist())
        names = {entry.filename.removeprefix(f"{bundle.name}/") for entry in packed.infolist()}
    configs = {f"configs/{name}.json" for name in ("metadata", "inference", "evaluate", "train", "onnx_export")}
    others = {"LICENSE", "configs/logging.conf", "models/model.pt", "docs/README.md", "docs/data_license.txt"}
    assert configs | others <= names


def test_the_same_sources_give_the_same_bytes(dist: Path, tmp_path: Path) -> None:
    """From another checkout, with other dates and modes, and with what lies beside."""
    copy = tmp_path / "checkout"
    subprocess.run(["git", "init", "--quiet", str(copy)], check=True)
    known = subprocess.run(["git", "ls-files", "-z", "bundles", "scripts"], cwd=REPOSITORY, check=True,
                           capture_output=True, text=True).stdout.split("\0")  # fmt: skip
    for name in [*filter(None, known), "scripts/make-bundle"]:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, copy / name)
    subprocess.run(["git", "add", "--all"], cwd=copy, check=True)
    for name in BUNDLES:
        stray = copy / "bundles" / name / "docs" / "__pycache__" / "stray.pyc"
        stray.parent.mkdir()
        stray.touch()
        (stray.parent.parent / "notes.txt").write_text("not known to git")
    subprocess.run([sys.executable, str(copy / "scripts" / "make-bundle")], check=True, capture_output=True, cwd="/")
    assert tree(copy / "dist") == tree(dist)


def test_recorded_files_are_those_that_are_there(bundle: Bundle) -> None:
    weights = bundle.metadata["weights"]["sha256"]
    for record in bundle.metadata.values():
        if isinstance(record, dict) and "file" in record:
            assert file_sha256(bundle.root / record["file"]) == record["sha256"]
            assert record.get("weights_sha256", weights) == weights


def test_recorded_versions_are_those_that_were_tested(bundle: Bundle) -> None:
    metadata = bundle.metadata
    named = {package: metadata[f"{name}_version"] for package, name in FRAMEWORKS.items()}
    named.update(metadata["required_packages_version"])
    assert {name: version(name).split("+")[0] for name in named} == named
    assert named["scanweave"] == __version__
    assert metadata["version"] in metadata["changelog"]


def test_the_model_card_says_what_the_metadata_say(bundle: Bundle) -> None:
    card = (bundle.root / "docs" / "README.md").read_text()
    assert RESEARCH_NOTICE in card
    for part in ("Data", "Training", "Performance", "Limits", "Commands", "Licence", "References"):
        assert f"\n## {part}\n" in card, part
    assert bundle.metadata["weights"]["sha256"] in card
    assert bundle.metadata["eval_metrics"]
    for name, figure in bundle.metadata["eval_metrics"].items():
        assert f"{figure:.3f}" in card, name
