"""The command line: a parser and `main`. What a command needs is imported when it runs, so that --help is instant."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.commands import (
    batch,
    demo,
    doctor,
    evaluate,
    export,
    inspect,
    ledger,
    networks,
    new_bundle,
    node,
    segment,
    slicer_cli,
    train,
    weights,
)
from scanweave.console import discard, escaped_output, stoppable, tell
from scanweave.errors import FULL_DISK, Code, EnvironmentFailure, Problem, ScanweaveError, UsageError
from scanweave.transforms.io.remarks import quiet

COMMANDS: Mapping[str, ModuleType] = {
    "segment": segment,
    "inspect": inspect,
    "batch": batch,
    "ledger": ledger,
    "node": node,
    "demo": demo,
    "evaluate": evaluate,
    "train": train,
    "new-bundle": new_bundle,
    "doctor": doctor,
    "weights": weights,
    "networks": networks,
    "export": export,
    "slicer-cli": slicer_cli,
}
"""In the order of --help; what each module has to have stands in `scanweave.commands`."""
DEFECT_EXIT_CODE = 1
INTERRUPTED_EXIT_CODE = 130


class _Parser(argparse.ArgumentParser):
    """Reports a wrong call as every other refusal, one line with a code, and takes no abbreviated options."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise UsageError(Problem(Code.USAGE, f"{message}; see {self.prog} --help"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 2 usage, 3 input refused, 4 some of a batch, 5 environment."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        with stoppable(), quiet(wanted=not debug), escaped_output():
            options = _parser().parse_args(arguments)
            command: Callable[[argparse.Namespace], int | None] = options.command
            exit_code = command(options)
            sys.stdout.flush()
        return exit_code or 0
    except ScanweaveError as refusal:
        return _refuse(refusal, debug)
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT_CODE
    except BrokenPipeError:
        discard(sys.stdout)
        return 0
    except MemoryError:
        message = "the machine has too little memory for this study"
        return _refuse(EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message)), debug)
    except Exception as defect:
        if isinstance(defect, OSError) and defect.errno in FULL_DISK:
            discard(sys.stdout)
            return _refuse(EnvironmentFailure(Problem(Code.DISK_FULL, "the disk is full")), debug)
        if debug:
            traceback.print_exc()
        message = f"a defect of scanweave ({type(defect).__name__}); --debug shows where, please report it"
        tell(Problem(Code.INTERNAL, message))
        return DEFECT_EXIT_CODE


def _refuse(refusal: ScanweaveError, debug: bool) -> int:
    if debug:
        traceback.print_exception(refusal)
    for problem in refusal.problems:
        tell(problem)
    return refusal.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scanweave", description="A brain MR study in, a segmentation in its own geometry out. "
                     f"{RESEARCH_NOTICE}.")  # fmt: skip
    parser.add_argument("--version", action="version", version=f"scanweave {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    for name, module in COMMANDS.items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(command=module.run)
    return parser
