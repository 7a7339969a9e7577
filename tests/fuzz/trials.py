"""Spoiled inputs, one after another in forked processes with limits: what came of each, and whether it may."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from seeds import Seed

from scanweave.transforms.io.memory import address_space

SECONDS = 10
"""Processor time of one input: a busy machine makes no defect."""
SILENT_SECONDS = 300
"""By the clock, for what waits and computes nothing."""
MEMORY_BYTES = 2 << 30
"""Addresses that one process takes beyond those with which it starts."""
BATCH = 100
"""Inputs that one forked process gets."""
DEFECT = "DEFECT"
Judge = Callable[[Seed, Path], str]
"""Of a seed and the folder with its files, spoiled or not: what came of it, in a word; an exception is a defect."""
Opened = Callable[[], AbstractContextManager[Judge]]
"""Opened by each process for itself: no decoder and no thread is shared with a parent."""


@dataclass(frozen=True)
class Trial:
    """What came of one input."""

    number: int
    seed: str
    outcome: str  # what the judge says, or `DEFECT`
    seconds: float  # of processor time
    detail: str = ""


@dataclass(frozen=True)
class Trials:
    """How inputs are made and judged; `folder` is for the files of one input, and its `tmp` for temporary ones."""

    seeds: Sequence[Seed]
    opened: Opened
    folder: Path
    keep: Path | None = None

    def intact(self, numbers: range) -> list[Trial]:
        """Their seeds as they are: where these are not judged well, spoiling them shows little."""
        return list(self._all(numbers[: len(self.seeds)], spoiled=False))

    def spoiled(self, numbers: range) -> Iterator[Trial]:
        """One trial a number; input `number` is always the same."""
        return self._all(numbers, spoiled=True)

    def left_behind(self) -> list[str]:
        """What lies in the folder for temporary files."""
        return sorted(path.name for path in (self.folder / "tmp").iterdir())

    def _all(self, numbers: range, *, spoiled: bool) -> Iterator[Trial]:
        waiting = numbers
        while waiting:
            for trial in self._batch(waiting[:BATCH], spoiled=spoiled):
                waiting = waiting[1:]
                if self.keep and trial.outcome == DEFECT:
                    self._write(trial.number, self.keep / str(trial.number), spoiled=spoiled)
                yield trial

    def _batch(self, numbers: range, *, spoiled: bool) -> Iterator[Trial]:
        """The trials of those numbers as they come, up to the first that ends its process."""
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(receiver)
            self._child(numbers, sender, spoiled=spoiled)
        os.close(sender)
        done = status = 0
        try:
            with os.fdopen(receiver) as lines:
                for line in lines:
                    done += 1
                    yield Trial(**json.loads(line))
        finally:
            _, status = os.waitpid(child, 0)  # nobody reads any more: it ends at its next line
            shutil.rmtree(self.folder / "input", ignore_errors=True)
        if done < len(numbers):
            died = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
            name = self._seed(numbers[done]).name
            yield Trial(numbers[done], name, DEFECT, SECONDS, f"the process ended: {died}")

    def _child(self, numbers: range, sender: int, *, spoiled: bool) -> NoReturn:
        """Tries one input after another within limits; never returns."""
        try:
            _limit(resource.RLIMIT_CORE, 0)
            _limit(resource.RLIMIT_AS, address_space() + MEMORY_BYTES)
            with os.fdopen(sender, "w") as lines, self.opened() as judge:
                for number in numbers:
                    usage = resource.getrusage(resource.RUSAGE_SELF)
                    _limit(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime) + SECONDS + 1)
                    signal.alarm(SILENT_SECONDS)
                    lines.write(json.dumps(asdict(self._trial(number, judge, spoiled=spoiled))) + "\n")
                    lines.flush()
        finally:
            os._exit(0)

    def _trial(self, number: int, judge: Judge, *, spoiled: bool) -> Trial:
        seed, folder = self._seed(number), self.folder / "input"
        self._write(number, folder, spoiled=spoiled)
        began = time.process_time()
        detail = ""
        try:
            outcome = judge(seed, folder)
        except Exception:
            outcome, detail = DEFECT, traceback.format_exc()
        seconds = round(time.process_time() - began, 3)
        shutil.rmtree(folder)
        return Trial(number, seed.name, outcome, seconds, detail)

    def _seed(self, number: int) -> Seed:
        return self.seeds[number % len(self.seeds)]

    def _write(self, number: int, folder: Path, *, spoiled: bool) -> None:
        seed = self._seed(number)
        files = seed.spoiled(random.Random(number)) if spoiled else seed.files
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)


def _limit(which: int, soft: int) -> None:
    resource.setrlimit(which, (soft, resource.getrlimit(which)[1]))


def figures(trials: Sequence[Trial], left: Sequence[str], seconds: float) -> dict[str, object]:
    """Of all trials together."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "inputs": len(trials),
        "outcomes": dict(Counter(trial.outcome for trial in trials).most_common()),
        "seeds": dict(Counter(trial.seed for trial in trials).most_common()),
        "slowest": asdict(max(trials, key=lambda trial: trial.seconds)) if trials else None,
        "processor_seconds": round(sum(trial.seconds for trial in trials)),
        "peak_mb": usage.ru_maxrss // 1024,
        "seconds": round(seconds, 1),
        "left_behind": list(left),
        "defects": [asdict(trial) for trial in trials if trial.outcome == DEFECT],
    }
