"""How far a run is: evenly on a bar, in lines for a log, silent beside JSON, and gone before anything else is said."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studies import Trial, console_script
from terminals import on_terminal

from scanweave.pipeline.bundle import INFERENCE_CONFIG, find_bundle
from scanweave.pipeline.progress import Progress, Stage
from scanweave.pipeline.progress_course import LOAD, MOST_BY_TIME, OTHER_STEPS, PHANTOM, STUDY_STEPS, Course, Step
from scanweave.progress_display import LOG_INTERVAL_S, LogLines, progress_shown

pytest_plugins = ["study_fixtures"]

STEPS = {"read": Step("read it", 1.0), "long": Step("work", 8.0, logged=True), "write": Step("write", 1.0, logged=True)}
ESCAPE = "\x1b"


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Followed:
    """A progress that remembers."""

    stages: list[Stage] = field(default_factory=list)

    def __call__(self, stage: Stage) -> None:
        self.stages.append(stage)


# --- the way from 0 to 1 --------------------------------------------------------------------------------------------


def test_steps_count_by_their_seconds() -> None:
    clock = Clock()
    course = Course(STEPS, clock)
    seen = [course.fraction()]
    for stage in (Stage("read", 1, 3), Stage("long", 2, 3), Stage("long", 2, 3, 0.5), Stage("write", 3, 3)):
        course.follow(stage)
        seen.append(course.fraction())
    assert seen == pytest.approx([0, 0, 0.1, 0.5, 0.9])


def test_step_that_says_nothing_moves_with_the_clock_but_does_not_end() -> None:
    clock = Clock()
    course = Course(STEPS, clock)
    course.follow(Stage("long", 2, 3))
    clock.now += 4
    assert course.fraction() == pytest.approx(4 / 9)
    clock.now += 4000
    assert course.fraction() == pytest.approx(8 * MOST_BY_TIME / 9)
    course.follow(Stage("long", 2, 3, 0.25))
    assert course.fraction() == pytest.approx(8 * MOST_BY_TIME / 9), "a bar does not go back"
    course.follow(Stage("long", 2, 3, 1.0))
    assert course.fraction() == pytest.approx(8 / 9)


def test_step_of_somebody_elses_bundle_goes_by_its_name() -> None:
    course = Course(STEPS, Clock())
    course.follow(Stage("read", 1, 4))
    assert course.follow(Stage("Sharpen", 2, 4)) and not course.follow(Stage("Sharpen", 2, 4, 0.5))
    assert course.label() == "Sharpen 2/4"
    assert 1 / 11 < course.fraction() < 1 / 5
    course.follow(Stage("long", 3, 4))
    assert course.label() == "work 3/4"


@given(st.lists(st.tuples(st.sampled_from([*STEPS, "other"]), st.floats(0, 1), st.floats(0, 50))))
def test_whatever_comes_the_bar_stays_within_its_ends_and_does_not_go_back(
    moments: list[tuple[str, float, float]],
) -> None:
    clock = Clock()
    course = Course(STEPS, clock)
    before = 0.0
    for number, (name, part, seconds) in enumerate(moments, start=1):
        course.follow(Stage(name, number, len(moments), part))
        clock.now += seconds
        assert before <= course.fraction() <= 1
        before = course.fraction()


def test_every_step_of_the_shipped_chain_has_words_and_its_place() -> None:
    """A new transform is shown under its class's name until `STUDY_STEPS` has words and seconds for it."""
    assert [name for name in STUDY_STEPS if name != LOAD] == chain_of("flair_abnormality")
    others = {name for bundle in ("hippocampus",) for name in chain_of(bundle) if name not in STUDY_STEPS}
    assert others == set(OTHER_STEPS)


def chain_of(bundle: str) -> list[str]:
    config = json.loads((find_bundle(bundle).root / INFERENCE_CONFIG).read_text())
    targets = [*config["preprocessing"]["transforms"], {"_target_": "Infer"}, *config["postprocessing"]["transforms"]]
    return list(dict.fromkeys(target["_target_"].split(".")[-1].removesuffix("d") for target in targets))


def test_demo_tells_its_steps(tmp_path: Path) -> None:
    from scanweave.pipeline.demo import run_demo

    followed = Followed()

    class EnoughError(Exception):
        pass

    def until_read(stage: Stage) -> None:
        followed(stage)
        if stage.number == 1:
            raise EnoughError

    with pytest.raises(EnoughError):
        run_demo(tmp_path, 7, progress=until_read)
    assert [stage.step for stage in followed.stages] == [PHANTOM, "LoadStudy"]


# --- lines for a log ------------------------------------------------------------------------------------------------


def test_lines_name_the_long_steps_and_repeat_themselves_seldom() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = LogLines(STEPS, stream, clock)
    lines(Stage("read", 1, 3))
    lines(Stage("long", 2, 3))
    for part in (0.1, 0.2, 0.3, 0.4):
        clock.now += LOG_INTERVAL_S / 2
        lines(Stage("long", 2, 3, part))
    lines(Stage("long", 2, 3, 1.0))
    lines(Stage("write", 3, 3))
    assert stream.getvalue().splitlines() == [
        "scanweave: work 2/3",
        "scanweave: work 2/3, 20%",
        "scanweave: work 2/3, 40%",
        "scanweave: write 3/3",
    ]


