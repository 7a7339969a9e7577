"""The two things to do with one study: segment it, or say what is in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem, UsageError
from scanweave.pipeline.bundle import DEFAULT_BUNDLE, Bundle, find_bundle
from scanweave.pipeline.inspection import Inspection
from scanweave.pipeline.network_settings import StrPath, expanded
from scanweave.pipeline.progress import Progress, silent
from scanweave.pipeline.segment_settings import SegmentSettings
from scanweave.pipeline.segmented import SegmentedStudy
from scanweave.pipeline.segmenter import Segmenter
from scanweave.transforms.io.files import check_reachable
from scanweave.transforms.io.find_study import FoundStudy, StudyRequest, find_study, one_study
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.select import assign_roles
from scanweave.transforms.selection.site_rules import site_rules


def segment(
    study: StrPath | None = None,
    out: StrPath | None = None,
    *,
    inputs: Mapping[str, StrPath] | None = None,
    study_uid: str | None = None,
    settings: SegmentSettings | None = None,
    progress: Progress | None = None,
) -> SegmentedStudy:
    """Segment one brain MR study. Research use only, not a medical device.

    Calls may follow one another in a process; studies at once belong in several processes, not in threads.

    Parameters
    ----------
    study
        A folder (searched recursively), .zip or DICOMDIR, one 4-D NIfTI file with a volume for each role, or 2-D
        slices; not needed where `inputs` says all. A leading ~ is the home folder, here and in every other path.
    out
        Results go to `out`/<study>, whole or not at all; None writes no results and returns the arrays only.
    inputs
        Roles by hand, {"flair": .., "pre": .., "post": ..}: each a NIfTI file, a DICOM folder, or a
        SeriesInstanceUID of `study`.
    study_uid
        The StudyInstanceUID to take where `study` holds several; of 2-D slices their patient's name.
    settings
        Bundle, device, outputs and the like.
    progress
        Called with a `Stage` as each step begins and within the longest; what it raises ends the run.

    Returns
    -------
    SegmentedStudy
        Mask and probability on the FLAIR's own grid, RAS mm, with what is known of how they came about.

    Raises
    ------
    UsageError, InputRefused, EnvironmentFailure
        With the codes of `scanweave.Code`, which docs/errors.md explains; no result is written then.
    """
    settings = settings or SegmentSettings()
    bundle = find_bundle(expanded(settings.bundle))
    request = _request(study, inputs, study_uid, bundle)
    if request.path is not None:
        check_reachable(request.path)  # a mistyped name is told at once, before the network is built
    segmenter = Segmenter(settings, None if out is None else Path(expanded(out)))
    return segmenter(request, progress=progress or silent)


def inspect(
    study: StrPath | None = None,
    *,
    inputs: Mapping[str, StrPath] | None = None,
    study_uid: str | None = None,
    bundle: StrPath = DEFAULT_BUNDLE,
) -> Inspection:
    """Say what `segment` would do with the same arguments: headers are read, no voxel; nothing is written.

    Parameters
    ----------
    study, inputs, study_uid
        As for `segment`.
    bundle
        Whose roles are looked for: a shipped bundle's name, or a bundle's folder.

    Returns
    -------
    Inspection
        Every series, the role of each with the evidence, and the `refusal` where the study would be refused.

    Raises
    ------
    UsageError, InputRefused, EnvironmentFailure
        Where there is nothing to list; a refusal of what was found is part of the result.
    """
    found_bundle = find_bundle(expanded(bundle))
    request = _request(study, inputs, study_uid, found_bundle)
    with quiet(), find_study(request, [role.name for role in found_bundle.roles]) as found:
        listed = _all_series(found)
        try:
            one = one_study(found, request.study_uid)
            return Inspection(listed, assign_roles(one.series, found_bundle.roles, one.chosen, site_rules()))
        except InputRefused as refusal:
            return Inspection(listed, refusal=refusal)


def _request(
    study: StrPath | None, inputs: Mapping[str, StrPath] | None, study_uid: str | None, bundle: Bundle
) -> StudyRequest:
    """The call as the chain takes it; USAGE where it has no meaning."""
    names = [role.name for role in bundle.roles]
    unknown = [role for role in inputs or {} if role not in names]
    if unknown:
        message = f"bundle {bundle.name} has the roles {', '.join(names)}, not {', '.join(unknown)}"
        raise UsageError(Problem(Code.USAGE, message))
    if study is None and not inputs:
        raise UsageError(Problem(Code.USAGE, "expected INPUT, or a series for each role (--flair X ..)"))
    by_hand = {role: expanded(value) for role, value in (inputs or {}).items()}
    return StudyRequest(None if study is None else Path(expanded(study)), by_hand, study_uid)


def _all_series(found: FoundStudy) -> tuple[Series, ...]:
    listed = list(found.series)
    listed += [item for item in found.chosen.values() if item not in listed]
    return tuple(listed)
