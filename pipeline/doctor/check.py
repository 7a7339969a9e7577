"""One finding about this machine, and the words for how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How good a finding is."""

    OK = "ok"
    WARNING = "warning"
    """`segment` works, but not with everything or not for long."""
    MISSING = "missing"
    """`segment` refuses, or something that it promises does not work."""


@dataclass(frozen=True)
class Check:
    """What was looked at, how good it is, what was found, and the remedy where it is not ok."""

    name: str
    state: State
    found: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if (self.state is State.OK) == bool(self.remedy):
            raise ValueError(f"{self.name}: a remedy is for what is not ok, and only for that")


def reason(error: BaseException) -> str:
    """An exception on one short line."""
    text = " ".join(str(error).split())[:120]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