def test_pipe_gets_plain_lines(trial: Trial) -> None:
    ran = trial.segment(trial.study)
    assert ran.exit_code == 0
    count = len(STUDY_STEPS) - 1
    assert [line.split()[:2] for line in ran.lines] == [
        ["scanweave:", "register"],
        ["scanweave:", "network"],
        ["scanweave:", "write"],
    ]
    assert all(line.endswith(f"/{count}") for line in ran.lines)
    assert ESCAPE not in "".join(ran.lines) + ran.out


def test_refusal_of_an_input_stands_alone_in_a_log(trial: Trial) -> None:
    trial.slices("flair")[4].unlink()
    ran = trial.segment(trial.study)
    assert (ran.exit_code, ran.codes, ran.out) == (3, ["MISSING_SLICE"], "")


def test_no_stderr_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with progress_shown(STEPS) as progress:
        progress(Stage("long", 2, 3))


# --- a terminal -----------------------------------------------------------------------------------------------------

QUICK = """
import sys, time
from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import Step
from scanweave.progress_display import progress_shown
steps = {"read": Step("read it", 0.1), "long": Step("work", 1, logged=True), "write": Step("write", 1, logged=True)}
with progress_shown(steps) as progress:
    for number, name in enumerate(steps, start=1):
        progress(Stage(name, number, len(steps)))
        time.sleep(0.3)
    if sys.argv[1:] == ["fail"]:
        raise SystemExit("failed")
print("done")
"""


def quick(*arguments: str) -> list[str]:
    """A program that shows the progress of three steps and says `done`."""
    return [sys.executable, "-c", QUICK, *arguments]


def test_bar_comes_and_goes(trial: Trial) -> None:
    shown = on_terminal(console_script("segment", trial.study, "-o", trial.out, "--bundle", trial.bundle))
    assert shown.exit_code == 0
    for words in ("load libraries", "read 1/", "register 4/", "network ", "write ", "━", " %"):
        assert words in shown.sent, words
    assert shown.screen[0].startswith(("warning:", "pre:")), "not a trace of the bar"
    assert shown.screen[-1].startswith("Research use only")
    assert "━" not in "".join(shown.screen) and "scanweave:" not in shown.sent
    assert shown.cursor_visible


def test_bar_is_gone_before_a_refusal(tmp_path: Path) -> None:
    command = console_script("segment", tmp_path / "absent", "-o", tmp_path / "out")
    shown = on_terminal(command)
    assert shown.exit_code == 3 and "load libraries" in shown.sent
    (line,) = shown.screen
    assert line.startswith("error[INPUT_NOT_FOUND]: ") and shown.cursor_visible
    beside_json = on_terminal([*command, "--json"], stdout_piped=True)
    assert (beside_json.exit_code, beside_json.sent, beside_json.piped) == (3, f"{line}\r\n", "")


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_bar_is_gone_after_an_interruption(tmp_path: Path, phantom_study: Path, how: str) -> None:
    stopped = False

    def stop(process: subprocess.Popen[bytes], terminal: int, sent: str) -> None:
        nonlocal stopped
        if "load libraries" in sent and not stopped:
            stopped = True
            os.write(terminal, b"\x03") if how == "Ctrl-C" else process.send_signal(signal.SIGTERM)

    shown = on_terminal(console_script("segment", phantom_study, "-o", tmp_path / "out"), on_output=stop)
    assert shown.exit_code == 130
    assert shown.screen in ([], ["^C"]) and shown.cursor_visible
    assert not (tmp_path / "out").exists()


def test_bar_without_colours() -> None:
    coloured, plain = on_terminal(quick()), on_terminal(quick(), NO_COLOR="1")
    assert f"{ESCAPE}[36m" in coloured.sent and f"{ESCAPE}[36m" not in plain.sent
    for shown in (coloured, plain):
        assert "work 2/3" in shown.sent and shown.screen == ["done"] and shown.exit_code == 0
    failed = on_terminal(quick("fail"))
    assert (failed.screen, failed.exit_code) == (["failed"], 1)


def test_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    shown = on_terminal(quick(), TERM="dumb")
    assert shown.sent.splitlines() == ["scanweave: work 2/3", "scanweave: write 3/3", "done"]


def test_colours_forced_on_a_pipe_bring_no_bar() -> None:
    environment = {**os.environ, "FORCE_COLOR": "1"}
    ran = subprocess.run(quick(), capture_output=True, text=True, env=environment, check=True)
    assert ran.stderr.splitlines() == ["scanweave: work 2/3", "scanweave: write 3/3"]


def test_log_that_nobody_reads_does_not_end_the_work() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with os.fdopen(writer, "wb") as gone:
        ran = subprocess.run(quick(), stdout=subprocess.PIPE, stderr=gone, env=environment, check=False)
        absent = [*console_script("segment", "absent", "-o", "out"), "--json"]
        refused = subprocess.run(absent, stdout=subprocess.PIPE, stderr=gone, env=environment, check=False)
    assert (ran.returncode, ran.stdout) == (0, b"done\n")
    assert (refused.returncode, refused.stdout) == (3, b"")


def test_nothing_is_shown_where_it_is_not_wanted() -> None:
    with contextlib.redirect_stderr(io.StringIO()) as stream, progress_shown(STEPS, wanted=False) as progress:
        silenced: Progress = progress
        silenced(Stage("long", 2, 3))
    assert stream.getvalue() == ""
