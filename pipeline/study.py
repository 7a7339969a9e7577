"""The two things to do with one study: segment it, or say what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scanweave.errors import Code, InputRefused, Problem, ScanweaveError, UsageError
from scanweave.pipeline.bundle import DEFAULT_BUNDLE, Bundle, build_evaluator, find_bundle
from scanweave.pipeline.progress import Progress, silent
from scanweave.transforms.io.files import reachable
from scanweave.transforms.io.find_study import FoundStudy, StudyRequest, find_study, one_study
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.select import Selection, assign_roles


@dataclass(frozen=True)
class SegmentSettings:
    """How a study is segmented; each value left at None is the bundle's own choice."""

    bundle: str = DEFAULT_BUNDLE
    weights: Path | None = None
    device: str = "auto"
    precision: str = "auto"
    outputs: str | None = None
    components: str | None = None
    overwrite: bool = False
    phi: bool = False


@dataclass(frozen=True)
class SegmentedStudy:
    """Where the results lie and what result.json says."""

    folder: Path
    result: Mapping[str, Any]


@dataclass(frozen=True)
class Inspection:
    """All series of an input, the role of each, and why it could not be segmented."""

    series: tuple[Series, ...]
    roles: Mapping[str, Series] = field(default_factory=dict)
    selection: Selection | None = None
    refusal: ScanweaveError | None = None


def segment(
    request: StudyRequest,
    output_dir: Path,
    settings: SegmentSettings | None = None,
    progress: Progress = silent,
) -> SegmentedStudy:
    """Segment one study and write its results to a folder below `output_dir`.

    Raises
    ------
    UsageError, InputRefused, EnvironmentFailure
        With the codes of `scanweave.errors`; nothing is written then.
    """
    settings = settings or SegmentSettings()
    bundle = find_bundle(settings.bundle)
    _check_roles(request, bundle)
    if request.path is not None and not reachable(request.path):
        message = "expected a folder, .zip, DICOMDIR or NIfTI file"
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message, request.path.name))
    (study,) = build_evaluator(bundle, _overrides(request, output_dir, settings)).run(progress)
    return SegmentedStudy(study["place"].folder, study["result"])


def _overrides(request: StudyRequest, output_dir: Path, settings: SegmentSettings) -> dict[str, Any]:
    """The configuration's entries that a call decides.

    MONAI evaluates every string that begins with $ and resolves every @: what a user typed, or a folder is called,
    goes in as an object, or as one of a few known words.
    """
    from scanweave.pipeline.device import check_precision, choose_device
    from scanweave.pipeline.outputs import parse_outputs
    from scanweave.transforms.keep_components import check_rule

    overrides: dict[str, Any] = {
        "dataset::data": [{"study": request}],
        "output_dir": Path(output_dir),
        "outputs": parse_outputs(settings.outputs),
        "overwrite": settings.overwrite,
        "phi": settings.phi,
        "device": choose_device(settings.device),
        "precision": check_precision(settings.precision),
        "weights_file": Path(settings.weights) if settings.weights else None,
    }
    if settings.components is not None:
        overrides["components"] = check_rule(settings.components)
    return overrides


def inspect(request: StudyRequest, bundle_name: str = DEFAULT_BUNDLE) -> Inspection:
    """What `segment` would do with the same request; headers only, and nothing is written.

    Raises
    ------
    UsageError, InputRefused, EnvironmentFailure
        Where there is nothing to list; a refusal of what was found is part of the result.
    """
    bundle = find_bundle(bundle_name)
    _check_roles(request, bundle)
    with find_study(request, [role.name for role in bundle.roles]) as found:
        listed = _all_series(found)
        try:
            study = one_study(found, request.study_uid)
            selection = assign_roles(study.series, bundle.roles, study.chosen)
        except InputRefused as refusal:
            return Inspection(listed, refusal=refusal)
    roles = {role: choice.series for role, choice in selection.assigned.items() if choice.series}
    return Inspection(listed, roles, selection)


def _all_series(found: FoundStudy) -> tuple[Series, ...]:
    listed = list(found.series)
    listed += [item for item in found.chosen.values() if item not in listed]
    return tuple(listed)


def _check_roles(request: StudyRequest, bundle: Bundle) -> None:
    names = [role.name for role in bundle.roles]
    unknown = [name for name in request.inputs if name not in names]
    if unknown:
        message = f"bundle {bundle.name} has the roles {', '.join(names)}, not {', '.join(unknown)}"
        raise UsageError(Problem(Code.USAGE, message))
    if request.path is None and not request.inputs:
        raise UsageError(Problem(Code.USAGE, "expected INPUT, or a series for each role (--flair X ..)"))
