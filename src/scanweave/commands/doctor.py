"""`scanweave doctor`: what this machine has and lacks for `segment`, and the remedies."""

from __future__ import annotations

import argparse
import json

from scanweave.commands.arguments import add_common
from scanweave.progress_display import progress_shown

HELP = "check libraries, devices, DICOM decoders, bundles and disks; say what is missing and the remedy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No more than every command has."""
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Examine; a table or a record, and then a refusal where something is missing."""
    from scanweave.pipeline.doctor.examine import DOCTOR_STEPS, examine, failure
    from scanweave.pipeline.doctor.report import doctor_record, print_examination

    with progress_shown(DOCTOR_STEPS, wanted=not options.json) as progress:
        groups = examine(progress)
    if options.json:
        print(json.dumps(doctor_record(groups), indent=2))
    else:
        print_examination(groups)
    missing = failure(groups)
    if missing is not None:
        raise missing
