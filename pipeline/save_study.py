"""The chain's two dealings with the disk: is there a place for the results, and the results."""

from __future__ import annotations

import json
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from monai.transforms import Transform

from scanweave import __version__
from scanweave.errors import Code, Problem, UsageError
from scanweave.networks.weights import Weights
from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.result import flags_of, result_record, settings_record
from scanweave.pipeline.result_folder import check_place, staged
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.files import nifti_stem
from scanweave.transforms.io.nifti import write_nifti
from scanweave.transforms.io.remarks import quiet
from scanweave.transforms.io.series import Series
from scanweave.transforms.load_study import LoadedStudy

if TYPE_CHECKING:
    from scanweave.transforms.io.dicom_seg_settings import Concept

OUTPUTS = ("nifti", "probability", "dicom-seg")
"""What can be asked for; result.json is always written."""
FILES = {"nifti": "segmentation.nii.gz", "probability": "probability.nii.gz", "dicom-seg": "segmentation.dcm"}
RESULT_FILE = "result.json"


@dataclass(frozen=True)
class ResultPlace:
    """Where one study's results go, and which."""

    folder: Path
    outputs: tuple[str, ...]
    overwrite: bool
    phi: bool


class ReserveResultd(Transform):
    """Name the study's folder and refuse, before any work, what could not be written later; adds `place`.

    The folder is `output_dir`/<NIfTI stem, or keyed hash of the StudyInstanceUID>. Without `output_dir` nothing
    will be written: the chain's caller takes the arrays.
    """

    def __init__(
        self,
        output_dir: str | Path | None,
        outputs: Sequence[str] | str | None = None,
        overwrite: bool = False,
        phi: bool = False,
    ) -> None:
        self.output_dir = Path(output_dir) if output_dir else None
        self.outputs = parse_outputs(outputs)
        self.overwrite = _switch("overwrite", overwrite)
        self.phi = _switch("phi", phi)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.output_dir is not None:
            reference: Series = d["loaded"].reference
            folder = self.output_dir / study_name(reference, phi=self.phi)
            outputs = self._outputs_for(reference)
            check_place(folder, overwrite=self.overwrite, mark=RESULT_FILE)
            d["place"] = ResultPlace(folder, outputs, self.overwrite, self.phi)
        return d

    def _outputs_for(self, reference: Series) -> tuple[str, ...]:
        if self.outputs is None:
            return ("nifti", "dicom-seg") if reference.source == "dicom" else ("nifti",)
        if "dicom-seg" in self.outputs and reference.source != "dicom":
            raise UsageError(Problem(Code.USAGE, "--outputs: dicom-seg needs DICOM input, found NIfTI"))
        return self.outputs


class SaveStudyd(Transform):
    """Write what `place` asks for, all or nothing; adds `result`, the content of result.json.

    An empty mask has no DICOM-SEG: the standard wants at least one frame.
    """

    def __init__(self, bundle: str | Path, metadata: Mapping[str, Any], weights: Weights) -> None:
        self.bundle = Path(bundle).name
        self.metadata = metadata
        self.weights = weights

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        place: ResultPlace | None = d.get("place")
        if place is None:
            d["result"] = result_record(d, self.metadata, self.bundle, self.weights, phi=False)
            return d
        begin = time.perf_counter()
        loaded: LoadedStudy = d["loaded"]
        mask = Volume(d["segmentation"].numpy()[0].astype(np.uint8), loaded.grid.affine)
        with staged(place.folder, overwrite=place.overwrite, mark=RESULT_FILE) as stage:
            if "nifti" in place.outputs:
                write_nifti(stage / FILES["nifti"], mask, loaded.nifti_header)
            if "probability" in place.outputs:
                probability = Volume(d["pred"].numpy()[0].astype(np.float32), loaded.grid.affine)
                write_nifti(stage / FILES["probability"], probability, loaded.nifti_header)
            if "dicom-seg" in place.outputs and mask.array.any():
                self._write_seg(stage / FILES["dicom-seg"], mask, d)
            d["seconds"] = {**d.get("seconds", {}), "SaveStudy": round(time.perf_counter() - begin, 4)}
            d["result"] = result_record(d, self.metadata, self.bundle, self.weights, phi=place.phi)
            (stage / RESULT_FILE).write_text(json.dumps(d["result"], indent=2, allow_nan=False) + "\n")
        return d

    def _write_seg(self, path: Path, mask: Volume, study: Mapping[Hashable, Any]) -> None:
        from scanweave.transforms.io.dicom_seg import SegSettings, write_dicom_seg

        loaded: LoadedStudy = study["loaded"]
        roles = loaded.selection.assigned
        reference = next(role for role, choice in roles.items() if choice.series is loaded.reference)
        further = [header for role, headers in loaded.headers.items() if role != reference for header in headers]
        said = self.metadata["segment"]
        settings = SegSettings(
            label=said["label"],
            algorithm=f"scanweave {self.bundle}",
            version=__version__,
            weights_sha256=self.weights.sha256,
            flags=tuple(flags_of(study)),
            substituted=tuple(role for role, choice in roles.items() if choice.series is None),
            run=json.dumps([self.metadata.get("version", ""), settings_record(study)], sort_keys=True),
            category=_concept(said["category"]),
            type=_concept(said["type"]),
            region=_concept(said["region"]),
        )
        with quiet():
            write_dicom_seg(path, mask, loaded.headers[reference], further, settings)


def _switch(name: str, value: object) -> bool:
    """MONAI's command line hands on the text `false`, which Python takes for true."""
    words = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    try:
        return words[str(value).lower()]
    except KeyError:
        raise UsageError(Problem(Code.USAGE, f"--{name}: expected true or false, got {value!r}")) from None


def _concept(code: Mapping[str, str]) -> Concept:
    from scanweave.transforms.io.dicom_seg_settings import Concept

    return Concept(code["value"], code["scheme"], code["meaning"])


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


def study_name(reference: Series, *, phi: bool) -> str:
    """The name of a study's folder."""
    if reference.source == "nifti":
        return nifti_stem(reference.files[0])
    return pseudonym(reference.study_uid, phi=phi)
