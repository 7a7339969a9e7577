"""What can be written of a study, under which name, and for which kind of source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scanweave.errors import Code, Problem, UsageError

RESULT_FILE = "result.json"
"""Always written: it is what says that a folder holds a result."""


@dataclass(frozen=True)
class Output:
    """One entry of `--outputs`: its file (of `png` and `secondary-capture` a folder) below the study's folder, and the
    sources (`Series.source`) that allow it."""

    file: str
    sources: tuple[str, ...]


OUTPUTS = {
    "nifti": Output("segmentation.nii.gz", ("dicom", "nifti")),
    "probability": Output("probability.nii.gz", ("dicom", "nifti")),
    "dicom-seg": Output("segmentation.dcm", ("dicom",)),
    "dicom-seg-fractional": Output("segmentation_fractional.dcm", ("dicom",)),
    "dicom-seg-labelmap": Output("segmentation_labelmap.dcm", ("dicom",)),
    "sr": Output("measurements.dcm", ("dicom",)),
    "secondary-capture": Output("secondary-capture", ("dicom",)),
    "seg-nrrd": Output("segmentation.seg.nrrd", ("dicom", "nifti")),
    "report": Output("report.html", ("dicom", "nifti", "slices")),
    "thumbnail": Output("thumbnail.jpg", ("dicom", "nifti", "slices")),
    "png": Output("masks", ("slices",)),
}
DEFAULTS = {"dicom": ("nifti", "dicom-seg", "sr", "report"), "nifti": ("nifti", "report"), "slices": ("png", "report")}
"""What is written where the user names nothing, by the reference's source."""


def parse_outputs(outputs: Sequence[str] | str | None) -> tuple[str, ...] | None:
    """The outputs of a list or of a comma-separated text; None where the default is wanted."""
    if outputs is None:
        return None
    names = outputs.split(",") if isinstance(outputs, str) else list(outputs)
    wanted = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    unknown = [name for name in wanted if name not in OUTPUTS]
    if unknown or not wanted:
        message = f"--outputs: expected some of {', '.join(OUTPUTS)}, got {', '.join(unknown) or 'nothing'}"
        raise UsageError(Problem(Code.USAGE, message))
    return wanted


def outputs_for(source: str, wanted: tuple[str, ...] | None) -> tuple[str, ...]:
    """What is written of a study whose reference comes from `source`; USAGE for what such a source cannot give."""
    if wanted is None:
        return DEFAULTS[source]
    unfit = [name for name in wanted if source not in OUTPUTS[name].sources]
    if unfit:
        raise UsageError(
            Problem(Code.USAGE, f"--outputs: {name} needs {' or '.join(OUTPUTS[name].sources)} input, found {source}")
            for name in unfit
        )
    return wanted
