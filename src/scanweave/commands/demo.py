"""`scanweave demo`: an invented patient through the whole chain."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from scanweave.commands.arguments import add_common, path
from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import DEMO_STEPS, LOAD
from scanweave.progress_display import progress_shown

HELP = "make a phantom study, segment it, measure the result; or make phantom cases to train on"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to, and which patient."""
    parser.add_argument("-o", "--out", metavar="OUT", type=path, default=Path("out"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="of the phantom; default: %(default)s")
    parser.add_argument("--cases", metavar="N", type=int,
                        help="instead write N other patients with masks to OUT, for train and evaluate")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Make, segment and measure, or only make; a few lines, or a record."""
    if options.cases is not None:
        _write_cases(options)
        return
    with progress_shown(DEMO_STEPS, wanted=not options.json) as progress:
        progress(Stage(LOAD))
        from scanweave.pipeline.demo import demo_text, run_demo

        figures: dict[str, Any] = run_demo(options.out, options.seed, overwrite=options.overwrite, progress=progress)
    print(json.dumps(figures, indent=2) if options.json else demo_text(figures))


def _write_cases(options: argparse.Namespace) -> None:
    with progress_shown(DEMO_STEPS, wanted=not options.json) as progress:
        progress(Stage(LOAD))
        from scanweave.pipeline.phantom_cases import write_phantom_cases

        made = write_phantom_cases(
            options.out, options.cases, options.seed, overwrite=options.overwrite, progress=progress
        )
    print(json.dumps(made, indent=2) if options.json else f"{made['patients']} phantom patients: {made['cases']}")
