"""How far a training is, in words: time left by this process alone, lines for a log, silence before a refusal."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scanweave.commands.train import stopped
from scanweave.long_runs import Remaining
from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import CASE, LOAD
from scanweave.pipeline.training.place import STATE_FILE
from scanweave.pipeline.training.stages import CACHE_STEP, TRAIN_STEP
from scanweave.training_display import LOG_INTERVAL_S, TrainingLines


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def told(stages: Iterator[tuple[float, Stage]]) -> list[str]:
    """The lines of a log, from stages and the seconds before each."""
    clock, stream = Clock(), io.StringIO()
    lines = TrainingLines(stream, clock)
    for seconds, stage in stages:
        clock.now += seconds
        lines(stage)
    return stream.getvalue().splitlines()


def test_time_left_goes_by_this_process_alone() -> None:
    """Resumed at 40 %: two points in a minute leave 58 of them, 29 minutes."""
    clock = Clock()
    remaining = Remaining(clock)
    assert remaining(Stage(TRAIN_STEP, 41, 100, 0.4)) == ""
    clock.now += 60
    assert remaining(Stage(TRAIN_STEP, 43, 100, 0.42)) == "29 min left"
    clock.now += 60 * 60
    assert remaining(Stage(TRAIN_STEP, 44, 100, 0.44)) == "14 h 14 min left"
    clock.now = 100 + 59 * 60
    assert remaining(Stage(TRAIN_STEP, 99, 100, 0.999)) == "under a minute left"


def test_another_step_is_timed_anew() -> None:
    clock = Clock()
    remaining = Remaining(clock)
    remaining(Stage(CACHE_STEP, part=0.0))
    clock.now += 1000
    assert remaining(Stage(TRAIN_STEP, 1, 10, 0.0)) == ""
    clock.now += 60
    assert remaining(Stage(TRAIN_STEP, 2, 10, 0.1)) == "9 min left"


def test_a_line_for_each_epoch_and_now_and_then_within() -> None:
    epochs = [Stage(TRAIN_STEP, 1, 2, 0.0), Stage(TRAIN_STEP, 1, 2, 0.1), Stage(TRAIN_STEP, 1, 2, 0.2),
              Stage(TRAIN_STEP, 2, 2, 0.5, "loss 0.412, Dice 0.830")]  # fmt: skip
    seconds = [0.0, LOG_INTERVAL_S / 2, LOG_INTERVAL_S / 2, 120.0]
    assert told(zip(seconds, epochs, strict=True)) == [
        "scanweave: epoch 1/2",
        "scanweave: epoch 1/2, 4 min left",
        "scanweave: epoch 2/2, loss 0.412, Dice 0.830, 3 min left",
    ]


def test_nothing_is_told_before_the_call_can_no_longer_be_refused() -> None:
    assert told(iter([(0.0, Stage(LOAD)), (1000.0, Stage(LOAD))])) == []


def test_measuring_a_fold_is_no_epoch() -> None:
    stages = [
        (0.0, Stage(CACHE_STEP, part=0.25)),
        (0.0, Stage("CheckCases")),
        (0.0, Stage(CASE, 3, 22, 0.2, "fold 1/5")),
    ]
    assert told(iter(stages)) == [
        "scanweave: preprocess 25%", "scanweave: check the cases", "scanweave: case 3/22, fold 1/5"
    ]  # fmt: skip


@pytest.mark.parametrize("folder", ["", "fold_3"])
def test_a_stopped_training_says_how_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: str
) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        stopped(place)
        assert capsys.readouterr() == ("", "scanweave: stopped before there was anything to go on from\n")
    (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / folder / STATE_FILE).touch()
    stopped(tmp_path)
    assert capsys.readouterr() == ("", "scanweave: stopped; the same command with --resume goes on\n")
