#!/usr/bin/env python3
"""scanweave and its alternatives on the same studies in turn: docs/performance.json, the tables of docs/performance.md.

    benchmarks/bench.py [--studies LIST] [--contenders LIST] [--rounds N] [--resume] [--out FOLDER]

Each contender runs in an environment of its own, made at first use below benchmarks/.work/; real scans are found
through SCANWEAVE_DATA. Each study is written when it is done, beside those that other calls have measured; `--resume`
takes up a call that was interrupted, or adds rounds. Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from bench_studies import STUDY_NAMES, WARM_UP, Study, find_study
from contenders import CONTENDERS, Contender
from environments import BENCHMARKS, CHECKOUT, Environment, EnvironmentFailure, environment
from journal import Journal, sources
from machine import conditions
from page import write
from runs import Run, Workplace, take_turns, to_do
from steps import voxel_mb
from table import rows

WORK = BENCHMARKS / ".work"


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; 1 where nothing could be measured."""
    options = _parser().parse_args(arguments)
    chosen = [contender for contender in CONTENDERS if contender.name in options.contenders]
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / ".gitignore").write_text("*\n")
    places = {name: _environment(name, options.work) for name in dict.fromkeys(one.requirements for one in chosen)}
    bench = _Bench(chosen, Workplace(places, options.work / "runs", options.limit), options)
    measured = 0
    for name in options.studies:
        try:
            study = find_study(name, options.data, options.work / "studies")
        except FileNotFoundError as error:
            print(f"left out: {error}")
            continue
        bench.measure(study)
        measured += 1
    return 0 if measured else 1


class _Bench:
    """Studies one after the other, all contenders on each."""

    def __init__(self, chosen: list[Contender], place: Workplace, options: argparse.Namespace) -> None:
        self.chosen = chosen
        self.place = place
        self.options = options
        self.warm = False

    def measure(self, study: Study) -> None:
        """All rounds of one study; on disk after each run, for a study may last hours."""
        at = {**conditions(CHECKOUT), "sources": sources()}
        journal = Journal(self.options.work / "journal" / f"{study.name}.json", at)
        names = {contender.name for contender in self.chosen}
        done = [run for run in journal.read() if run.contender in names] if self.options.resume else []
        left = len(to_do(self.chosen, self.options.rounds, done))
        print(f"{study.name}: {left} runs to do, {len(done)} taken over", flush=True)
        if left and not self.warm:
            self._warm_up()
        began = time.monotonic()
        for run in take_turns(self.chosen, study, self.place, self.options.rounds, done):
            done.append(run)
            journal.write(done)
            print(f"{time.monotonic() - began:6.0f} s  {_said(run)}", flush=True)
        entry = {
            "what": study.what,
            "rounds": self.options.rounds,
            "conditions": at,
            "limits": _limits(study),
            "packages": {
                name: held.packages for name, held in self.place.environments.items() if isinstance(held, Environment)
            },
            "rows": [asdict(row) for row in rows(done)],
            "runs": [asdict(run) for run in done],
        }
        write(study.name, entry, self.options.out)

    def _warm_up(self) -> None:
        """One run of each on the smallest phantom, not counted: no number is to hold what a first run compiles."""
        study = find_study(WARM_UP, self.options.data, self.options.work / "studies")
        place = replace(self.place, folder=self.options.work / "warm-up")
        for run in take_turns(self.chosen, study, place, 1):
            print(f"{'warm-up':>8}  {_said(run)}", flush=True)
        self.warm = True


def _limits(study: Study) -> dict[str, float]:
    """Of the machine and of the study: what no program does faster."""
    files = [str(path) for path in study.series.values() if path.is_file()]
    files += [str(path) for folder in study.series.values() if folder.is_dir() for path in folder.iterdir()]
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "limits.py", *files], stdout=subprocess.PIPE, text=True, check=True
    )
    counted = subprocess.run(
        [sys.executable, BENCHMARKS / "network_slices.py", study.folder], stdout=subprocess.PIPE, text=True
    )
    slices = {"slices": int(counted.stdout)} if counted.returncode == 0 else {}  # else scanweave's own run says why
    return {**json.loads(done.stdout), "voxel_mb": voxel_mb(study), **slices}


def _environment(name: str, work: Path) -> Environment | str:
    print(f"environment {name}", flush=True)
    try:
        return environment(name, work / "environments")
    except EnvironmentFailure as failure:
        print(f"environment {name}: {failure}", flush=True)
        return str(failure)


def _said(run: Run) -> str:
    told = f"failed: {run.failure}"
    if run.measured is not None:
        told = f"{run.measured.cpu_s:8.2f} CPU s {run.measured.wall_s:8.2f} s {run.measured.peak_mb:8.0f} MB"
        told += "".join(f"  {name} {value:.2f}" for name, value in run.figures.items())
    return f"{run.study:<16} {run.round}  {run.contender:<26} {told}"


def _parser() -> argparse.ArgumentParser:
    data = os.environ.get("SCANWEAVE_DATA") or CHECKOUT.parent / "shared" / "data"
    names = tuple(contender.name for contender in CONTENDERS)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=_some_of(STUDY_NAMES), default=STUDY_NAMES, help=", ".join(STUDY_NAMES))
    parser.add_argument("--contenders", type=_some_of(names), default=names, help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--resume", action="store_true", help="measure only what an earlier call left undone")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "docs", help="where page and JSON are (docs)")
    parser.add_argument("--limit", type=float, default=1800.0, metavar="S", help="seconds after which a run is ended")
    parser.add_argument("--data", type=Path, default=Path(data), help="the real scans (SCANWEAVE_DATA)")
    parser.add_argument("--work", type=Path, default=WORK, help="environments, phantoms, results (benchmarks/.work)")
    return parser


def _some_of(names: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """A parser of comma-separated names."""

    def parse(text: str) -> tuple[str, ...]:
        asked = tuple(part.strip() for part in text.split(","))
        unknown = [name for name in asked if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(names)}; got {', '.join(unknown)}")
        return asked

    return parse


if __name__ == "__main__":
    sys.exit(main())
