"""`scanweave new-bundle`: a whole bundle of one's own that MONAI accepts, or nothing."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bundle_rooms import DESIGNS, check_properties, read
from conftest import REPOSITORY
from studies import console_script, run, tree, without_privilege

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, TRAIN_CONFIG, find_bundle
from scanweave.pipeline.evaluation.evaluate import EVALUATE_CONFIG
from scanweave.pipeline.new_bundle.design import TEMPLATES
from scanweave.pipeline.phantom import make_phantom
from scanweave.transforms.io.labelled_cases import find_cases
from scanweave.transforms.selection.roles import Role, Rule

pytest_plugins = ["bundle_rooms", "study_fixtures"]

FILES = {"LICENSE", "docs/README.md", "docs/data_license.txt", "configs/metadata.json", "configs/inference.json",
         "configs/evaluate.json", "configs/train.json", "configs/multi_gpu_train.json",
         "configs/logging.conf"}  # fmt: skip


@pytest.fixture(params=DESIGNS)
def bundle(request: pytest.FixtureRequest, new_bundles: Path) -> Path:
    return new_bundles / request.param


# --- what is made ---------------------------------------------------------------------------------------------------


def test_every_file_is_there_and_none_of_weights(bundle: Path) -> None:
    files = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()}
    assert files >= FILES
    assert not {path for path in files if path.startswith("models") or "split" in path or "reference" in path}
    metadata = read(bundle / METADATA_FILE)
    assert metadata["weights"] is None and metadata["eval_metrics"] == {} and "onnx" not in metadata
    card = (bundle / "docs" / "README.md").read_text()
    assert "Not measured yet." in card and RESEARCH_NOTICE in card and "$" not in card
    for part in ("Data", "Training", "Performance", "Limits", "Commands", "Licence", "References"):
        assert f"\n## {part}\n" in card, part


def test_nothing_of_the_bundle_that_it_was_made_like_is_left(bundle: Path) -> None:
    """Neither its name nor its data, its authors, its codes, its figures or its hashes."""
    told = {"LGG", "TCGA", "Buda", "Simpson", "Decathlon", "glioma", "founders", "arXiv", "301766008", "5366008"}
    for name in TEMPLATES:
        metadata = find_bundle(name).metadata
        told |= {name, metadata["weights"]["sha256"], metadata["weights"]["name"], metadata["onnx"]["sha256"]}
        told |= {str(figure) for figure in metadata["eval_metrics"].values()}
        told |= {segment["label"] for segment in metadata["segments"]}
    for path in bundle.rglob("*"):
        text = path.read_text().lower() if path.is_file() else ""
        assert not [word for word in told if word.lower() in text], path


def test_roles_and_segments_are_those_that_were_asked_for(new_bundles: Path) -> None:
    plain, several, region = (find_bundle(str(new_bundles / name)) for name in DESIGNS)
    assert plain.roles == find_bundle().roles and [segment.name for segment in plain.segments] == ["plain"]
    assert several.roles == (Role("flair", Rule("flair")), Role("t1c", Rule("t1", "given"), False, "flair"))
    assert [segment.label for segment in several.segments] == ["Head", "Bright"]
    assert (region.roles[0].rule.weighting, region.roles[0].rule.contrast) == ("t2", "none")
    assert not plain.segments[0].is_structure and region.segments[0].is_structure
    references = {name: read(new_bundles / name / INFERENCE_CONFIG)["reference"] for name in DESIGNS}
    assert references == {"plain": "flair", "several": "flair", "region": "scan"}
    for config in (INFERENCE_CONFIG, EVALUATE_CONFIG, TRAIN_CONFIG):
        definition = read(several.root / config)["network_def"]
        assert (definition["in_channels"], definition["out_channels"], definition["features"]) == (2, 2, 8), config
    assert read(several.root / "configs" / "onnx_export.json")["input_shape"][1] == 2


def test_only_values_differ_from_the_shipped_configurations(new_bundles: Path) -> None:
    """The same steps with the same settings, in the same order."""
    for name, template in (("plain", TEMPLATES[0]), ("several", TEMPLATES[0]), ("region", TEMPLATES[1])):
        for config in (INFERENCE_CONFIG, EVALUATE_CONFIG, TRAIN_CONFIG):
            own, theirs = (read(root / config) for root in (new_bundles / name, find_bundle(template).root))
            assert list(own) == list(theirs)
            chains = [(part["train"] if config == TRAIN_CONFIG else part)["preprocessing"] for part in (own, theirs)]
            for step in chains[1]["transforms"]:
                step.pop("region", None)
            assert chains[0] == chains[1] and own.get("recipe") == theirs.get("recipe")


def test_names_of_other_habits(tmp_path: Path) -> None:
    ran = run("new-bundle", "My-Model_2", "-o", tmp_path)
    assert (ran.exit_code, ran.lines) == (0, ())
    made = find_bundle(str(tmp_path / "My-Model_2"))
    assert (made.name, made.segments[0].name, made.segments[0].label) == ("My-Model_2", "my_model_2", "My model 2")


def test_another_call_in_the_folder_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("new-bundle", "here", "--json")
    record = json.loads(ran.out)
    assert (ran.exit_code, ran.lines, record["bundle"]) == (0, (), "here")
    assert set(record["files"]) == {str(path.relative_to("here")) for path in Path("here").rglob("*") if path.is_file()}
    assert (record["roles"], record["segments"]) == (["pre", "flair", "post"], ["here"])


# --- as MONAI sees it -----------------------------------------------------------------------------------------------


def test_monai_verifies_the_metadata(bundle: Path, data_dir: Path, tmp_path: Path) -> None:
    from monai.bundle import verify_metadata

    schema = Path(shutil.copy(data_dir.parent / "schemas" / "meta_schema_20240725.json", tmp_path / "schema.json"))
    digest = hashlib.sha256(schema.read_bytes()).hexdigest()
    verify_metadata(meta_file=str(bundle / METADATA_FILE), filepath=str(schema), hash_type="sha256", hash_val=digest)


def test_monai_verifies_the_network(bundle: Path) -> None:
    from monai.bundle import verify_net_in_out

    files = {"meta_file": str(bundle / METADATA_FILE), "config_file": str(bundle / INFERENCE_CONFIG)}
    verify_net_in_out(net_id="network_def", **files, n=2, device="cpu")


@pytest.mark.parametrize(("config", "kind"), [(TRAIN_CONFIG, "train"), (INFERENCE_CONFIG, "infer")])
def test_monai_finds_every_property(config: Path, kind: str, bundle: Path) -> None:
    check_properties(bundle, config, kind)


def test_monais_command_refuses_a_bundle_without_weights(new_bundles: Path, small_study: Path, tmp_path: Path) -> None:
    """It builds the network, which refuses when it is asked: no mask, and nothing is left."""
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json", "--dataset_dir",
               str(small_study), "--output_dir", str(tmp_path / "out")]  # fmt: skip
    ran = subprocess.run(command, cwd=new_bundles / "plain", capture_output=True, text=True, check=False)
    assert ran.returncode != 0 and "this bundle has no weights yet" in ran.stderr
    assert not list(tmp_path.glob("out/*"))


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["a b"],
        ["a.b"],
        ["-model"],
        ["2nd"],
        ["../up"],
        [""],
        ["a" * 41],
        ["hippocampus"],
        ["ok", "--like", "../ok"],
        ["ok", "--like", "nothing"],
        ["ok", "--role", "dwi"],
        ["ok", "--role", "dwi=dwi"],
        ["ok", "--role", "t1=t1:maybe"],
        ["ok", "--role", "T1=t1"],
        ["ok", "--role", "t1", "--role", "t1"],
        ["ok", "--like", "hippocampus", "--role", "t1", "--role", "t2"],
        ["ok", "--segment", "Core"],
        ["ok", "--segment", "core", "--segment", "core"],
        ["ok", "--features", "0"],
        ["ok", "-o", ""],
    ],
    ids=" ".join,
)
def test_what_cannot_be_is_refused(arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("new-bundle", *arguments)
    assert (ran.exit_code, ran.out, ran.codes) == (2, "", ["USAGE"])
    assert not list(tmp_path.parent.glob("up")) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_there_stays(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "mine"
    if kind == "folder":
        (place / "configs").mkdir(parents=True)
        (place / "configs" / "train.json").write_text("days of work")
    elif kind == "file":
        place.write_text("notes")
    else:
        place.symlink_to("nowhere")
    before = tree(tmp_path)
    ran = run("new-bundle", "mine", "-o", tmp_path)
    assert (ran.exit_code, ran.codes) == (3, ["OUTPUT_EXISTS"]) and "mine" in ran.lines[0]
    assert tree(tmp_path) == before


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o555)
    for out in (tmp_path / "closed", tmp_path / "closed" / "deeper"):
        command = without_privilege(*console_script("new-bundle", "mine", "-o", out))
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 5 and ran.stderr.startswith("error[OUTPUT_UNWRITABLE]: "), ran.stderr
        assert len(ran.stderr.splitlines()) == 1
    assert not list((tmp_path / "closed").iterdir())


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Path.write_text

    def refuse(path: Path, text: str, **settings: str) -> int:
        if path.name == "train.json":
            raise OSError(28, "No space left on device")
        return written(path, text, **settings)

    monkeypatch.setattr(Path, "write_text", refuse)
    ran = run("new-bundle", "mine", "-o", tmp_path)
    assert (ran.exit_code, ran.codes) == (5, ["DISK_FULL"]) and not list(tmp_path.iterdir())


def test_without_weights_nothing_is_segmented(bundle: Path, phantom_cases: Path, tmp_path: Path) -> None:
    study = phantom_cases / "patient_0" / "flair.nii.gz"
    role = "scan" if bundle.name == "region" else "flair"
    for command in (
        ["segment", "--input", f"{role}={study}", "-o", tmp_path / "out"],
        ["evaluate", "--images", phantom_cases, "--out", tmp_path / "out"],
    ):
        ran = run(*command, "--bundle", bundle)
        assert ran.exit_code == 5 and not ran.out and not (tmp_path / "out").exists()
        said = [line for line in ran.lines if not line.startswith("scanweave: ")]
        assert len(said) == 1 and said[0].startswith("error[WEIGHTS_MISSING]: "), ran.lines
        assert "scanweave train" in said[0] and "--weights" in said[0] and bundle.name in said[0]
    ran = run("export", bundle, "-o", tmp_path / "out")
    assert (ran.exit_code, ran.codes) == (5, ["WEIGHTS_MISSING"]) and not list(tmp_path.iterdir())


# --- cases to try it on ---------------------------------------------------------------------------------------------


def test_phantom_cases_are_other_patients_than_the_demos(tmp_path: Path) -> None:
    ran = run("demo", "--cases", "1", "-o", tmp_path / "cases", "--seed", "4", "--json")
    assert (ran.exit_code, ran.lines, json.loads(ran.out)["patients"]) == (0, (), 1)
    (case,) = find_cases(tmp_path / "cases", ["pre", "flair", "post"])
    assert case.patient == "patient_1" and set(case.request.inputs) == {"pre", "flair", "post"}
    label, flair = (nib.load(path) for path in (case.label, case.request.inputs["flair"]))
    phantom = make_phantom(5)
    assert np.array_equal(np.asarray(label.dataobj), phantom.lesion.array) and np.asarray(label.dataobj).any()
    assert np.array_equal(np.asarray(flair.dataobj), phantom.series["flair"].array)
    assert np.allclose(label.affine, flair.affine)
    before = tree(tmp_path)
    assert run("demo", "--cases", "1", "-o", tmp_path / "cases").codes[-1] == "OUTPUT_EXISTS"
    assert run("demo", "--cases", "0", "-o", tmp_path / "none", "--json").codes == ["USAGE"]
    (tmp_path / "cases" / "PHANTOM.txt").unlink()
    assert run("demo", "--cases", "1", "-o", tmp_path / "cases", "--overwrite", "--json").codes == ["OUTPUT_EXISTS"]
    assert {**tree(tmp_path), **before} == before


def test_the_page_is_as_the_commands_are() -> None:
    """Every command of docs/new-bundle.md parses; its steps are what the tests above do."""
    from scanweave.cli import _parser

    page = (REPOSITORY / "docs" / "new-bundle.md").read_text()
    lines = [line.strip() for line in page.splitlines() if line.startswith("    scanweave ") and "[" not in line]
    assert len(lines) >= 6
    for line in lines:
        _parser().parse_args(line.split()[1:])
