"""What a training keeps on disk: whole at any moment, refused in one line, made anew where it has to be."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from labelled_folders import SIZE, SLICES, square, write_patient
from monai.transforms import Compose
from studies import without_privilege
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scanweave.errors import Code, EnvironmentFailure, InputRefused, UsageError
from scanweave.networks.bn_unet import BNUNet
from scanweave.pipeline.bundle import find_bundle
from scanweave.pipeline.progress import silent
from scanweave.pipeline.training.export import export_weights
from scanweave.pipeline.training.fingerprints import content_of
from scanweave.pipeline.training.journal import EVENTS_FOLDER, TABLE_FILE, Journal
from scanweave.pipeline.training.place import MODEL_FILE, STATE_FILE, check_free
from scanweave.pipeline.training.state import TrainingState
from scanweave.pipeline.training.training_file import training_file
from scanweave.pipeline.training.volumes import ToTrainingVolumed, TrainingVolume, load_volumes
from scanweave.transforms.io.labelled_cases import find_cases
from scanweave.transforms.load_study import LoadStudyd
from scanweave.transforms.load_truth import LoadTruthd
from scanweave.transforms.stack_roles import StackRolesd

ROLES = find_bundle().roles
IDENTITY = {"recipe": "0", "masks": "1"}

# --- whole files ----------------------------------------------------------------------------------------------------


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        with training_file(path) as stream:
            stream.write(b"new")
            assert path.read_bytes() == b"old"
        assert (reader.read(), path.read_bytes()) == (b"old", b"new"), "another file, not this one written over"
    with pytest.raises(KeyboardInterrupt), training_file(path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"new")]


@pytest.mark.parametrize(
    ("reason", "code"),
    [(errno.ENOSPC, Code.DISK_FULL), (errno.EDQUOT, Code.DISK_FULL), (errno.EIO, Code.OUTPUT_UNWRITABLE)],
)
def test_what_the_disk_refuses_has_a_code(tmp_path: Path, reason: int, code: Code) -> None:
    """Also where `torch.save` covers the system's error with one of its own."""

    class Failing:
        def write(self, content: bytes) -> int:
            raise OSError(reason, os.strerror(reason))

        def flush(self) -> None:
            pass

    with pytest.raises(EnvironmentFailure) as failure, training_file(tmp_path / "last.pt"):
        torch.save({"a": torch.zeros(1000)}, Failing())  # type: ignore[arg-type]
    assert failure.value.code == code
    assert not any(tmp_path.iterdir())


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    program = (
        "from pathlib import Path; import sys\n"
        "from scanweave.pipeline.training.training_file import training_file\n"
        "with training_file(Path(sys.argv[1])) as stream: stream.write(b'x')\n"
    )
    command = without_privilege(sys.executable, "-c", program, str(tmp_path / "file"))
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    tmp_path.chmod(0o700)
    assert "error[OUTPUT_UNWRITABLE]" in ran.stderr.splitlines()[-1]


def test_defects_stay_defects(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="unrelated"), training_file(tmp_path / "file"):
        raise RuntimeError("unrelated")


# --- the state ------------------------------------------------------------------------------------------------------


def state(**values: Any) -> TrainingState:
    return TrainingState(IDENTITY, **{"epoch": 3, "batch": 2, "steps": 17, "losses": [0.5], **values})


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    written = state(history=[{"epoch": 1, "dice": None}], learner={"network": {"w": torch.arange(3.0)}}, finished=True)
    written.write(tmp_path)
    read = TrainingState.read(tmp_path, IDENTITY)
    tensors = read.learner.pop("network"), written.learner.pop("network")
    assert torch.equal(tensors[0]["w"], tensors[1]["w"])
    assert read == written


def test_killed_while_it_writes_the_old_state_stays(tmp_path: Path) -> None:
    """A process that is gone in the midst of `torch.save`, with most of the bytes written."""
    state().write(tmp_path)
    program = (
        "import os, sys, torch\n"
        "from pathlib import Path\n"
        "from scanweave.pipeline.training.state import TrainingState\n"
        "save = torch.save\n"
        "def killed(content, stream):\n"
        "    save(content, stream); stream.flush(); stream.truncate(stream.tell() // 2); os.kill(os.getpid(), 9)\n"
        "torch.save = killed\n"
        "TrainingState('identity', epoch=9, learner={'w': {'w': torch.zeros(1000)}}).write(Path(sys.argv[1]))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert ran.returncode == -9
    assert TrainingState.read(tmp_path, IDENTITY).epoch == 3
    left = {path.name for path in tmp_path.iterdir()}
    state(epoch=4).write(tmp_path)
    assert left > {path.name for path in tmp_path.iterdir()} == {STATE_FILE}, "what was left is overwritten"


def test_state_of_another_training_is_refused(tmp_path: Path) -> None:
    state().write(tmp_path)
    with pytest.raises(UsageError, match="with other masks ") as refusal:
        TrainingState.read(tmp_path, {**IDENTITY, "masks": "2"})
    assert refusal.value.code == Code.TRAINING_MISMATCH


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "of another version", "of an older version"])
def test_state_that_cannot_be_read_is_refused(tmp_path: Path, damage: str) -> None:
    state().write(tmp_path)
    path = tmp_path / STATE_FILE
    content = path.read_bytes()
    if damage == "of another version":
        torch.save({"identity": IDENTITY, "spells": 7}, path)
    elif damage == "of an older version":
        torch.save({"identity": "one hash of all"}, path)
    else:
        path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"not a state"}[damage])
    with pytest.raises(UsageError) as refusal:
        TrainingState.read(tmp_path, IDENTITY)
    assert refusal.value.code == Code.TRAINING_MISMATCH


