"""Measure a bundle's network against experts' masks: the public function."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanweave.errors import Code, InputRefused, Problem
from scanweave.pipeline.bundle import DEFAULT_BUNDLE, build_part, find_bundle
from scanweave.pipeline.progress import Progress, silent
from scanweave.pipeline.segment_settings import StrPath, expanded
from scanweave.transforms.io.labelled_cases import Case, find_cases

if TYPE_CHECKING:
    from scanweave.pipeline.evaluation.evaluation import Evaluation

EVALUATE_CONFIG = Path("configs", "evaluate.json")


@dataclass(frozen=True)
class EvaluateSettings:
    """How is measured; each value left at None is the bundle's own choice.

    Attributes
    ----------
    bundle
        A shipped bundle's name, or a bundle's folder.
    weights
        A state dict instead of the bundle's.
    device
        "auto" (a GPU where there is one), "cpu", "cuda:N".
    precision
        Of the network: "auto" (fp16 on a GPU, fp32 on a CPU), "fp32", "bf16", "fp16".
    components
        Which connected parts of the mask stay: "largest" or "all".
    overwrite
        Whether an existing evaluation is replaced rather than refused.
    """

    bundle: StrPath = DEFAULT_BUNDLE
    weights: StrPath | None = None
    device: str = "auto"
    precision: str = "auto"
    components: str | None = None
    overwrite: bool = False


def evaluate(
    images: StrPath,
    out: StrPath | None = None,
    *,
    settings: EvaluateSettings | None = None,
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
    settings = settings or EvaluateSettings()
    bundle = find_bundle(expanded(settings.bundle))
    folder = Path(expanded(images))
    cases = _chosen(find_cases(folder, [role.name for role in bundle.roles]), only, folder)
    overrides = _overrides(settings)
    overrides["dataset::data"] = [case.item for case in cases]
    overrides["output_dir"] = None if out is None else Path(expanded(out))
    return build_part(bundle, "evaluator", overrides, EVALUATE_CONFIG).run(progress or silent)


def _overrides(settings: EvaluateSettings) -> dict[str, Any]:
    """The configuration's entries that `settings` decide: objects and known words, for MONAI evaluates strings."""
    from scanweave.pipeline.device import check_precision, choose_device
    from scanweave.transforms.keep_components import check_rule

    overrides: dict[str, Any] = {
        "overwrite": settings.overwrite,
        "device": choose_device(settings.device),
        "precision": check_precision(settings.precision),
        "weights_file": None if settings.weights is None else Path(expanded(settings.weights)),
    }
    if settings.components is not None:
        overrides["components"] = check_rule(settings.components)
    return overrides


def _chosen(cases: tuple[Case, ...], only: Collection[str] | None, folder: Path) -> tuple[Case, ...]:
    """The cases that `only` names, by their own or their patient's name; INPUT_NOT_FOUND where one is not there."""
    if only is None:
        return cases
    known = {name for case in cases for name in (case.name, case.patient)}
    missing = sorted(set(only) - known)
    if missing or not only:
        listed = ", ".join(missing[:5]) + (", .." if len(missing) > 5 else "")
        message = f"expected the cases asked for, found none called {listed}" if missing else "no case was asked for"
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message, folder.name))
    return tuple(case for case in cases if case.name in only or case.patient in only)
