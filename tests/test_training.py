"""`scanweave train`: it learns, it can be killed at any moment, folds hold out, refusals; the same by monai.bundle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from monai.bundle import create_workflow
from studies import console_script, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_fixtures import BATCH, DRAWN, EPOCHS, PATIENTS

from scanweave.networks.weights import file_sha256
from scanweave.pipeline.bundle import METADATA_FILE, TRAIN_CONFIG, find_bundle

pytest_plugins = ["training_fixtures"]
SHIPPED = find_bundle()
MULTI_GPU_CONFIG = TRAIN_CONFIG.with_name("multi_gpu_train.json")


@pytest.fixture(scope="module")
def trained(patients: Path, training_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A training from begin to end, and the record that it printed."""
    out = tmp_path_factory.mktemp("trained") / "out"
    ran = run("train", "--images", patients, "--bundle", training_bundle, "--out", out, "--device", "cpu", "--json")
    assert (ran.exit_code, ran.lines) == (0, ()), ran.lines
    return out, json.loads(ran.out)


def test_learns_and_leaves_what_it_says(trained: tuple[Path, dict], training_bundle: Path) -> None:
    out, record = trained
    assert {path.name for path in out.iterdir()} == {
        "best.pt", "last.pt", "model.pt", "training.json", "split.json", "epochs.csv", "tensorboard", "cache",
        "input_reference.json", ".lock",
    }  # fmt: skip
    assert record == json.loads((out / "training.json").read_text())
    assert record["weights"]["sha256"] == file_sha256(out / "model.pt")
    assert record["validation_dice"] > 0.8
    assert (record["epochs"], record["init"], record["split"]["test"]) == (EPOCHS, None, [])
    split = json.loads((out / "split.json").read_text())
    assert len(split["train"]) + len(split["validation"]) == PATIENTS
    weights = torch.load(out / "model.pt", weights_only=True)
    assert len(weights) == 118
    assert {value.dtype for value in weights.values()} == {torch.float16, torch.int64}


def test_tensorboard_and_table(trained: tuple[Path, dict]) -> None:
    out, record = trained
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss")] == list(range(1, EPOCHS + 1))
    assert max(event.value for event in events.Scalars("dice")) >= record["validation_dice"] - 1e-6
    rows = (out / "epochs.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,loss,learning_rate,rows,dice")
    assert len(rows) == 1 + EPOCHS


def test_weights_are_taken_by_evaluate(trained: tuple[Path, dict], patients: Path, training_bundle: Path) -> None:
    weights = trained[0] / "model.pt"
    ran = run("evaluate", "--images", patients, "--bundle", training_bundle, "--weights", weights, "--json")
    assert ran.exit_code == 0, ran.lines
    figures = json.loads(ran.out)
    assert figures["weights"]["sha256"] == file_sha256(weights)
    assert figures["mean"] > 0.8


def test_killed_at_any_moment_it_goes_on_exactly(
    trained: tuple[Path, dict], patients: Path, training_bundle: Path, tmp_path: Path
) -> None:
    """SIGKILL while it trains, several times: the weights at the end are those of the training that was not killed."""
    command = console_script("train", "--images", patients, "--bundle", training_bundle, "--out", tmp_path / "out",
                             "--device", "cpu", "--resume")  # fmt: skip
    state = tmp_path / "out" / "last.pt"
    kills, seen = 0, -1.0
    while kills < 2:
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None and (not state.exists() or state.stat().st_mtime <= seen):
            time.sleep(0.005)
        time.sleep(0.03 * kills)
        assert process.poll() is None, "the training ended before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills, seen = kills + 1, state.stat().st_mtime
    begun = torch.load(state, weights_only=True)
    assert 0 < begun["steps"] < DRAWN / BATCH * EPOCHS, "nothing was left to go on with"
    subprocess.run(command, check=True, capture_output=True)
    assert (tmp_path / "out" / "model.pt").read_bytes() == (trained[0] / "model.pt").read_bytes()
    assert json.loads((tmp_path / "out" / "training.json").read_text())["steps"] == trained[1]["steps"]


def test_finished_training_is_resumed_to_the_same(
    trained: tuple[Path, dict], patients: Path, training_bundle: Path
) -> None:
    before = (trained[0] / "model.pt").read_bytes()
    ran = run("train", "--images", patients, "--bundle", training_bundle, "--out", trained[0], "--device", "cpu",
              "--resume")  # fmt: skip
    assert ran.exit_code == 0, ran.lines
    assert "scanweave evaluate" in ran.out
    assert (trained[0] / "model.pt").read_bytes() == before


def test_folds_hold_out_and_measure(patients: Path, training_bundle: Path, tmp_path: Path) -> None:
    ran = run("train", "--images", patients, "--bundle", training_bundle, "--out", tmp_path / "out", "--folds", 2,
              "--epochs", 2, "--device", "cpu", "--json")  # fmt: skip
    assert ran.exit_code == 0, ran.lines
    record = json.loads(ran.out)
    names = {path.name for path in patients.iterdir()}
    assert set(record["patients"]) == names, "every patient is held out once"
    for fold in (0, 1):
        split = json.loads((tmp_path / "out" / f"fold_{fold}" / "split.json").read_text())
        parts = [set(split[part]) for part in ("train", "validation", "test")]
        assert set.union(*parts) == names and sum(map(len, parts)) == PATIENTS
        measured = json.loads((tmp_path / "out" / f"fold_{fold}" / "evaluation" / "evaluation.json").read_text())
        assert set(measured["patients"]) == set(split["test"])
    assert record == json.loads((tmp_path / "out" / "cross_validation.json").read_text())


