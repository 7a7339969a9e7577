"""The last step of every chain: the results on disk, all or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.transforms import Transform

from scanweave.networks.weights import Weights
from scanweave.pipeline.outputs import OUTPUTS, RESULT_FILE
from scanweave.pipeline.report.write_report import write_report
from scanweave.pipeline.reserve_result import ResultPlace
from scanweave.pipeline.result import result_record
from scanweave.pipeline.result_folder import staged
from scanweave.pipeline.save_seg import save_seg
from scanweave.pipeline.save_slices import save_slices
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.nifti import write_nifti
from scanweave.transforms.load_study import LoadedStudy


class SaveStudyd(Transform):
    """Write what `place` asks for, all or nothing; adds `result`, the content of result.json.

    An empty mask has no DICOM-SEG: the standard wants at least one frame.
    """

    def __init__(self, bundle: str | Path, metadata: Mapping[str, Any], weights: Weights) -> None:
        self.bundle = Path(bundle).resolve().name
        self.metadata = metadata
        self.weights = weights

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        place: ResultPlace | None = d.get("place")
        if place is None:
            d["result"] = self._record(d, phi=False)
            return d
        with staged(place.folder, overwrite=place.overwrite, mark=RESULT_FILE) as stage:
            begin = time.perf_counter()
            self._write_images(stage, place, d)
            d["seconds"] = {**d.get("seconds", {}), "SaveStudy": round(time.perf_counter() - begin, 4)}
            d["result"] = self._record(d, phi=place.phi)
            if "report" in place.outputs:
                begin = time.perf_counter()
                write_report(stage / OUTPUTS["report"].file, d, d["result"], place.folder.name)
                d["result"]["seconds"]["Report"] = round(time.perf_counter() - begin, 4)
            (stage / RESULT_FILE).write_text(json.dumps(d["result"], indent=2, allow_nan=False) + "\n")
        return d

    def _record(self, study: Mapping[Hashable, Any], *, phi: bool) -> dict[str, Any]:
        return result_record(study, self.metadata, self.bundle, self.weights, phi=phi)

    def _write_images(self, stage: Path, place: ResultPlace, study: Mapping[Hashable, Any]) -> None:
        loaded: LoadedStudy = study["loaded"]
        files = {name: stage / OUTPUTS[name].file for name in place.outputs}
        mask = Volume(study["segmentation"].numpy()[0].astype(np.uint8), loaded.grid.affine)
        if "png" in files and loaded.pictures is not None:
            save_slices(stage, mask.array, loaded.pictures)
        if "nifti" in files:
            write_nifti(files["nifti"], mask, loaded.nifti_header)
        if "probability" in files:
            probability = Volume(study["pred"].numpy()[0].astype(np.float32), loaded.grid.affine)
            write_nifti(files["probability"], probability, loaded.nifti_header)
        if "dicom-seg" in files and mask.array.any():
            save_seg(files["dicom-seg"], mask, study, self.bundle, self.metadata, self.weights)
