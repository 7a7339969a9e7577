"""Measure a bundle's network against experts' masks: the public function."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from scanweave.errors import Code, InputRefused, Problem, UsageError
from scanweave.pipeline.bundle import build_part, find_bundle
from scanweave.pipeline.network_settings import NetworkSettings, StrPath, expanded, network_overrides
from scanweave.pipeline.progress import Progress, silent
from scanweave.transforms.io.labelled_cases import Case, find_cases

if TYPE_CHECKING:
    from scanweave.pipeline.evaluation.evaluation import Evaluation

EVALUATE_CONFIG = Path("configs", "evaluate.json")


def evaluate(
    images: StrPath,
    out: StrPath | None = None,
    *,
    settings: NetworkSettings | None = None,
    only: Collection[str] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run a bundle over cases with an expert's mask and measure the agreement. Research use only.

    Parameters
    ----------
    images
        The folder of the cases, in one of the layouts of docs/evaluate.md.
    out
        The folder of the results, which appears whole or not at all; None writes nothing.
    settings
        Bundle, weights, device and the like.
    only
        Names of the cases or patients to take; None takes all.
    progress
        Called with a `Stage` as each case goes on; what it raises ends the run.

    Returns
    -------
    Evaluation
        The figures of each case, worst first, and their summary.

    Raises
    ------
    UsageError, InputRefused, EnvironmentFailure
        With the codes of `scanweave.Code`. What headers tell refuses all cases before any is computed.
    """
    settings = settings or NetworkSettings()
    bundle = find_bundle(expanded(settings.bundle))
    folder = Path(expanded(images))
    cases = _chosen(find_cases(folder, [role.name for role in bundle.roles]), only, folder)
    overrides = network_overrides(settings)
    overrides["dataset::data"] = [case.item for case in cases]
    overrides["output_dir"] = None if out is None else Path(expanded(out))
    return build_part(bundle, "evaluator", overrides, EVALUATE_CONFIG).run(progress or silent)


def _chosen(cases: tuple[Case, ...], only: Collection[str] | None, folder: Path) -> tuple[Case, ...]:
    """The cases that `only` names, by their own or their patient's name; INPUT_NOT_FOUND where one is not there."""
    if only is None:
        return cases
    if isinstance(only, str):
        raise UsageError(Problem(Code.USAGE, f"only: expected a list of names, got the text {only!r}"))
    known = {name for case in cases for name in (case.name, case.patient)}
    missing = sorted(set(only) - known)
    if missing or not only:
        listed = ", ".join(missing[:5]) + (", .." if len(missing) > 5 else "")
        message = f"expected the cases asked for, found none called {listed}" if missing else "no case was asked for"
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message, folder.name))
    return tuple(case for case in cases if case.name in only or case.patient in only)
