"""How a study is segmented, and what of it goes into a bundle's configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scanweave.pipeline.network_settings import NetworkSettings, network_overrides


@dataclass(frozen=True)
class SegmentSettings(NetworkSettings):
    """How a study is segmented: how the network runs (`NetworkSettings`), and what is written.

    Attributes
    ----------
    outputs
        The files to write, "nifti,probability" or a sequence of names; without an output folder none is.
    seg_all_frames
        Whether each DICOM-SEG has a frame for every slice of the FLAIR, or for those alone that hold something; None is
        the bundle's own choice.
    phi
        Whether the names and files of a result may hold UIDs instead of keyed hashes.
    """

    outputs: str | Sequence[str] | None = None
    seg_all_frames: bool | None = None
    phi: bool = False


def overrides_of(settings: SegmentSettings) -> dict[str, Any]:
    """The configuration's entries that `settings` decide; raises as `network_overrides`."""
    from scanweave.pipeline.outputs import parse_outputs

    outputs = parse_outputs(settings.outputs)  # a mistyped word is told before torch is loaded
    overrides: dict[str, Any] = {"outputs": outputs, "phi": settings.phi, **network_overrides(settings)}
    if settings.seg_all_frames is not None:
        overrides["seg_all_frames"] = settings.seg_all_frames
    return overrides