def test_a_training_is_there_or_not(tmp_path: Path) -> None:
    assert not check_free(tmp_path / "nowhere", resume=True)
    state().write(tmp_path)
    assert check_free(tmp_path, resume=True)
    with pytest.raises(InputRefused) as refusal:
        check_free(tmp_path, resume=False)
    assert refusal.value.code == Code.OUTPUT_EXISTS


@pytest.mark.parametrize("resume", [False, True])
def test_weights_without_their_state_are_not_overwritten(tmp_path: Path, resume: bool) -> None:
    (tmp_path / MODEL_FILE).write_bytes(b"somebody's")
    with pytest.raises(InputRefused, match=STATE_FILE) as refusal:
        check_free(tmp_path, resume)
    assert refusal.value.code == Code.OUTPUT_EXISTS


# --- weights --------------------------------------------------------------------------------------------------------


def weights(**changed: torch.Tensor) -> dict[str, torch.Tensor]:
    return BNUNet(in_channels=3, out_channels=1, features=2).state_dict() | changed


def test_weights_travel_as_float16(tmp_path: Path) -> None:
    own = weights()
    exported = export_weights(own, tmp_path)
    read = torch.load(tmp_path / MODEL_FILE, weights_only=True)
    assert len(read) == 118 and read.keys() == own.keys()
    assert {value.dtype for value in read.values()} == {torch.float16, torch.int64}
    assert all(torch.allclose(read[key].float(), own[key].float(), rtol=1e-3, atol=1e-6) for key in own)
    assert exported.path == tmp_path / MODEL_FILE and len(exported.sha256) == 64
    assert [path.name for path in tmp_path.iterdir()] == [MODEL_FILE]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 70_000.0])
def test_weights_that_are_no_numbers_are_not_exported(tmp_path: Path, value: float) -> None:
    (tmp_path / MODEL_FILE).write_bytes(b"old")
    with pytest.raises(EnvironmentFailure, match=r"conv\.bias") as failure:
        export_weights(weights(**{"conv.bias": torch.tensor([value])}), tmp_path)
    assert failure.value.code == Code.NOT_FINITE_OUTPUT
    assert (tmp_path / MODEL_FILE).read_bytes() == b"old"


# --- the journal ----------------------------------------------------------------------------------------------------


def record(epoch: int, dice: float | None) -> dict[str, Any]:
    return {"epoch": epoch, "loss": 1 / epoch, "dice": dice}


def test_after_a_resumption_nothing_is_told_twice(tmp_path: Path) -> None:
    """Killed after the journal of epoch 3 and before its state: epoch 3 is done again, and comes out otherwise."""
    first = Journal(tmp_path, 0)
    history = [record(1, None), record(2, 0.5), record(3, 0.1)]
    for count in range(1, 4):
        first.write(history[:count])
    second = Journal(tmp_path, 2)
    again = [*history[:2], record(3, 0.7)]
    second.write(again)
    second.close()
    events = EventAccumulator(str(tmp_path / EVENTS_FOLDER)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3]
    assert [event.value for event in events.Scalars("dice")] == pytest.approx([0.5, 0.7]), (
        "none where none was measured"
    )
    with (tmp_path / TABLE_FILE).open() as stream:
        assert [row["dice"] for row in csv.DictReader(stream)] == ["", "0.5", "0.7"]


# --- the cache ------------------------------------------------------------------------------------------------------


class Counted:
    """A setting of the chain, and how often the chain ran."""

    def __init__(self, setting: float = 1.0) -> None:
        self.setting = setting

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        runs.append(data["case"].name)
        image = data["image"]
        return {**data, "image": image.with_array(image.array * np.float32(self.setting))}


runs: list[str] = []


