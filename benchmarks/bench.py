#!/usr/bin/env python3
"""scanweave and its alternatives on the same studies in turn: docs/performance.json, the tables of docs/performance.md.

    benchmarks/bench.py [--studies LIST] [--contenders LIST] [--rounds N] [--out FOLDER]

Each contender runs in an environment of its own, made at first use below benchmarks/.work/; real scans are found
through SCANWEAVE_DATA. Research use only, not a medical device.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from bench_studies import STUDY_NAMES, Study, find_study
from contenders import CONTENDERS, Contender
from environments import BENCHMARKS, CHECKOUT, Environment, EnvironmentFailure, environment
from machine import conditions
from runs import Run, take_turns
from table import growth, legend, put_between_markers, rows, section

WORK = BENCHMARKS / ".work"
JSON, PAGE = "performance.json", "performance.md"


def main(arguments: list[str] | None = None) -> int:
    """Measure and write; 1 where nothing could be measured."""
    options = _parser().parse_args(arguments)
    chosen = [contender for contender in CONTENDERS if contender.name in options.contenders]
    options.work.mkdir(parents=True, exist_ok=True)
    (options.work / ".gitignore").write_text("*\n")
    places = {name: _environment(name, options.work) for name in dict.fromkeys(one.requirements for one in chosen)}
    measured = 0
    for name in options.studies:
        try:
            study = find_study(name, options.data, options.work / "studies")
        except FileNotFoundError as error:
            print(f"left out: {error}")
            continue
        _measure(study, chosen, places, options)
        measured += 1
    return 0 if measured else 1


def _measure(
    study: Study, chosen: list[Contender], places: dict[str, Environment | str], options: argparse.Namespace
) -> None:
    """All rounds of one study; written at once, for a run may last hours."""
    at = conditions(CHECKOUT)
    done = []
    for run in take_turns(chosen, study, places, options.rounds, options.work / "runs", options.limit):
        print(_said(run), flush=True)
        done.append(run)
    entry = {
        "what": study.what,
        "rounds": options.rounds,
        "conditions": at,
        "packages": {name: place.packages for name, place in places.items() if isinstance(place, Environment)},
        "rows": [asdict(row) for row in rows(done)],
        "runs": [asdict(run) for run in done],
    }
    write(study.name, entry, options.out)


def write(name: str, entry: dict[str, object], out: Path) -> None:
    """Put one study's entry into the JSON and the page in `out`, beside what other runs measured."""
    out.mkdir(parents=True, exist_ok=True)
    path, page = out / JSON, out / PAGE
    studies = json.loads(path.read_text())["studies"] if path.is_file() else {}
    studies[name] = entry
    ordered = {known: studies[known] for known in STUDY_NAMES if known in studies}
    path.write_text(json.dumps({"studies": ordered}, indent=1) + "\n")
    parts = [legend(), *(section(known, measured) for known, measured in ordered.items()), growth(ordered)]
    old = page.read_text() if page.is_file() else "# Performance\n"
    page.write_text(put_between_markers(old, "\n".join(part for part in parts if part)))


def _environment(name: str, work: Path) -> Environment | str:
    print(f"environment {name}", flush=True)
    try:
        return environment(name, work / "environments")
    except EnvironmentFailure as failure:
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
