"""`scanweave train`: a folder of cases in, weights out."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scanweave.commands.arguments import add_common, path
from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import LOAD
from scanweave.training_display import training_shown

HELP = "train a bundle's network"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The cases, and how to learn from them."""
    parser.add_argument("--images", metavar="DIR", type=path, required=True,
                        help="cases with masks: slices, <case>/{flair,..,label}.nii.gz, images/ + labels/")  # fmt: skip
    parser.add_argument("--out", metavar="DIR", type=path, default=Path("training"), help="default: %(default)s")
    parser.add_argument("--init", metavar="FILE", type=path, help="weights to begin with instead of random ones")
    parser.add_argument("--epochs", metavar="N", type=int, help="default: the bundle's own")
    parser.add_argument("--folds", metavar="K", type=int, help="hold out each of K parts in turn, and measure it")
    parser.add_argument("--fold", metavar="I", type=int, help="of --folds only this one, from 0")
    parser.add_argument("--device", metavar="auto|cpu|cuda:N", default="auto")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto")
    parser.add_argument("--resume", action="store_true", help="go on with the training in --out, or begin one")
    parser.add_argument("--bundle", metavar="NAME|DIR", default="flair_abnormality", help="default: %(default)s")
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Train; where the weights are and how good, or a record."""
    with training_shown(wanted=not options.json) as progress:
        progress(Stage(LOAD))
        from scanweave.pipeline.training.train import train
        from scanweave.pipeline.training.train_record import trained_text
        from scanweave.pipeline.training.train_settings import TrainSettings

        settings = TrainSettings(
            bundle=options.bundle,
            init=options.init,
            epochs=options.epochs,
            folds=options.folds,
            fold=options.fold,
            device=options.device,
            precision=options.precision,
            resume=options.resume,
        )
        try:
            done = train(options.images, options.out, settings=settings, progress=progress)
        except KeyboardInterrupt:
            stopped(options.out)
            raise
    print(json.dumps(done.record, indent=2) if options.json else trained_text(done.record, done.folder))


def stopped(out: Path) -> None:
    """Say how a training that Ctrl-C or SIGTERM ended goes on, or that it did not come so far."""
    from scanweave.pipeline.training.place import STATE_FILE

    if any(path.is_file() for pattern in (STATE_FILE, f"*/{STATE_FILE}") for path in out.glob(pattern)):
        print("scanweave: stopped; the same command with --resume goes on", file=sys.stderr)
    else:
        print("scanweave: stopped before there was anything to go on from", file=sys.stderr)
