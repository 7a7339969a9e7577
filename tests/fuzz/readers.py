"""One spoiled input through the readers: everything that `segment` does before the first transform."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

# Before processes are forked, each of which would import them for itself.
import highdicom  # noqa: F401
import nibabel  # noqa: F401
from headers import ROLES
from trials import Judge

from scanweave.errors import Code, InputRefused, ScanweaveError
from scanweave.transforms.io.dicom_volume import read_dicom_volume
from scanweave.transforms.io.find_study import StudyRequest, find_study, one_study
from scanweave.transforms.io.nifti import read_nifti
from scanweave.transforms.io.pixel_decoder import PixelDecoder
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.select import assign_roles

READ = "read"


@contextmanager
def reading() -> Iterator[Judge]:
    """Judges by reading; the decoder serves all inputs, as it serves all series of a study."""
    with PixelDecoder() as decoder:
        yield lambda seed, folder: outcome(folder / seed.target, decoder)


def outcome(path: Path, decoder: PixelDecoder) -> str:
    """What comes of it: `READ` where all is well, or the code of the first refusal.

    A refusal of one step does not keep the others from what they can still do: roles are chosen, and every series
    without problems is read. That nothing plays a role is no outcome: most seeds are one short series.

    Raises
    ------
    Exception
        Anything else is a defect, and so is MemoryError: no input needs as much.
    """
    refusals: list[ScanweaveError] = []
    with quiet():
        try:
            with find_study(StudyRequest.of(path), [role.name for role in ROLES]) as found:
                steps = [lambda: one_study(found, None), *(partial(_read, item, decoder) for item in found.series)]
                refusals += [refusal for step in steps if (refusal := _refusal(step))]
                _refusal(lambda: assign_roles(found.series, ROLES, found.chosen))
        except ScanweaveError as refusal:
            refusals.append(_checked(refusal))
    return refusals[0].code.value if refusals else READ


def _refusal(step: Callable[[], object]) -> ScanweaveError | None:
    try:
        step()
    except ScanweaveError as refusal:
        return _checked(refusal)
    return None


def _read(series: Series, decoder: PixelDecoder) -> None:
    if series.problems:
        raise InputRefused(series.problems)
    if series.source == "dicom":
        read_dicom_volume(series, decoder)
    elif series.source == "nifti":
        read_nifti(series.files[0])


def _checked(refusal: ScanweaveError) -> ScanweaveError:
    """A refusal is lines of printable text, with codes, none of them that of a defect."""
    for problem in refusal.problems:
        line = str(problem)
        if problem.code is Code.INTERNAL or not line.isprintable() or not line.startswith(f"error[{problem.code}]: "):
            raise ValueError(f"no refusal: {line!r}")
    return refusal
