"""A bundle's chain, built once, through which studies go one after the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scanweave.pipeline.bundle import build_evaluator, find_bundle
from scanweave.pipeline.computed import Computed, Heard, VolumeNetwork
from scanweave.pipeline.network_settings import expanded
from scanweave.pipeline.progress import Progress, silent
from scanweave.pipeline.reserve_result import ResultWish
from scanweave.pipeline.segment_settings import SegmentSettings, overrides_of
from scanweave.pipeline.segmented import SegmentedStudy, segmented_study
from scanweave.transforms.image import Image
from scanweave.transforms.io.find_study import StudyRequest


class Segmenter:
    """Segments studies with one network, loaded at the first; results go below `out`, or nowhere.

    `network` computes instead of the bundle's own, in another process for example. Raises as `segment`.
    """

    def __init__(
        self, settings: SegmentSettings, out: Path | None = None, network: VolumeNetwork | None = None
    ) -> None:
        overrides = {**overrides_of(settings), "dataset::data": [], "output_dir": out}
        if network is not None:
            overrides["network"] = network
        self._evaluator = build_evaluator(find_bundle(expanded(settings.bundle)), overrides)

    @property
    def inference(self) -> Callable[[Image, Heard | None], Computed]:
        """The network over one volume in model space, as the chain calls it."""
        return self._evaluator.inference

    def __call__(
        self, request: StudyRequest, wish: ResultWish | None = None, progress: Progress = silent
    ) -> SegmentedStudy:
        """Segment one study; `wish` names its folder, and what else a batch wants."""
        item = {"study": request} if wish is None else {"study": request, "wish": wish}
        return segmented_study(self._evaluator.segment(item, progress))
