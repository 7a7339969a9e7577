"""One contender on one study, measured, and its result looked at: without one there is no number."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench_studies import Study
from contenders import Contender, baseline
from environments import BENCHMARKS, CHECKOUT, Environment, without_python_settings
from machine import available_mb
from measure import Limits, Measured, measure
from results import figures_of, steps_of

MEMORY_SHARE = 0.75
"""Of the memory available before a run; beyond it the run is ended, before the system ends something else."""
LONGEST_REASON = 160
"""Characters of a program's last line that a table shows."""


@dataclass(frozen=True)
class Run:
    """One try. `measured` is None where it failed, and `failure` says why.

    `figures` are of the result; `steps` are wall-clock seconds of scanweave's steps, from its result.json.
    """

    study: str
    contender: str
    round: int
    measured: Measured | None = None
    failure: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    steps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Workplace:
    """Where contenders run.

    `environments` are by requirements file, or the reason why there is none; `folder` is for the results; a run is
    ended after `limit_s`.
    """

    environments: Mapping[str, Environment | str]
    folder: Path
    limit_s: float


def take_turns(
    contenders: Sequence[Contender], study: Study, place: Workplace, rounds: int, done: Iterable[Run] = ()
) -> Iterator[Run]:
    """A B C, A B C: what the machine does besides meets all alike. Who fails is not tried again.

    What an earlier call has `done` of these rounds is passed over.
    """
    earlier = list(done)
    if not earlier:
        shutil.rmtree(place.folder / study.name, ignore_errors=True)
    failed = set()
    for number, contender in to_do(contenders, rounds, earlier):
        if contender.name in failed:
            continue
        run = _try(contender, study, place, number)
        if run.failure:
            failed.add(contender.name)
        yield run


def to_do(contenders: Sequence[Contender], rounds: int, done: Iterable[Run] = ()) -> list[tuple[int, Contender]]:
    """Round and contender of each run that is left, in their order; nothing of those who have failed."""
    earlier = list(done)
    known = {(run.round, run.contender) for run in earlier}
    failed = {run.contender for run in earlier if run.failure}
    turns = [(number, one) for number in range(1, rounds + 1) for one in contenders if one.name not in failed]
    return [(number, one) for number, one in turns if (number, one.name) not in known]


def _try(contender: Contender, study: Study, place: Workplace, number: int) -> Run:
    """Measure it and look at the result."""
    run = Run(study.name, contender.name, number)
    environment = place.environments[contender.requirements]
    if isinstance(environment, str):
        return replace(run, failure=_without_paths(f"no environment: {environment}", place.folder, study))
    folder = place.folder / study.name
    measured, failure, out = _measured(contender, study, environment, folder, place.limit_s)
    if not failure:
        first = baseline(contender.task)
        ours = folder / _slug(first) / "out" if contender is not first else None
        try:
            return replace(run, measured=measured, figures=figures_of(contender, study, out, ours), steps=steps_of(out))
        except (OSError, ValueError, KeyError) as error:
            failure = f"no result: {error}"
    shutil.rmtree(out, ignore_errors=True)  # of an older round, too: nobody is compared with it
    return replace(run, failure=_without_paths(failure, place.folder, study))


def _measured(
    contender: Contender, study: Study, environment: Environment, work: Path, limit_s: float
) -> tuple[Measured, str, Path]:
    """In an empty folder, with this shell's environment but for what belongs to another Python."""
    folder = work / _slug(contender)
    shutil.rmtree(folder, ignore_errors=True)
    out = folder / "out"
    out.mkdir(parents=True)
    fields = {"bin": environment.bin, "recipes": BENCHMARKS / "recipes", "checkout": CHECKOUT, "folder": study.folder}
    words = contender.words(fields | dict(study.series) | {"out": out})
    log = folder / "log.txt"
    variables = without_python_settings() | {"SCANWEAVE_SITE_KEY": "benchmarks"}
    limits = Limits(limit_s, MEMORY_SHARE * available_mb())
    measured = measure(words, folder=folder, log=log, environment=variables, limits=limits)
    return measured, _failure(measured, log), out


def _failure(measured: Measured, log: Path) -> str:
    """Why there can be no result; empty where there should be one."""
    if measured.stopped:
        return measured.stopped
    if measured.exit_code:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()] or ["no output"]
        return f"exit code {measured.exit_code}: {lines[-1].strip()[:LONGEST_REASON]}"
    return ""


def _slug(contender: Contender) -> str:
    return re.sub(r"[^a-z0-9]+", "-", contender.name).strip("-")


def _without_paths(text: str, work: Path, study: Study) -> str:
    """A published reason names no folder of the machine that it was measured on."""
    for path in (*study.series.values(), study.folder, work.parent, BENCHMARKS, CHECKOUT, Path.home()):
        text = text.replace(f"{path}", "..")
    return text
