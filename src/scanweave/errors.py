"""What can go wrong, with a stable code for each: the only vocabulary in which scanweave refuses.

A refusal carries one or more problems; the command line prints one line for each and leaves with the
exit code of the refusal's class. The codes are public: scripts and hospital logs match on them.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The system's ways to say that a file cannot grow."""


class Code(StrEnum):
    """Stable names of problems; docs/errors.md says what to do about each."""

    # the call
    USAGE = "USAGE"
    # the input as a whole
    INPUT_NOT_FOUND = "INPUT_NOT_FOUND"
    EMPTY_INPUT = "EMPTY_INPUT"
    BAD_ARCHIVE = "BAD_ARCHIVE"
    MULTIPLE_STUDIES = "MULTIPLE_STUDIES"
    PATIENT_MISMATCH = "PATIENT_MISMATCH"
    # one series
    TRUNCATED = "TRUNCATED"
    UNREADABLE = "UNREADABLE"
    UNSUPPORTED_SYNTAX = "UNSUPPORTED_SYNTAX"
    MISSING_GEOMETRY = "MISSING_GEOMETRY"
    MIXED_ORIENTATION = "MIXED_ORIENTATION"
    MIXED_MATRIX = "MIXED_MATRIX"
    MIXED_FRAME_OF_REFERENCE = "MIXED_FRAME_OF_REFERENCE"
    DUPLICATE_POSITION = "DUPLICATE_POSITION"
    TILT = "TILT"
    MISSING_SLICE = "MISSING_SLICE"
    UNEVEN_SPACING = "UNEVEN_SPACING"
    NOT_MR = "NOT_MR"
    TOO_FEW_SLICES = "TOO_FEW_SLICES"
    UNSUPPORTED_FORM = "UNSUPPORTED_FORM"
    EMPTY_VOLUME = "EMPTY_VOLUME"
    NOT_FINITE = "NOT_FINITE"
    NEGATIVE_VALUES = "NEGATIVE_VALUES"
    BAD_AFFINE = "BAD_AFFINE"
    WRONG_SHAPE = "WRONG_SHAPE"
    TOO_LARGE = "TOO_LARGE"
    REGION_TOO_LARGE = "REGION_TOO_LARGE"
    DECODING_LIMIT = "DECODING_LIMIT"
    # masks to train on or to compare with
    MISSING_LABEL = "MISSING_LABEL"
    LABEL_MISMATCH = "LABEL_MISMATCH"
    TOO_FEW_CASES = "TOO_FEW_CASES"
    TRAINING_MISMATCH = "TRAINING_MISMATCH"
    # roles
    NO_FLAIR = "NO_FLAIR"
    MISSING_ROLE = "MISSING_ROLE"
    AMBIGUOUS_ROLE = "AMBIGUOUS_ROLE"
    # the results
    OUTPUT_EXISTS = "OUTPUT_EXISTS"
    # a batch
    WORKLIST_INVALID = "WORKLIST_INVALID"
    OUTPUT_IN_USE = "OUTPUT_IN_USE"
    LEDGER_INVALID = "LEDGER_INVALID"
    SCHEDULER_UNREACHABLE = "SCHEDULER_UNREACHABLE"
    CRASHED = "CRASHED"
    TIMED_OUT = "TIMED_OUT"
    # a node
    CONFIG_INVALID = "CONFIG_INVALID"
    LISTEN_FAILED = "LISTEN_FAILED"
    CERTIFICATE_INVALID = "CERTIFICATE_INVALID"
    PEER_UNREACHABLE = "PEER_UNREACHABLE"
    # the environment
    OUTPUT_UNWRITABLE = "OUTPUT_UNWRITABLE"
    DISK_FULL = "DISK_FULL"
    WEIGHTS_MISSING = "WEIGHTS_MISSING"
    WEIGHTS_ALTERED = "WEIGHTS_ALTERED"
    WEIGHTS_INVALID = "WEIGHTS_INVALID"
    DOWNLOAD_FAILED = "DOWNLOAD_FAILED"
    BUNDLE_INVALID = "BUNDLE_INVALID"
    EXPORT_FAILED = "EXPORT_FAILED"
    RULES_INVALID = "RULES_INVALID"
    DEVICE_UNAVAILABLE = "DEVICE_UNAVAILABLE"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NOT_FINITE_OUTPUT = "NOT_FINITE_OUTPUT"
    ENVIRONMENT_INCOMPLETE = "ENVIRONMENT_INCOMPLETE"
    # a defect of scanweave itself
    INTERNAL = "INTERNAL"


def printable(text: str) -> str:
    """`text` on one line, with "?" for what a terminal would obey: file names and headers come from strangers."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what was expected, what came (`message`), and in which file or series (`where`)."""

    code: Code
    message: str
    where: str = ""

    def __str__(self) -> str:
        line = f"{self.message} ({self.where})" if self.where else self.message
        return f"error[{self.code}]: {printable(line)}"


class ScanweaveError(Exception):
    """A refusal: `problems`, most telling first, and the exit code of the command line."""

    exit_code: ClassVar[int] = 1

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        if not self.problems:
            raise ValueError("a refusal names at least one problem")
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ScanweaveError], tuple[tuple[Problem, ...]]]:
        """Between processes an exception travels as what it was built from, not as its text."""
        return type(self), (self.problems,)

    @property
    def code(self) -> Code:
        """The code of the first, most telling problem."""
        return self.problems[0].code


class UsageError(ScanweaveError):
    """The command was called in a way that has no meaning."""

    exit_code = 2


class InputRefused(ScanweaveError):
    """The input cannot be segmented without guessing."""

    exit_code = 3


class EnvironmentFailure(ScanweaveError):
    """The machine lacks something: weights, device, disk, network."""

    exit_code = 5
