"""From the steps of a run to one number that grows evenly: each step counts as many seconds as it usually takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scanweave.pipeline.progress import Stage

LOAD, PHANTOM = "Load", "MakePhantom"
"""Steps outside the chain: the libraries are imported; the demo's patient is invented."""
CASE = "Case"
"""The step of an evaluation that is repeated: a stage's number and count are those of the case."""
MOST_BY_TIME = 0.9
"""A step that cannot tell how far it is moves on by the clock, but no further than this before it ends."""


@dataclass(frozen=True)
class Step:
    """What a step is called, its usual seconds, and whether it is worth a line in a log.

    A step that `repeats` is one step however often it begins; its seconds are those of all repetitions.
    """

    words: str
    seconds: float
    logged: bool = False
    repeats: bool = False


STUDY_STEPS: Mapping[str, Step] = {
    LOAD: Step("load libraries", 1.6),
    "LoadStudy": Step("read", 1.4),
    "ReserveResult": Step("check the output", 0.0),
    "AxialPlanes": Step("find axial planes", 0.0),
    "RegisterRoles": Step("register", 1.4, logged=True),
    "ScaleSeries": Step("scale", 0.1),
    "StackRoles": Step("stack", 0.0),
    "ClearBackground": Step("clear background", 0.0),
    "CropSquare": Step("crop", 0.1),
    "ResizePlane": Step("resize", 0.2),
    "ZScoreVolume": Step("normalise", 0.1),
    "MeasureInput": Step("compare with training", 0.0),
    "Infer": Step("network", 3.0, logged=True),
    "Restore": Step("restore", 0.0),
    "Threshold": Step("threshold", 0.0),
    "KeepComponents": Step("keep components", 0.0),
    "SaveStudy": Step("write", 1.1, logged=True),
}
"""The shipped chain in order, seconds as measured on two CPU cores with three series of 22 slices.

Nothing is logged before the output is checked: until then a run may be refused, and a refusal stands alone.
"""
DEMO_STEPS: Mapping[str, Step] = {
    LOAD: STUDY_STEPS[LOAD],
    PHANTOM: Step("invent a patient", 1.5),
    **STUDY_STEPS,
}
EVALUATE_STEPS: Mapping[str, Step] = {
    LOAD: STUDY_STEPS[LOAD],
    "CheckCases": Step("check the cases", 0.5),
    CASE: Step("case", 60.0, logged=True, repeats=True),
    "WriteEvaluation": Step("write", 0.5),
}
"""Of `scanweave evaluate`, with ten patients."""
OTHER_STEPS: Mapping[str, Step] = {"PadPlane": Step("pad", 0.1)}
"""That a shipped bundle has, but not the default one, by which a run's length is guessed."""
_UNKNOWN_SECONDS = 0.5
"""Of a step that only somebody's own bundle has."""


class Course:
    """Where a run stands between its begin (0) and its end (1); it never goes back."""

    def __init__(self, steps: Mapping[str, Step], clock: Callable[[], float] = time.monotonic) -> None:
        self.steps = steps
        self.clock = clock
        self.stage: Stage | None = None
        self._done = 0.0
        self._ahead = list(steps)
        self._begun = clock()
        self._reached = 0.0

    def follow(self, stage: Stage) -> bool:
        """Take note of `stage`; whether a step begins with it."""
        current = self.stage
        begins = current is None or (stage.step, stage.number) != (current.step, current.number)
        if begins:
            if current is not None and not self._repeats(current, stage):
                self._done += self.step(current).seconds
            if stage.step in self._ahead:
                del self._ahead[: self._ahead.index(stage.step) + 1]
            self._begun = self.clock()
        self.stage = stage
        return begins

    def step(self, stage: Stage) -> Step:
        """The step of a stage; one that is in no table goes by its own name."""
        known = self.steps.get(stage.step) or OTHER_STEPS.get(stage.step)
        return known or Step(stage.step, _UNKNOWN_SECONDS, logged=True)

    def fraction(self) -> float:
        """Of the whole run, 0..1."""
        if self.stage is None:
            return 0.0
        seconds = self.step(self.stage).seconds
        total = self._done + seconds + sum(self.steps[name].seconds for name in self._ahead)
        reached = (self._done + seconds * self._part(seconds)) / total if total else 1.0
        self._reached = max(self._reached, reached)
        return self._reached

    def label(self) -> str:
        """The step in words, with its number where it has one: `register 4/17`."""
        if self.stage is None:
            return ""
        words = self.step(self.stage).words
        return f"{words} {self.stage.number}/{self.stage.count}" if self.stage.count else words

    def _repeats(self, before: Stage, after: Stage) -> bool:
        return before.step == after.step and self.step(after).repeats

    def _part(self, seconds: float) -> float:
        stage = self.stage
        if stage is None or not (stage.count and self.step(stage).repeats):
            return self._own_part(seconds)
        return (stage.number - 1 + self._own_part(seconds / stage.count)) / stage.count

    def _own_part(self, seconds: float) -> float:
        """Of the step, or of the repetition of the moment."""
        if self.stage is not None and self.stage.part:
            return self.stage.part
        return min((self.clock() - self._begun) / seconds, MOST_BY_TIME) if seconds else 0.0
