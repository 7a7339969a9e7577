"""Making the environment, one command after the other, with something to look at."""

from __future__ import annotations

from collections.abc import Mapping

from ScanweaveLib.environment import OwnEnvironment, Source, clean
from ScanweaveLib.problems import Problem
from ScanweaveLib.process import Process


class Installation:
    """Started at once; as a `task.Task`: `poll`, `cancel`, `problems`."""

    def __init__(self, own: OwnEnvironment, python: str, source: Source, environment: Mapping[str, str]) -> None:
        self.own = own
        self.problems: tuple[Problem, ...] = ()
        self.cancelled = False
        self._environment = clean(environment)
        self._steps = list(own.steps(python, source))
        self._count = len(self._steps)
        self.process = Process(self._steps.pop(0), self._environment, one_stream=True)

    @property
    def progress(self) -> float:
        """By steps: pip does not say how much is still to come."""
        return (self._count - len(self._steps) - 1) / self._count

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.cancelled or self.problems:
            return True
        if not self.process.ended:
            return False
        if self.process.exit_code != 0:
            said = " ".join(line for line in self.process.errors if line.startswith("ERROR"))[:500]
            self.problems = (Problem("", said or "the environment could not be made; the log says more"),)
            self.own.remove()
            return True
        if not self._steps:
            return True
        self.process = Process(self._steps.pop(0), self._environment, one_stream=True)
        return False

    def cancel(self) -> None:
        """End it, and leave nothing."""
        self.cancelled = True
        self.process.end()
        self.own.remove()
