"""`scanweave slicer-cli`: a command-line module of 3D Slicer, which reads its description and starts it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scanweave.commands.arguments import ROLE_ALIASES, add_common, add_network, network_arguments, path
from scanweave.errors import Code, Problem, UsageError
from scanweave.filter_tags import FilterTags
from scanweave.pipeline.progress import Stage
from scanweave.pipeline.progress_course import LOAD, STUDY_STEPS
from scanweave.progress_display import Unfailing

if TYPE_CHECKING:
    from scanweave.pipeline.segmented import SegmentedStudy

HELP = "a command-line module of 3D Slicer (docs/slicer.md)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What Slicer's own form asks for; it is made from `--xml`."""
    parser.add_argument("--xml", action="store_true", help="print the module's description and end")
    for role in ROLE_ALIASES:
        parser.add_argument(f"--{role}", metavar="FILE", type=path, help="NIfTI")
    parser.add_argument("--segmentation", metavar="FILE", type=path, help="the mask is written there, as NIfTI")
    parser.add_argument("--returnparameterfile", metavar="FILE", type=path, help="volume and warnings go there")
    add_network(parser)
    parser.add_argument("--bundle", metavar="NAME|DIR", default="flair_abnormality", help="default: %(default)s")
    add_common(parser)
    parser.set_defaults(overwrite=False)


def run(options: argparse.Namespace) -> None:
    """Describe, or segment; how far it is goes to stdout as Slicer's filter tags (with --json to stderr)."""
    if options.xml:
        from scanweave.slicer_description import slicer_description

        print(slicer_description())
        return
    if options.segmentation is None or not options.segmentation.name.endswith((".nii", ".nii.gz")):
        raise UsageError(Problem(Code.USAGE, "--segmentation: expected a file, .nii or .nii.gz"))
    tags = FilterTags(STUDY_STEPS, Unfailing(sys.stderr if options.json else sys.stdout))
    tags(Stage(LOAD))
    from scanweave.pipeline.study import SegmentSettings, segment

    inputs = {role: getattr(options, role) for role in ROLE_ALIASES if getattr(options, role)}
    done = segment(inputs=inputs, settings=SegmentSettings(**network_arguments(options)), progress=tags)
    _write(done, options.segmentation, options.returnparameterfile)
    tags.end()
    if options.json:
        print(json.dumps(done.record, indent=2))


def _write(done: SegmentedStudy, target: Path, parameters: Path | None) -> None:
    from scanweave.pipeline.disk_refusals import disk_refusals
    from scanweave.transforms.io.nifti import write_nifti

    with disk_refusals(target, what="the segmentation", full="nothing was written"):
        beside = target.with_name(f".scanweave-{target.name}")  # the ending says how it is written
        try:
            write_nifti(beside, done.mask)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        if parameters is not None:
            volume = "nan" if done.volume_ml is None else f"{done.volume_ml:.3f}"
            warnings = "; ".join(done.warnings) or "none"
            parameters.write_text(f"volume_ml = {volume}\nwarnings = {warnings}\n", encoding="utf-8")
