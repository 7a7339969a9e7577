"""What comes back of one segmented study: arrays on the reference's own grid, and all that result.json says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scanweave.pipeline.inspection import series_by_role
from scanweave.pipeline.outputs import OUTPUTS, RESULT_FILE
from scanweave.pipeline.save_seg import probability_volumes
from scanweave.transforms.geometry import Volume
from scanweave.transforms.io.series import Series
from scanweave.transforms.selection.select import Selection

if TYPE_CHECKING:
    from scanweave.pipeline.reserve_result import ResultPlace
    from scanweave.transforms.keep_components import Components
    from scanweave.transforms.load_study import LoadedStudy
    from scanweave.transforms.rigid.estimate import RigidResult


@dataclass(frozen=True, eq=False, repr=False)
class SegmentedStudy:
    """One study's result, in memory and, where an output folder was named, on disk.

    Attributes
    ----------
    folder
        Where the files lie, `out`/<study>; None where nothing was written.
    files
        What was written, by the name of the output ("nifti", "dicom-seg", ..), and result.json as "result".
    mask
        uint8 (i, j, k), 0 background, n the bundle's n-th segment, from 1, on the FLAIR's own grid (the bundle's
        `reference`); `mask.affine` (4x4) takes voxel indices to RAS mm. Of 2-D slices (row, column, slice), with a
        nominal affine.
    probability
        float32 (i, j, k), 0..1, on the same grid: the network's answer before threshold and component rule; of several
        segments that of the likeliest.
    probabilities
        The same for each segment.
    selection
        Which series fills each role, with the evidence; `roles` is short for it.
    registration
        By role: `matrix_ras` (4x4, mm) takes a point of the FLAIR to the same point in that series, both RAS;
        `displacement_mm`, the mean over the head; figures of quality `before` and `after`; `flagged` and `flag_reason`.
    volume_ml
        The mask's volume in millilitres; None where the input says nothing of its spacing.
    components
        How many connected parts the mask had, how many stayed, and what was taken away.
    warnings
        What a reader must know, flags first. Empty is good.
    seconds
        Wall-clock time of each step.
    record
        All of it but the arrays, as result.json has it: series are named by file name or keyed hash, never by UID.
    """

    folder: Path | None
    files: Mapping[str, Path]
    mask: Volume
    probability: Volume
    probabilities: tuple[Volume, ...]
    selection: Selection
    registration: Mapping[str, RigidResult]
    volume_ml: float | None
    components: Components
    warnings: tuple[str, ...]
    seconds: Mapping[str, float]
    record: Mapping[str, Any]

    @property
    def roles(self) -> Mapping[str, Series]:
        """The roles that have a series of their own, and the series; the others were substituted, with a warning."""
        return series_by_role(self.selection)

    def __repr__(self) -> str:
        volume = "volume unknown" if self.volume_ml is None else f"{self.volume_ml:.2f} ml"
        where = f"in {self.folder}" if self.folder else "not written"
        shape = " x ".join(map(str, self.mask.array.shape))
        return f"<SegmentedStudy: {volume}, mask {shape}, {len(self.warnings)} warning(s), {where}>"


def segmented_study(study: Mapping[str, Any]) -> SegmentedStudy:
    """The result in what came out of the chain; arrays are shared with it, all else that it holds is let go."""
    loaded: LoadedStudy = study["loaded"]
    place: ResultPlace | None = study.get("place")
    record: Mapping[str, Any] = study["result"]
    probabilities = tuple(probability_volumes(study))
    likeliest = probabilities[0].array if len(probabilities) == 1 else study["pred"].array.max(axis=0)
    return SegmentedStudy(
        folder=place.folder if place else None,
        files=_files(place) if place else {},
        mask=Volume(study["segmentation"].array[0].astype(np.uint8, copy=False), loaded.grid.affine),
        probability=Volume(likeliest, loaded.grid.affine),
        probabilities=probabilities,
        selection=loaded.selection,
        registration=study.get("registration", {}),
        volume_ml=record["volume_ml"],
        components=study["components"],
        warnings=tuple(record["warnings"]),
        seconds=record["seconds"],
        record=record,
    )


def _files(place: ResultPlace) -> dict[str, Path]:
    """An output that a study does not give, the DICOM-SEG of an empty mask, is not there."""
    named = {name: place.folder / OUTPUTS[name].file for name in place.outputs}
    return {"result": place.folder / RESULT_FILE, **{name: path for name, path in named.items() if path.exists()}}
