"""All checks in their order, each group by itself: what one cannot know keeps none of the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.doctor.bundles import check_bundles
from scanweave.pipeline.doctor.check import Check, State, reason
from scanweave.pipeline.doctor.decoders import check_decoders
from scanweave.pipeline.doctor.places import check_places
from scanweave.pipeline.doctor.processors import check_processors
from scanweave.pipeline.doctor.software import check_software
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.progress_course import Step

Examination = Mapping[str, tuple[Check, ...]]
"""Checks by group."""
_GROUPS: Mapping[str, Callable[[], list[Check]]] = {
    "software": check_software,
    "processors": check_processors,
    "DICOM decoders": check_decoders,
    "bundles": check_bundles,
    "places": check_places,
}
DOCTOR_STEPS: Mapping[str, Step] = {
    "software": Step("software", 6.0),
    "processors": Step("processors", 0.5),
    "DICOM decoders": Step("DICOM decoders", 0.5),
    "bundles": Step("bundles", 1.0),
    "places": Step("places", 0.1),
}
"""For a progress bar; nothing of it goes to a log."""


def examine(progress: Progress = silent) -> Examination:
    """Look at everything; never raises, and leaves nothing behind."""
    groups: dict[str, tuple[Check, ...]] = {}
    for number, (name, check) in enumerate(_GROUPS.items(), start=1):
        progress(Stage(name, number, len(_GROUPS)))
        try:
            groups[name] = tuple(check())
        except Exception as error:
            groups[name] = (Check(name, State.MISSING, f"cannot be examined ({reason(error)})", "please report this"),)
    return groups


def failure(groups: Examination) -> EnvironmentFailure | None:
    """The refusal of a machine on which something is missing; None where all is there."""
    missing = [check.name for check in _all(groups) if check.state is State.MISSING]
    if not missing:
        return None
    message = f"what scanweave segment needs is not all there: {', '.join(missing)}"
    return EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message))


def count(groups: Examination, state: State) -> int:
    """How many checks came to `state`."""
    return sum(check.state is state for check in _all(groups))


def _all(groups: Examination) -> Iterator[Check]:
    for checks in groups.values():
        yield from checks
