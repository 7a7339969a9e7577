"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scanweave.errors import Code, Problem, UsageError
from scanweave.networks.choice import PRECISIONS, RUNTIMES

COMPONENT_RULES = ("likely", "largest", "all")
COMPONENTS_HELP = (
    "which connected parts stay: likely, those with a quarter of the likeliest one's summed probability (the default); "
    "the largest alone; all"
)
ROLE_ALIASES = ("pre", "flair", "post")
_NETWORK = ("bundle", "weights", "device", "precision", "runtime", "components", "overwrite")


def add_common(parser: argparse.ArgumentParser) -> None:
    """`--json` and `--debug`, which every command has."""
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout and nothing else")
    parser.add_argument("--debug", action="store_true", help="show the traceback of a refusal")


def add_study(parser: argparse.ArgumentParser) -> None:
    """INPUT and all that says which of its series are meant."""
    parser.add_argument("input", metavar="INPUT", nargs="?", type=path,
                        help="folder, .zip, DICOMDIR; one NIfTI file with the roles' volumes; 2-D slices")  # fmt: skip
    for role in ROLE_ALIASES:
        parser.add_argument(f"--{role}", metavar="X", help=f"short for --input {role}=X")
    parser.add_argument("--input", dest="inputs", metavar="ROLE=X", action="append", default=[],
                        help="a role by hand: NIfTI file, DICOM folder, or SeriesInstanceUID of INPUT")  # fmt: skip
    parser.add_argument("--study", metavar="UID",
                        help="the StudyInstanceUID (slices: the patient) to take of several in INPUT")  # fmt: skip
    parser.add_argument("--bundle", metavar="NAME|DIR", default="flair_abnormality", help="default: %(default)s")
    add_common(parser)
    parser.add_argument("--phi", action="store_true", help="allow identifiers (UIDs) in names and results")


def add_network(parser: argparse.ArgumentParser) -> None:
    """Which network runs, where and how: all but the bundle, which comes with the study."""
    parser.add_argument("--weights", metavar="FILE", type=path, help="a state dict instead of the bundle's")
    parser.add_argument("--device", metavar="auto|cpu|cuda:N", default="auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto")
    parser.add_argument("--runtime", choices=RUNTIMES, default="auto",
                        help="of the network: eager is PyTorch; auto takes the fastest of those that can")  # fmt: skip
    parser.add_argument("--components", choices=COMPONENT_RULES, help=COMPONENTS_HELP)


def network_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_network`, `--bundle` and `--overwrite` parsed, as `NetworkSettings` takes it."""
    return {name: getattr(options, name) for name in _NETWORK}


def path(text: str) -> Path:
    """A path; an empty one would mean the working directory, and is an unset variable of somebody's script."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, found nothing")
    return Path(text)


def study_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_study` parsed, as `segment` and `inspect` take it; USAGE where a role is not ROLE=X, or given twice."""
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
    return {"study": options.input, "inputs": inputs, "study_uid": options.study}
