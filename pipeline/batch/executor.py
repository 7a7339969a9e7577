"""Who computes a batch: jobs go in, endings come out, in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from scanweave.pipeline.batch.entry import Outcome
from scanweave.pipeline.batch.job import Job


@dataclass(frozen=True)
class Ending:
    """How one attempt at a job ended."""

    job: Job
    outcome: Outcome


class Executor(ABC):
    """Computes at most `slots` jobs at a time; more would only wait here instead of in the ledger.

    A context: on leaving whatever computes is gone, with what was not finished.
    """

    slots: int

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take a job, of which there are fewer than `slots`; its ending comes in any case."""

    @abstractmethod
    def ended(self, timeout_s: float) -> list[Ending]:
        """The endings since the last call; waits for one, `timeout_s` at most."""

    def figures(self) -> Mapping[str, float]:
        """What it can tell of itself, for the record."""
        return {}

    @abstractmethod
    def close(self) -> None:
        """Stop at once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()
