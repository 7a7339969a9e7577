"""The command line: a parser and `main`. What it calls is imported where it is used, so that --help is instant."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from scanweave import __version__
from scanweave.console import discard_output, escaped_output, stoppable
from scanweave.errors import (
    FULL_DISK,
    Code,
    EnvironmentFailure,
    InputRefused,
    Problem,
    ScanweaveError,
    UsageError,
)
from scanweave.transforms.io.remarks import quiet

if TYPE_CHECKING:
    from scanweave.transforms.io.find_study import StudyRequest

ROLE_ALIASES = ("pre", "flair", "post")
DEFECT_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130


class _Parser(argparse.ArgumentParser):
    """Reports a wrong call as every other refusal, one line with a code, and takes no abbreviated options."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(Problem(Code.USAGE, f"{message}; see {self.prog} --help"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 usage, 3 input refused, 5 environment."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        with stoppable(), quiet(wanted=not debug), escaped_output():
            options = _parser().parse_args(arguments)
            command: Callable[[argparse.Namespace], None] = options.command
            command(options)
            sys.stdout.flush()
        return 0
    except ScanweaveError as refusal:
        return _refuse(refusal, debug)
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        discard_output()
        return 0
    except MemoryError:
        message = "the machine has too little memory for this study"
        return _refuse(EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message)), debug)
    except Exception as defect:
        if isinstance(defect, OSError) and defect.errno in FULL_DISK:
            discard_output()
            return _refuse(EnvironmentFailure(Problem(Code.DISK_FULL, "the disk is full")), debug)
        if debug:
            traceback.print_exc()
        message = f"a defect of scanweave ({type(defect).__name__}); --debug shows where, please report it"
        print(Problem(Code.INTERNAL, message), file=sys.stderr)
        return DEFECT_EXIT_CODE


def _refuse(refusal: ScanweaveError, debug: bool) -> int:
    if debug:
        traceback.print_exception(refusal)
    for problem in refusal.problems:
        print(problem, file=sys.stderr)
    return refusal.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scanweave", description="A brain MR study in, a segmentation in its own geometry out. "
                     "Research use only, not a medical device.")  # fmt: skip
    parser.add_argument("--version", action="version", version=f"scanweave {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_segment(commands.add_parser("segment", help="segment one study"))
    _add_inspect(commands.add_parser("inspect", help="list a study's series and their roles; writes nothing"))
    _add_demo(commands.add_parser("demo", help="make a phantom study, segment it, measure the result"))
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT", nargs="?", type=_path,
                        help="folder, .zip or DICOMDIR; one NIfTI file with the roles' volumes")  # fmt: skip
    for role in ROLE_ALIASES:
        parser.add_argument(f"--{role}", metavar="X", help=f"short for --input {role}=X")
    parser.add_argument("--input", dest="inputs", metavar="ROLE=X", action="append", default=[],
                        help="a role by hand: NIfTI file, DICOM folder, or SeriesInstanceUID of INPUT")  # fmt: skip
    parser.add_argument("--study", metavar="UID", help="the StudyInstanceUID to take where INPUT holds several")
    parser.add_argument("--bundle", metavar="NAME|DIR", default="flair_abnormality", help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal")
    parser.add_argument("--phi", action="store_true", help="allow identifiers (UIDs) in names and results")


def _add_segment(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    parser.add_argument("-o", "--out", metavar="OUT", type=_path, required=True, help="results go to OUT/<study>/")
    parser.add_argument("--weights", metavar="FILE", type=_path, help="a state dict instead of the bundle's")
    parser.add_argument("--device", metavar="auto|cpu|cuda:N", default="auto")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto")
    parser.add_argument("--outputs", metavar="LIST", help="of nifti, probability, dicom-seg (comma-separated)")
    parser.add_argument("--components", choices=("largest", "all"), help="which connected parts stay")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing result")
    parser.set_defaults(command=_segment)


def _add_inspect(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    parser.set_defaults(command=_inspect)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--out", metavar="OUT", type=_path, default=Path("out"), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=7, help="of the phantom; default: %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier demo")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal")
    parser.set_defaults(command=_demo)


def _path(text: str) -> Path:
    """A path; an empty one would mean the working directory, and is an unset variable of somebody's script."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found nothing")
    return Path(text)


def _request(options: argparse.Namespace) -> StudyRequest:
    from scanweave.transforms.io.find_study import StudyRequest

    pairs = []
    aliases = [f"{role}={getattr(options, role)}" for role in ROLE_ALIASES if getattr(options, role) is not None]
    for text in [*aliases, *options.inputs]:
        role, equals, value = text.partition("=")
        if not (role and equals and value):
            raise UsageError(Problem(Code.USAGE, f"--input: expected ROLE=X, got {text!r}"))
        pairs.append((role, value))
    inputs = dict(pairs)
    if len(inputs) < len(pairs):
        raise UsageError(Problem(Code.USAGE, "each role can be given once"))
    return StudyRequest(options.input, inputs, options.study)


def _segment(options: argparse.Namespace) -> None:
    from scanweave.pipeline.report_text import segmented_text
    from scanweave.pipeline.study import SegmentSettings, segment

    settings = SegmentSettings(
        bundle=options.bundle,
        weights=options.weights,
        device=options.device,
        precision=options.precision,
        outputs=options.outputs,
        components=options.components,
        overwrite=options.overwrite,
        phi=options.phi,
    )
    done = segment(_request(options), options.out, settings)
    print(json.dumps(done.result, indent=2) if options.json else segmented_text(done))


def _inspect(options: argparse.Namespace) -> None:
    from scanweave.pipeline.report_text import inspection_record, print_inspection
    from scanweave.pipeline.study import Inspection, inspect

    try:
        found = inspect(_request(options), options.bundle)
    except InputRefused as refusal:  # nothing could be listed; the document says why
        found = Inspection((), refusal=refusal)
        if not options.json:
            raise
    if options.json:
        print(json.dumps(inspection_record(found), indent=2))
    else:
        print_inspection(found)
    if found.refusal is not None:
        raise found.refusal


def _demo(options: argparse.Namespace) -> None:
    from scanweave.pipeline.demo import demo_text, run_demo

    figures: dict[str, Any] = run_demo(options.out, options.seed, overwrite=options.overwrite)
    print(json.dumps(figures, indent=2) if options.json else demo_text(figures))
