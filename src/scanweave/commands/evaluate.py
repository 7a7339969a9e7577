"""`scanweave evaluate`: a bundle's network against experts' masks."""

from __future__ import annotations

import argparse
import json

from scanweave.commands.arguments import add_common, add_network, network_arguments, path
from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import EVALUATE_STEPS, LOAD
from scanweave.progress_display import progress_shown

HELP = "measure a network on studies with an expert's mask: Dice, HD95, volume error, pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which cases, which network, where to."""
    parser.add_argument("--images", metavar="DIR", type=path, required=True,
                        help="<patient>/<patient>_<n>.tif with _mask.tif, <case>/<role>.nii.gz with label.nii.gz, "
                             "or images/ + labels/")  # fmt: skip
    parser.add_argument("--bundle", metavar="NAME|DIR", default="flair_abnormality", help="default: %(default)s")
    parser.add_argument("--out", metavar="OUT", type=path, help="for figures and pictures; without it none is written")
    add_network(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing evaluation")
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Evaluate; a table, or the content of evaluation.json."""
    with progress_shown(EVALUATE_STEPS, wanted=not options.json) as progress:
        progress(Stage(LOAD))
        from scanweave.pipeline.evaluation.evaluate import evaluate
        from scanweave.pipeline.evaluation.evaluation_text import evaluation_text
        from scanweave.pipeline.network_settings import NetworkSettings

        settings = NetworkSettings(**network_arguments(options))
        done = evaluate(options.images, options.out, settings=settings, progress=progress)
    print(json.dumps(done.record, indent=2) if options.json else evaluation_text(done))
