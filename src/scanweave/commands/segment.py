"""`scanweave segment`: one study in, its results below OUT."""

from __future__ import annotations

import argparse
import json

from scanweave.commands.arguments import add_network, add_study, network_arguments, path, study_arguments
from scanweave.pipeline.outputs import OUTPUTS
from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import LOAD, STUDY_STEPS
from scanweave.progress_display import progress_shown

HELP = "segment one study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The study, and how and where to."""
    add_study(parser)
    parser.add_argument("-o", "--out", metavar="OUT", type=path, required=True, help="results go to OUT/<study>/")
    add_network(parser)
    parser.add_argument("--outputs", metavar="LIST", help=f"of {', '.join(OUTPUTS)} (comma-separated)")
    parser.add_argument("--seg-all-frames", action=argparse.BooleanOptionalAction,
                        help="in each DICOM-SEG a frame for every slice, not only where something is")  # fmt: skip
    parser.add_argument("--progress", choices=("auto", "tags"), default="auto",
                        help="tags: on stderr, for programs that show it (docs/slicer.md)")  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an existing result")


def run(options: argparse.Namespace) -> None:
    """Segment; a summary, or the content of result.json."""
    with progress_shown(STUDY_STEPS, wanted=not options.json, tags=options.progress == "tags") as progress:
        progress(Stage(LOAD))
        from scanweave.pipeline.report_text import segmented_text
        from scanweave.pipeline.study import SegmentSettings, segment

        settings = SegmentSettings(
            **network_arguments(options),
            outputs=options.outputs,
            seg_all_frames=options.seg_all_frames,
            phi=options.phi,
        )
        done = segment(out=options.out, **study_arguments(options), settings=settings, progress=progress)
    print(json.dumps(done.record, indent=2) if options.json else segmented_text(done))
