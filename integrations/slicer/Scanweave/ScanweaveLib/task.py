"""A run of scanweave with the files that it needs, which are gone when it has ended, however it ends."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ScanweaveLib.problems import Problem, problems_in
from ScanweaveLib.process import Process


class Task:
    """`fill` writes into the temporary folder and gives the command; `use` is called with the process and the folder.

    Attributes
    ----------
    result
        What `use` has made of it; None until it has ended, and where it was refused or cancelled.
    problems
        Why there is no result.
    """

    def __init__(
        self,
        fill: Callable[[Path], Sequence[str]],
        use: Callable[[Process, Path], Any],
        environment: Mapping[str, str],
        parent: Path | None = None,
    ) -> None:
        self.result: Any = None
        self.problems: tuple[Problem, ...] = ()
        self._use = use
        self._ended = False
        self._folder = Path(tempfile.mkdtemp(prefix="scanweave-", dir=parent))
        try:
            self.process = Process(fill(self._folder), environment)
        except OSError as error:
            self._remove()
            raise RuntimeError(f"scanweave cannot be started ({error.strerror}): install it first") from error
        except BaseException:
            self._remove()
            raise

    @property
    def progress(self) -> float:
        """Of the program, 0 to 1."""
        return self.process.progress

    def poll(self) -> bool:
        """Whether it has ended; in the thread that may change the scene."""
        if self._ended:
            return True
        if not self.process.ended:
            return False
        self._ended = True
        try:
            # 3: refused; `inspect` says in its document, too, what it has found until then.
            if self.process.exit_code in (0, 3):
                self.problems = problems_in(self.process.errors)
                self.result = self._use(self.process, self._folder)
            else:
                said = tuple(self.process.errors[-3:]) or (f"it ended with exit code {self.process.exit_code}",)
                self.problems = problems_in(self.process.errors) or (Problem("", " ".join(said)),)
        finally:
            self._remove()
        return True

    def cancel(self) -> None:
        """End it; nothing comes of it."""
        self._ended = True
        try:
            self.process.end()
        finally:
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
