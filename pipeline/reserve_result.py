"""Before any work: is there a place for the results."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.pipeline.identity import pseudonym
from scanweave.pipeline.outputs import RESULT_FILE, outputs_for, parse_outputs
from scanweave.pipeline.result_folder import check_place
from scanweave.pipeline.switch import switch
from scanweave.transforms.io.files import nifti_stem
from scanweave.transforms.io.series import Series
from scanweave.transforms.io.slice_index import SOURCE as SLICES


@dataclass(frozen=True)
class ResultPlace:
    """Where one study's results go, and which; `fingerprint` is what result.json says they were made from.

    `predecessor` is the SR of an earlier result, which the new one names.
    """

    folder: Path
    outputs: tuple[str, ...]
    overwrite: bool
    phi: bool
    fingerprint: str = ""
    predecessor: Path | None = None


@dataclass(frozen=True)
class ResultWish:
    """What a batch says of one study's results: their folder's name, whether they replace others, and a fingerprint.

    `predecessor` is as in `ResultPlace`.
    """

    name: str
    replace: bool
    fingerprint: str
    predecessor: Path | None = None


class ReserveResultd:
    """Name the study's folder and refuse, before any work, what could not be written later; adds `place`.

    The folder is `output_dir`/<NIfTI stem, name of the slices, or keyed hash of the StudyInstanceUID>. Without
    `output_dir` nothing will be written: the chain's caller takes the arrays. A batch's `wish` (`ResultWish`) comes
    first, and has a thumbnail made.
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
        self.overwrite = switch("overwrite", overwrite)
        self.phi = switch("phi", phi)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        if self.output_dir is not None:
            reference: Series = d["loaded"].reference
            wish: ResultWish | None = d.get("wish")
            outputs = outputs_for(reference.source, self.outputs)
            if wish is None:
                folder = self.output_dir / study_name(reference, phi=self.phi)
                place = ResultPlace(folder, outputs, self.overwrite, self.phi)
            else:
                outputs = tuple(dict.fromkeys((*outputs, "thumbnail")))
                overwrite = self.overwrite or wish.replace
                folder = self.output_dir / wish.name
                place = ResultPlace(folder, outputs, overwrite, self.phi, wish.fingerprint, wish.predecessor)
            check_place(place.folder, overwrite=place.overwrite, mark=RESULT_FILE)
            d["place"] = place
        return d


def study_name(reference: Series, *, phi: bool) -> str:
    """The name of a study's folder."""
    if reference.source == "nifti":
        return nifti_stem(reference.files[0])
    if reference.source == SLICES:
        return reference.name
    return pseudonym(reference.study_uid, phi=phi)
