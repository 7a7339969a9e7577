"""`scanweave evaluate`: figures, order, files; the same by `monai.bundle run`; every layout; real patients."""

import csv
import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from labelled_folders import (
    AFFINE,
    BRIGHT,
    SIDE,
    bright_bundle,
    head,
    square,
    write_nifti_case,
    write_patient,
    write_weights,
)
from monai.metrics import compute_hausdorff_distance
from PIL import Image
from studies import run, tree

from scanweave import RESEARCH_NOTICE, Stage
from scanweave.errors import InputRefused
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, find_bundle
from scanweave.pipeline.evaluation.evaluate import EVALUATE_CONFIG, evaluate
from scanweave.pipeline.network_settings import NetworkSettings
from scanweave.pipeline.progress_course import CASE, EVALUATE_STEPS, LOAD, Course

MOVED, MISSED = 10, 2
"""Pixels by which the truth of one patient is moved, and slices that a lesion nobody sees has."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_bundle(tmp_path_factory.mktemp("bundle") / "bright")


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One found exactly, one off by ten pixels, one whose lesion the network does not see where it is."""
    root = tmp_path_factory.mktemp("lgg")
    write_patient(root, "a_exact", square(), square())
    write_patient(root, "b_moved", square(), square(right=MOVED))
    write_patient(root, "c_missed", square(), square(side=20, down=110))
    return root


