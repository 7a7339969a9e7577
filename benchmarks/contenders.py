"""Who is measured: scanweave, and what a user would pick instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

STUDY_RESULT = "**/segmentation.nii.gz"
TRANSFORMS = "transforms.json"


class Task(Enum):
    """What is done: a table holds contenders of one task."""

    STUDY = "whole study"
    REGISTRATION = "registration of the two T1 series"


@dataclass(frozen=True)
class Contender:
    """One way to do a task.

    `requirements` is a file in benchmarks/requirements/, the environment's; contenders may share one. The words of
    `command` are format strings over: `bin` (the environment's programs), `recipes`, `checkout`, `folder` (the
    study's), `pre`, `flair` and `post` (a NIfTI file, or a folder of DICOM files), and `out`. `result` is the pattern,
    under `out`, of the file that proves it was done.
    """

    name: str
    what: str
    task: Task
    requirements: str
    command: tuple[str, ...]
    result: str

    def words(self, fields: Mapping[str, object]) -> list[str]:
        """The command with its fields filled in."""
        return [word.format(**fields) for word in self.command]


SERIES = ("--pre", "{pre}", "--flair", "{flair}", "--post", "{post}", "--out", "{out}")


def _recipe(script: str, *arguments: str) -> tuple[str, ...]:
    return ("{bin}/python", f"{{recipes}}/{script}", *arguments, *SERIES)


def _registrator(method: str, what: str, requirements: str) -> Contender:
    command = _recipe("registrators.py", method)
    return Contender(f"{method} (registration)", what, Task.REGISTRATION, requirements, command, TRANSFORMS)


def _recipe_with(method: str) -> Contender:
    command = _recipe("public_recipe.py", "--checkout", "{checkout}", "--registrator", method)
    what = f"as the public recipe, registered by {method} as below"
    return Contender(f"public recipe with {method}", what, Task.STUDY, f"{method}.txt", command, STUDY_RESULT)


CONTENDERS: tuple[Contender, ...] = (
    Contender(
        "scanweave",
        "`scanweave segment`, report and viewer included, for DICOM also SEG and SR; bf16 where the CPU has it",
        Task.STUDY,
        "scanweave.txt",
        ("{bin}/scanweave", "segment", "{folder}", "-o", "{out}"),
        STUDY_RESULT,
    ),
    Contender(
        "scanweave fp32",
        "the same with `--precision fp32`: not the same where the CPU computes fast in fewer bits",
        Task.STUDY,
        "scanweave.txt",
        ("{bin}/scanweave", "segment", "{folder}", "-o", "{out}", "--precision", "fp32"),
        STUDY_RESULT,
    ),
    Contender(
        "scanweave int8",
        "the same with `--precision int8`, which [moves masks](precision.md) more than is fit for a default",
        Task.STUDY,
        "scanweave.txt",
        ("{bin}/scanweave", "segment", "{folder}", "-o", "{out}", "--precision", "int8"),
        STUDY_RESULT,
    ),
    Contender(
        "public recipe",
        "MONAI transforms, SimpleITK's usual rigid registration, eager fp32 network, all slices in one batch",
        Task.STUDY,
        "public.txt",
        _recipe("public_recipe.py", "--checkout", "{checkout}"),
        STUDY_RESULT,
    ),
    _recipe_with("greedy"),
    _recipe_with("elastix"),
    Contender(
        "brainles-preprocessing",
        "its native-space preprocessor with the default registrator (ANTs), no brain extraction; network as above",
        Task.STUDY,
        "brainles.txt",
        _recipe("brainles_recipe.py", "--checkout", "{checkout}"),
        STUDY_RESULT,
    ),
    _registrator("scanweave", "the registration of `scanweave segment`", "scanweave.txt"),
    _registrator("simpleitk", "that of the public recipe", "public.txt"),
    _registrator("greedy", "picsl-greedy with the settings of the BraTS pipeline", "greedy.txt"),
    _registrator("elastix", "itk-elastix with its default rigid parameter map", "elastix.txt"),
)
"""The first of each task is the one that the ratios are against."""


def baseline(task: Task) -> Contender:
    """What the others of `task` are compared with."""
    return next(contender for contender in CONTENDERS if contender.task is task)