@pytest.fixture
def two(tmp_path: Path) -> Path:
    runs.clear()
    for name in ("a", "b"):
        lesion = square(down=10 if name == "b" else 0)
        write_patient(tmp_path / "cases", name, lesion, lesion)
    return tmp_path / "cases"


def loaded(root: Path, setting: float = 1.0) -> tuple[TrainingVolume, ...]:
    """Through a chain without preprocessing; `runs` names the cases that went through it."""
    chain = Compose([LoadStudyd(ROLES, "flair"), LoadTruthd(), StackRolesd(ROLES, "flair"), Counted(setting),
                     ToTrainingVolumed()])  # fmt: skip
    runs.clear()
    return load_volumes(find_cases(root, [role.name for role in ROLES]), chain, root.parent / "cache", silent)


def files(root: Path) -> list[Path]:
    return sorted((root.parent / "cache").iterdir())


def same(one: TrainingVolume, other: TrainingVolume) -> bool:
    return all(torch.equal(getattr(one, key), getattr(other, key)) for key in ("image", "label", "low", "high"))


def test_volumes_as_the_network_gets_them(two: Path) -> None:
    volume = loaded(two)[1]
    assert (volume.name, volume.patient) == ("b", "b")
    assert (volume.image.shape, volume.image.dtype) == ((SLICES, 3, SIZE, SIZE), torch.float16)
    assert torch.equal(volume.label.bool(), torch.from_numpy(square(down=10)).permute(2, 0, 1))
    assert volume.label.dtype == torch.uint8
    assert torch.equal(volume.image[:, 1] == 200, volume.label.bool()), "the lesion lies where its mask does"
    assert torch.equal(volume.high, torch.tensor([100.0, 200.0, 100.0]))


def test_what_was_preprocessed_is_read_from_the_cache(two: Path) -> None:
    first = loaded(two)
    assert runs == ["a", "b"]
    second = loaded(two)
    assert runs == []
    assert all(same(one, other) for one, other in zip(first, second, strict=True))


def test_a_changed_case_is_done_anew(two: Path) -> None:
    loaded(two)
    image = two / "a" / "a_2.tif"
    os.utime(image, ns=(0, image.stat().st_mtime_ns + 1))
    loaded(two)
    assert runs == ["a"]
    (two / "b" / "b_2_mask.tif").write_bytes((two / "b" / "b_1_mask.tif").read_bytes())
    assert loaded(two)[1].label[1].sum() == 0
    assert runs == ["b"]


def test_content_is_known_wherever_it_lies(two: Path, tmp_path: Path) -> None:
    """A training goes on with its data copied elsewhere, and not with a mask that was mended."""
    before = [content_of(case) for case in find_cases(two, ("pre", "flair", "post"))]
    copy = shutil.copytree(two, tmp_path / "copy", copy_function=shutil.copyfile)
    cases = find_cases(copy, ("pre", "flair", "post"))
    assert [content_of(case) for case in cases] == before
    mask = copy / "b" / "b_2_mask.tif"
    mask.write_bytes((copy / "b" / "b_1_mask.tif").read_bytes())
    assert [content_of(case) == known for case, known in zip(cases, before, strict=True)] == [True, False]


def test_content_of_what_is_no_file_is_not_waited_for(two: Path) -> None:
    os.mkfifo(two / "a" / "pipe")
    (two / "a" / "nowhere").symlink_to(two / "gone")
    assert all(content_of(case) for case in find_cases(two, ("pre", "flair", "post")))


def test_a_changed_setting_does_all_anew(two: Path) -> None:
    loaded(two)
    changed = loaded(two, setting=0.5)
    assert runs == ["a", "b"]
    assert changed[0].high[1] == 100
    loaded(two)
    assert runs == [], "the other setting's volumes are still there"


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_damaged_cache_is_made_anew(two: Path, damage: str) -> None:
    first = loaded(two)
    path = files(two)[0]
    content = path.read_bytes()
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "text": b"not a volume"}[damage])
    again = loaded(two)
    assert len(runs) == 1
    assert all(same(one, other) for one, other in zip(first, again, strict=True))
    assert path.read_bytes() == content


def test_broken_cases_are_named_together_and_not_kept(two: Path) -> None:
    write_patient(two, "c", square(), square())
    (two / "a" / "a_2.tif").write_bytes(b"no picture")
    (two / "c" / "c_3_mask.tif").unlink()
    with pytest.raises(InputRefused) as refusal:
        loaded(two)
    told = [str(problem) for problem in refusal.value.problems]
    assert [("case a" in line, "case c" in line) for line in told] == [(True, False), (False, True)], told
    assert refusal.value.problems[1].code == Code.MISSING_LABEL
    assert runs == ["b"] and len(files(two)) == 1