def test_bundle_run_is_the_same_training(
    trained: tuple[Path, dict], patients: Path, training_bundle: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(training_bundle / TRAIN_CONFIG),
               "--meta_file", str(training_bundle / METADATA_FILE), "--dataset_dir", str(patients),
               "--output_dir", str(tmp_path / "out"), "--bundle_root", str(training_bundle)]  # fmt: skip
    ran = subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, text=True)
    assert (tmp_path / "out" / "model.pt").read_bytes() == (trained[0] / "model.pt").read_bytes()
    record = json.loads((tmp_path / "out" / "training.json").read_text())
    assert {**record, "seconds": 0} == {**trained[1], "seconds": 0}
    assert f"SHA-256 {record['weights']['sha256']}" in ran.stdout and "scanweave: epoch" in ran.stderr
    own, other = (torch.load(folder / "best.pt", weights_only=True) for folder in (trained[0], tmp_path / "out"))
    assert all(torch.equal(own[key], other[key]) for key in own)


def test_two_processes_train_one_network(patients: Path, training_bundle: Path, tmp_path: Path) -> None:
    """torchrun with two CPU processes (gloo): each takes its part of every batch, the first writes."""
    files = [str(training_bundle / TRAIN_CONFIG), str(training_bundle / MULTI_GPU_CONFIG)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m",
               "monai.bundle", "run", "--config_file", repr(files), "--meta_file",
               str(training_bundle / METADATA_FILE), "--dataset_dir", str(patients), "--output_dir",
               str(tmp_path / "out"), "--bundle_root", str(training_bundle)]  # fmt: skip
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment)
    state = torch.load(tmp_path / "out" / "last.pt", weights_only=True)
    assert (state["steps"], state["finished"]) == (DRAWN / BATCH * EPOCHS, True)
    assert state["best_dice"] > 0.8
    averaged = torch.load(tmp_path / "out" / "best.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in averaged.values())


def test_train_configuration_has_monais_properties() -> None:
    for files in ([TRAIN_CONFIG], [TRAIN_CONFIG, MULTI_GPU_CONFIG]):
        workflow = create_workflow(
            config_file=[str(SHIPPED.root / file) for file in files],
            meta_file=str(SHIPPED.root / METADATA_FILE),
            workflow_type="train",
        )
        assert workflow.check_properties() == []


def test_the_chains_are_one() -> None:
    """Training, evaluation and inference prepare a study by the same steps with the same settings."""
    chains = {}
    for name in ("inference", "evaluate", "train"):
        config = json.loads((SHIPPED.root / "configs" / f"{name}.json").read_text())
        steps = config["train"]["preprocessing"] if name == "train" else config["preprocessing"]
        chains[name] = {step["_target_"].split(".")[-1]: step for step in steps["transforms"]}
    for name, step in chains["train"].items():
        if name in ("LoadTruthd", "ToTrainingVolumed"):
            continue
        assert step == chains["evaluate"][name]
        own = chains["inference"][name]
        for setting in own.keys() - {"keys", "modes"}:
            assert step[setting] == own[setting], (name, setting)


# --- refusals -------------------------------------------------------------------------------------------------------


def test_existing_training_is_not_overwritten(
    trained: tuple[Path, dict], patients: Path, training_bundle: Path
) -> None:
    before = (trained[0] / "last.pt").read_bytes()
    ran = run("train", "--images", patients, "--bundle", training_bundle, "--out", trained[0], "--device", "cpu")
    assert (ran.exit_code, ran.codes) == (3, ["OUTPUT_EXISTS"])
    assert (trained[0] / "last.pt").read_bytes() == before


def test_resume_with_other_settings_is_refused(
    trained: tuple[Path, dict], patients: Path, training_bundle: Path
) -> None:
    ran = run("train", "--images", patients, "--bundle", training_bundle, "--out", trained[0], "--device", "cpu",
              "--resume", "--epochs", EPOCHS + 1)  # fmt: skip
    assert (ran.exit_code, ran.codes) == (2, ["TRAINING_MISMATCH"])


@pytest.mark.parametrize(
    ("arguments", "exit_code", "code"),
    [
        (["--epochs", 0], 2, "USAGE"),
        (["--folds", 1], 2, "USAGE"),
        (["--fold", 0], 2, "USAGE"),
        (["--folds", 2, "--fold", 2], 2, "USAGE"),
        (["--folds", 7], 3, "TOO_FEW_CASES"),
        (["--init", "nowhere.pt"], 5, "WEIGHTS_MISSING"),
        (["--device", "cuda:9"], 5, "DEVICE_UNAVAILABLE"),
    ],
)
def test_refused_before_anything_is_written(
    patients: Path, training_bundle: Path, tmp_path: Path, arguments: list[object], exit_code: int, code: str
) -> None:
    ran = run("train", "--images", patients, "--bundle", training_bundle, "--out", tmp_path / "out", *arguments)
    assert (ran.exit_code, ran.codes) == (exit_code, [code])
    assert not (tmp_path / "out").exists()


def test_folder_without_masks_is_refused(training_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = run("train", "--images", tmp_path / "empty", "--bundle", training_bundle, "--out", tmp_path / "out")
    assert (ran.exit_code, ran.codes) == (3, ["EMPTY_INPUT"])
    ran = run("train", "--images", tmp_path / "nowhere", "--bundle", training_bundle, "--out", tmp_path / "out")
    assert (ran.exit_code, ran.codes) == (3, ["INPUT_NOT_FOUND"])
