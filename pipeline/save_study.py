"""The last step of every chain: the results on disk, all or nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scanweave.networks.weights import Weights
from scanweave.pipeline.measurements import measure_study
from scanweave.pipeline.outputs import OUTPUTS, RESULT_FILE
from scanweave.pipeline.report.write_report import write_report
from scanweave.pipeline.reserve_result import ResultPlace
from scanweave.pipeline.result import result_record
from scanweave.pipeline.result_folder import staged
from scanweave.pipeline.save_sc import save_sc
from scanweave.pipeline.save_seg import SEG_OUTPUTS, probability_volumes, save_segs, seg_settings
from scanweave.pipeline.save_slices import save_slices
from scanweave.pipeline.save_sr import save_sr
from scanweave.pipeline.switch import switch
from scanweave.pipeline.thumbnail import write_thumbnail
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.nifti import write_nifti
from scanweave.transforms.io.seg_nrrd import write_seg_nrrd
from scanweave.transforms.load_study import LoadedStudy


class SaveStudyd:
    """Write what `place` asks for, all or nothing; adds `result`, the content of result.json.

    An empty mask has no DICOM-SEG: the standard wants at least one frame. With `seg_all_frames` every SEG has a frame
    for each slice of the reference, otherwise only for those that hold something.
    """

    def __init__(
        self,
        bundle: str | Path,
        metadata: Mapping[str, Any],
        weights: Weights,
        seg_all_frames: bool = False,
    ) -> None:
        self.bundle = Path(bundle).resolve().name
        self.metadata = metadata
        self.weights = weights
        self.seg_all_frames = switch("seg_all_frames", seg_all_frames)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        d["measurements"] = measure_study(d, len(self.metadata["segments"]))
        place: ResultPlace | None = d.get("place")
        if place is None:
            d["result"] = self._record(d, phi=False)
            return d
        with staged(place.folder, overwrite=place.overwrite, mark=RESULT_FILE) as stage:
            begin = time.perf_counter()
            self._write_images(stage, place, d)
            d["seconds"] = {**d.get("seconds", {}), "SaveStudy": round(time.perf_counter() - begin, 4)}
            d["result"] = self._record(d, phi=place.phi)
            if place.fingerprint:
                d["result"]["fingerprint"] = place.fingerprint
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
        mask = Volume(study["segmentation"].array[0].astype(np.uint8), loaded.grid.affine)
        if "png" in files and loaded.pictures is not None:
            save_slices(stage, mask.array, loaded.pictures, len(self.metadata["segments"]))
        if "nifti" in files:
            write_nifti(files["nifti"], mask, loaded.nifti_header)
        if "probability" in files:
            write_nifti(files["probability"], probability_volumes(study), loaded.nifti_header)
        if "thumbnail" in files:
            write_thumbnail(files["thumbnail"], study)
        if files.keys() & {*SEG_OUTPUTS, "sr", "secondary-capture", "seg-nrrd"}:
            said = seg_settings(study, self.bundle, self.metadata, self.weights, all_frames=self.seg_all_frames)
            save_segs(files, mask, study, said)
            if "sr" in files:
                save_sr(files, study, said, place.predecessor)
            if "secondary-capture" in files:
                save_sc(files["secondary-capture"], mask, study, said)
            if "seg-nrrd" in files:
                write_seg_nrrd(files["seg-nrrd"], mask, said)
