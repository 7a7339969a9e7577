"""How far a study has come: what the chain says of it while it runs, to whoever wants to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One moment of a run: step `number` of `count` (from 1), and how much of the step is done, 0..1.

    A step that stands outside the chain (loading the libraries) has number and count 0. `note` is what a long step
    has reached so far, for the eye.
    """

    step: str
    number: int = 0
    count: int = 0
    part: float = 0.0
    note: str = ""

    @property
    def fraction(self) -> float:
        """Of all steps, 0..1, counted alike; `progress_course.Course` weighs them by their usual seconds."""
        return (self.number - 1 + self.part) / self.count if self.count else 0.0


Progress = Callable[[Stage], None]
"""Called as each step begins, and within a step that can tell how far it is."""


def silent(stage: Stage) -> None:
    """The progress that nobody watches."""
