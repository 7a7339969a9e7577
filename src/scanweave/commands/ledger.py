"""`scanweave ledger`: how a batch stands, while it runs or afterwards."""

from __future__ import annotations

import argparse
import json

from scanweave.commands.arguments import add_common, path

HELP = "say how a batch stands: what is done, refused, failed, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which batch, and what of it."""
    parser.add_argument("out", metavar="OUT", type=path, help="the batch's OUT")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--failed", action="store_true", help="every study that was refused or has failed, and why")
    what.add_argument("--show", metavar="STUDY", help="all about one study, by the name of its folder")
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Lines, or a record."""
    from scanweave.pipeline.batch.ledger_text import ledger_lines, ledger_record

    record = ledger_record(options.out, failed=options.failed, study=options.show)
    print(json.dumps(record, indent=2) if options.json else "\n".join(ledger_lines(record)))
