"""Making the environment, one command after the other, with something to look at."""

from __future__ import annotations

from collections.abc import Mapping

from ScanweaveLib.environment import OwnEnvironment, Source, clean
from ScanweaveLib.problems import Problem
from ScanweaveLib.process import Process


class Installation:
    """Started at once; as a `task.Task`, whose `result` is True when all is there.

    RuntimeError where it cannot be started.
    """

    def __init__(self, own: OwnEnvironment, python: str, source: Source, environment: Mapping[str, str]) -> None:
        self.own = own
        self.result: bool | None = None
        self.problems: tuple[Problem, ...] = ()
        self._environment = clean(environment)
        self._steps = list(own.steps(python, source))
        self._count = len(self._steps)
        try:
            self._next()
        except OSError as error:
            raise RuntimeError(f"{python} cannot be started ({error.strerror})") from error

    @property
    def progress(self) -> float:
        """By steps: pip does not say how much is still to come."""
        return (self._count - len(self._steps) - 1) / self._count

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.result is not None or self.problems:
            return True
        if not self.process.ended:
            return False
        if self.process.exit_code != 0:
            said = " ".join(line for line in self.process.errors if line.startswith("ERROR"))[:500]
            self._fail(said or "the environment could not be made; the log says more")
        elif not self._steps:
            self.result = True
        else:
            try:
                self._next()
            except OSError as error:  # a scanner of viruses has taken the new Python away
                self._fail(f"the new environment cannot be started ({error.strerror})")
        return self.result is not None or bool(self.problems)

    def cancel(self) -> None:
        """End it, and leave nothing."""
        self.process.end()
        self.own.remove()

    def _next(self) -> None:
        self.process = Process(self._steps.pop(0), self._environment, one_stream=True)

    def _fail(self, reason: str) -> None:
        self.problems = (Problem("", reason),)
        self.own.remove()
