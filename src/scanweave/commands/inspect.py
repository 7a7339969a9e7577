"""`scanweave inspect`: what is in an input, and what `segment` would make of it."""

from __future__ import annotations

import argparse
import json

from scanweave.commands.arguments import add_study, study_arguments
from scanweave.errors import InputRefused

HELP = "list a study's series and their roles; writes nothing"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The study."""
    add_study(parser)


def run(options: argparse.Namespace) -> None:
    """List; a table or a record, and then the refusal where the study would be refused."""
    from scanweave.pipeline.inspection import Inspection
    from scanweave.pipeline.report_text import print_inspection
    from scanweave.pipeline.study import inspect

    try:
        found = inspect(**study_arguments(options), bundle=options.bundle)
    except InputRefused as refusal:  # nothing could be listed; the document says why
        found = Inspection((), refusal=refusal)
        if not options.json:
            raise
    if options.json:
        print(json.dumps(found.record, indent=2))
    else:
        print_inspection(found)
    if found.refusal is not None:
        raise found.refusal