@pytest.fixture(scope="module")
def written(patients: Path, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """The document of `scanweave evaluate --json`, and its folder."""
    out = tmp_path_factory.mktemp("evaluated") / "deep" / "out"
    ran = run("evaluate", "--images", patients, "--bundle", bundle, "--out", out, "--json")
    assert (ran.exit_code, ran.lines) == (0, ()), ran.lines
    return json.loads(ran.out, parse_constant=pytest.fail), out


# --- the figures ----------------------------------------------------------------------------------------------------


def test_figures_by_hand(written: tuple[dict, Path]) -> None:
    """Two squares of 100 pixels, one moved by 10: 90 columns in both, on two slices."""
    figures = written[0]["patients"]
    exact, moved, missed = (figures[name] for name in ("a_exact", "b_moved", "c_missed"))
    assert (exact["dice"], exact["iou"], exact["hd95"], exact["volume_error_percent"]) == (1, 1, 0, 0)
    assert (exact["dice_original"], exact["hd95_original"], exact["components"]) == (1, 0, 1)
    assert moved["dice"] == moved["dice_original"] == 0.9
    assert moved["iou"] == round(90 / 110, 4)
    assert moved["hd95"] == moved["hd95_original"] == MOVED
    assert moved["false_positive_voxels"] == moved["false_negative_voxels"] == MOVED * SIDE * 2
    assert moved["truth_voxels"] == moved["mask_voxels"] == 2 * SIDE**2
    assert (missed["dice"], missed["slices_missed"], missed["volume_error_percent"]) == (0, 0, 2400)
    assert {item["hd95_unit"] for item in figures.values()} == {"px"}
    assert all(item["truth_ml"] is None and item["slices"] == 4 for item in figures.values())


def test_document_names_what_made_it(written: tuple[dict, Path], bundle: Path) -> None:
    document, out = written
    dice = [1.0, 0.9, 0.0]
    assert list(document["patients"]) == ["c_missed", "b_moved", "a_exact"], "worst first"
    assert document["mean"] == pytest.approx(np.mean(dice), abs=1e-4) and document["median"] == 0.9
    low, high = document["mean_interval"]
    assert 0 <= low < document["mean"] < high <= 1
    assert document["summary"]["dice"]["mean"] == document["mean"]
    assert set(document["summary"]) >= {"dice", "iou", "hd95", "dice_original", "dice_all", "dice_largest"}
    assert document["settings"] == {
        "components": "likely",
        "device": "cpu",
        "precision": "fp32",
        "runtime": "eager",
    }
    assert document["bundle"]["name"] == bundle.name and document["notice"] == RESEARCH_NOTICE
    metadata = json.loads((bundle / METADATA_FILE).read_text())
    assert document["weights"] == {name: metadata["weights"][name] for name in ("name", "sha256")}
    assert json.loads((out / "evaluation.json").read_text()) == document


def test_files(written: tuple[dict, Path]) -> None:
    document, out = written
    stems = [f"{rank:03d}_{name}" for rank, name in enumerate(document["patients"], start=1)]
    assert {path.name for path in out.iterdir()} == {"evaluation.json", "evaluation.csv", "dsc.png", "overlays"}
    assert {path.name for path in (out / "overlays").iterdir()} == {
        stem + suffix for stem in stems for suffix in (".gif", ".png")
    }
    assert [path.name for path in out.parent.iterdir()] == ["out"], "nothing else is left"
    with (out / "evaluation.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["case"] for row in rows] == list(document["patients"])
    for row in rows:
        assert float(row["dice"]) == document["patients"][row["case"]]["dice"] and row["truth_ml"] == ""


def test_agrees_with_segment(patients: Path, bundle: Path, written: tuple[dict, Path], tmp_path: Path) -> None:
    """`dice_original` is the Dice that `segment` tells of the same patient."""
    ran = run("segment", patients / "b_moved", "-o", tmp_path / "out", "--bundle", bundle, "--json")
    assert json.loads(ran.out)["dice"] == written[0]["patients"]["b_moved"]["dice_original"]


def test_monai_bundle_run_gives_the_same_figures(
    patients: Path, bundle: Path, written: tuple[dict, Path], tmp_path: Path
) -> None:
    from monai.bundle import run as monai_run

    monai_run(
        config_file=str(bundle / EVALUATE_CONFIG), meta_file=str(bundle / METADATA_FILE), bundle_root=str(bundle),
        dataset_dir=str(patients), output_dir=str(tmp_path / "out"), weights_file=str(bundle / "models" / "model.pt"),
    )  # fmt: skip
    theirs, ours = json.loads((tmp_path / "out" / "evaluation.json").read_text()), written[0]
    assert theirs["patients"] == ours["patients"] and theirs["summary"] == ours["summary"]
    assert theirs["weights"]["sha256"] == ours["weights"]["sha256"]
    for name in tree(tmp_path / "out"):
        if name.endswith((".gif", ".csv")):
            assert (tmp_path / "out" / name).read_bytes() == (written[1] / name).read_bytes(), "reproducible"


def test_both_rules_in_one_run(bundle: Path, tmp_path: Path) -> None:
    """A false blob larger than the lesion: the published rule keeps the wrong one."""
    blob = square(down=60, right=-65, slices=slice(0, 1), side=110)
    lesion = square(down=-55, right=70, slices=slice(2, 4), side=60)
    write_patient(tmp_path / "in", "p", blob | lesion, lesion)
    found = {
        rule: evaluate(tmp_path / "in", settings=NetworkSettings(bundle, components=rule)).cases[0].figures
        for rule in ("largest", "all")
    }
    blob_size, lesion_size = 110**2, 2 * 60**2
    of_all = 2 * lesion_size / (blob_size + 2 * lesion_size)
    for rule, expected in (("largest", 0.0), ("all", of_all)):
        assert found[rule]["dice"] == found[rule]["dice_original"] == pytest.approx(expected)
        assert found[rule]["dice_all"] == pytest.approx(of_all) and found[rule]["dice_largest"] == 0
        assert found[rule]["components"] == 2
    assert (found["largest"]["slices_missed"], found["largest"]["slices_false"]) == (2, 1)
    assert found["largest"]["hd95"] is None, "no slice has both"


# --- volumes --------------------------------------------------------------------------------------------------------


def test_nifti_is_measured_in_millimetres_on_both_grids(bundle: Path, tmp_path: Path) -> None:
    truth = square(right=MOVED, slices=slice(0, 2))
    write_nifti_case(tmp_path, "site/case1", square(), truth)
    (case,) = evaluate(tmp_path, settings=NetworkSettings(bundle)).cases
    assert (case.name, case.patient) == ("site/case1", "site")
    one_hot = [torch.from_numpy(mask)[None, None].float() for mask in (square(), truth)]
    oracle = compute_hausdorff_distance(*one_hot, include_background=True, percentile=95, spacing=(0.9, 0.9, 5.0))
    figures = case.figures
    for grid in ("", "_original"):
        assert figures[f"hd95{grid}"] == pytest.approx(float(oracle), rel=1e-4)
        assert figures[f"dice{grid}"] == pytest.approx(0.45)
    assert figures["hd95_unit"] == "mm"
    assert figures["truth_ml"] == pytest.approx(2 * SIDE**2 * 0.9 * 0.9 * 5 / 1000)
    assert any("flair" in told for told in figures["warnings"]), "that both T1 were replaced is said"


@pytest.mark.parametrize("axes", [(2, 0, 1), (1, 2, 0)], ids=["sagittal", "coronal"])
def test_mask_of_another_orientation_travels_with_its_study(bundle: Path, tmp_path: Path, axes: tuple) -> None:
    """Resampled to axial slices as the image is; on its own grid nothing was done to it."""
    shape = (80, 72, 60)
    i, j, k = np.indices(shape)
    lesion = (abs(i - 30) < 15) & (abs(j - 40) < 14) & (abs(k - 28) < 16)
    image = np.where(lesion, BRIGHT, 60 + i // 2).astype(np.int16)
    affine = np.diag([2.0, 2.0, 2.0, 1.0])[:, [*axes, 3]]
    folder = tmp_path / "turned"
    folder.mkdir()
    for name, voxels in (("flair", image), ("label", lesion.astype(np.uint8))):
        picture = nib.Nifti1Image(voxels.transpose(axes), affine)
        picture.set_sform(affine, code=1)
        nib.save(picture, folder / f"{name}.nii.gz")
    (case,) = evaluate(tmp_path, settings=NetworkSettings(bundle)).cases
    figures = case.figures
    assert figures["dice"] > 0.93 and figures["dice_original"] > 0.93
    assert figures["truth_ml"] == pytest.approx(int(lesion.sum()) * 8 / 1000, rel=0.05)
    assert figures["hd95"] <= 3.5, "a slice of the model at most"


# --- layouts and choices --------------------------------------------------------------------------------------------


def test_pairs_of_pictures_and_of_volumes(bundle: Path, tmp_path: Path) -> None:
    for images in ("image", "img"):
        root = tmp_path / images
        (root / images).mkdir(parents=True)
        (root / "label").mkdir()
        for n in (1, 2):
            Image.fromarray(head(square())[:, :, n]).save(root / images / f"{n}.png")
            Image.fromarray((square()[..., n] * 255).astype(np.uint8)).save(root / "label" / f"{n}.png")
        done = evaluate(root, root / "out", settings=NetworkSettings(bundle))
        assert (root / "out" / "overlays" / "001_1.gif").is_file(), "of one frame"
        assert [(case.name, case.dice, case.figures["slices"]) for case in done.cases] == [("1", 1, 1), ("2", 1, 1)]
        assert done.dice.mean_interval is None, "all alike"
    root = tmp_path / "volumes"
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    stack = head(square()).astype(np.int16)
    for folder, voxels in (("images", stack), ("labels", square().astype(np.uint8))):
        picture = nib.Nifti1Image(voxels, AFFINE)
        picture.set_sform(AFFINE, code=1)
        nib.save(picture, root / folder / "brain_1.nii.gz")
    (case,) = evaluate(root, settings=NetworkSettings(bundle)).cases
    assert (case.name, case.figures["hd95_unit"]) == ("brain_1", "mm") and case.dice > 0.99


def test_only_some_cases(patients: Path, bundle: Path) -> None:
    done = evaluate(patients, settings=NetworkSettings(bundle), only=["b_moved"])
    assert [case.name for case in done.cases] == ["b_moved"] and done.dice.std is None
    with pytest.raises(InputRefused, match=r"none called nobody") as refusal:
        evaluate(patients, settings=NetworkSettings(bundle), only=["b_moved", "nobody"])
    assert refusal.value.code == "INPUT_NOT_FOUND"


def test_other_weights(patients: Path, bundle: Path, tmp_path: Path) -> None:
    """A network that marks nothing: Dice 0 and no distance."""
    blind = write_weights(tmp_path / "blind.pt", 1000.0)
    done = evaluate(patients, settings=NetworkSettings(bundle, weights=blind), only=["a_exact"])
    figures = done.cases[0].figures
    assert (figures["dice"], figures["hd95"], figures["volume_error_percent"]) == (0, None, -100)
    assert (figures["components"], figures["slices_missed"]) == (0, MISSED)
    assert done.record["weights"]["name"] == "blind.pt"
    assert done.summaries["hd95"].missing == 1 and done.folder is None


@pytest.mark.parametrize("own", [True, False])
def test_patients_whom_the_weights_have_seen_are_told(patients: Path, bundle: Path, tmp_path: Path, own: bool) -> None:
    """By the bundle's split for its own weights, by that of `scanweave train` beside others."""
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    weights = None if own else write_weights(tmp_path / "training" / "model.pt", 1.0)
    settings = NetworkSettings(copy, weights=weights)
    split = (copy / "configs" if own else tmp_path / "training") / "split.json"
    split.write_text(json.dumps({"train": ["a_exact"], "validation": ["b_moved"], "test": ["c_missed"]}))
    (told,) = evaluate(patients, settings=settings).record["warnings"]
    assert "trained on 2 of these 3 patient(s)" in told
    assert not evaluate(patients, settings=settings, only=["c_missed"]).record["warnings"]
    ran = run("evaluate", "--images", patients, "--bundle", copy, *(() if own else ("--weights", weights)))
    assert f"warning: {told}" in ran.out.splitlines()


# --- what is said ---------------------------------------------------------------------------------------------------


def test_text_and_log(patients: Path, bundle: Path, tmp_path: Path) -> None:
    ran = run("evaluate", "--images", patients, "--bundle", bundle)
    assert ran.exit_code == 0 and not any(tmp_path.iterdir())
    rows = ran.out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["case", "c_missed", "b_moved", "a_exact"]
    assert rows[2].split()[1:5] == ["0.900", "0.900", "0.818", "10.0"]
    assert "Dice of 3 patient(s): mean 0.633 (95 % interval " in ran.out and "median 0.900" in ran.out
    assert rows[-1] == f"{RESEARCH_NOTICE}."
    assert ran.lines == ("scanweave: case 1/3", "scanweave: case 2/3", "scanweave: case 3/3")


def test_bar_grows_evenly_over_the_cases(patients: Path, bundle: Path) -> None:
    """A step that repeats is one step: the first case of three ends at a third of the cases' share."""
    course = Course(EVALUATE_STEPS, lambda: 0.0)
    course.follow(Stage(LOAD))
    seen: dict[int, float] = {}

    def follow(stage: Stage) -> None:
        before = course.fraction()
        course.follow(stage)
        assert before <= course.fraction() <= 1
        if stage.step == CASE:
            seen[stage.number] = course.fraction()

    evaluate(patients, settings=NetworkSettings(bundle), progress=follow)
    before_cases = sum(EVALUATE_STEPS[name].seconds for name in (LOAD, "CheckCases"))
    total = sum(step.seconds for step in EVALUATE_STEPS.values())
    share = EVALUATE_STEPS[CASE].seconds / total
    assert seen[1] - before_cases / total > 0.8 * share / 3, "it moves within a case too"
    assert seen[2] - seen[1] == pytest.approx(share / 3, rel=0.05)
    assert seen[3] - seen[2] == pytest.approx(share / 3, rel=0.05)
    assert course.label() == "case 3/3"


# --- the configuration ----------------------------------------------------------------------------------------------

ADDED = {"LoadTruthd", "CompareMasksd"}
LEFT_OUT = {"ReserveResultd", "SaveStudyd"}
"""Steps that an evaluation has besides, and those that write one study's results."""


def steps_of(config: dict, part: str) -> list[dict]:
    return config[part]["transforms"]


def name_of(step: dict) -> str:
    return step["_target_"].split(".")[-1]


def test_chain_is_that_of_inference() -> None:
    """The same steps with the same parameters, but that the mask goes along."""
    inference, ours = (
        json.loads((find_bundle().root / name).read_text()) for name in (INFERENCE_CONFIG, EVALUATE_CONFIG)
    )
    for name in ("roles", "reference", "network_def", "network", "inferer", "components", "device", "precision"):
        assert ours[name] == inference[name], name
    expected = [step for step in steps_of(inference, "preprocessing") if name_of(step) not in LEFT_OUT]
    found = [step for step in steps_of(ours, "preprocessing") if name_of(step) not in ADDED]
    for step in found:
        if "label" in step.get("keys", ()):
            step["keys"] = [key for key in step["keys"] if key != "label"]
        if "label" in step.get("modes", ()):
            assert step["modes"].pop("label") == "nearest"
    assert found == expected
    after = steps_of(ours, "postprocessing")
    first = next(place for place, step in enumerate(after) if name_of(step) == "Restored")
    kept = [step for step in steps_of(inference, "postprocessing") if name_of(step) not in LEFT_OUT]
    assert after[first:-1] == kept
    threshold, keep = kept[1], kept[2]
    assert after[0] == {**threshold, "name": "found"}
    assert after[1] == {**keep, "key": "found", "name": "model_mask", "record_key": "model_components"}


def test_required_properties_are_there() -> None:
    from monai.bundle import create_workflow

    workflow = create_workflow(config_file=str(find_bundle().root / EVALUATE_CONFIG), workflow_type="infer")
    assert not workflow.check_properties()


def test_bundle_without_the_configuration(patients: Path, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "old")
    (tmp_path / "old" / EVALUATE_CONFIG).unlink()
    ran = run("evaluate", "--images", patients, "--bundle", tmp_path / "old", "--json")
    assert (ran.exit_code, ran.codes) == (5, ["BUNDLE_INVALID"])


# --- real patients --------------------------------------------------------------------------------------------------


def test_published_patients(data_dir: Path) -> None:
    """The weights were trained on these three: they say that the whole way is right, not how good the network is."""
    root = data_dir / "lgg" / "original"
    done = evaluate(root)
    assert len(done.cases) == 3
    for case in done.cases:
        figures = case.figures
        assert case.dice > 0.85 and figures["dice_original"] == pytest.approx(case.dice, abs=0.02), case.name
        assert figures["hd95_unit"] == "px" and figures["hd95"] < 25
    assert done.dice.mean is not None and done.dice.mean > 0.9
    assert "trained on 3 of these 3" in done.record["warnings"][0]
