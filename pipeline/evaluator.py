"""The engine of a bundle: each study through preprocessing, network and postprocessing, with the time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from scanweave.networks.onnx_network import OnnxNetwork
from scanweave.networks.runtimes import Runnable
from scanweave.pipeline.chain import steps_of
from scanweave.pipeline.computed import Computed, Heard, VolumeNetwork
from scanweave.pipeline.containers import Compose, Dataset, SliceInferer, Step, Study
from scanweave.pipeline.device import choose_device
from scanweave.pipeline.progress import Progress, Stage, silent
from scanweave.pipeline.slice_inference import SliceInference, whole_slices
from scanweave.transforms.image import Image

if TYPE_CHECKING:
    from monai.inferers import Inferer

AnyInferer: TypeAlias = "Inferer | SliceInferer"


class StudyEvaluator:
    """Runs the chain that a bundle's configuration names.

    Each step's seconds go to the results, and whoever watches hears of each.
    """

    def __init__(
        self,
        dataset: Dataset,
        network: Runnable | VolumeNetwork,
        inferer: AnyInferer,
        postprocessing: Compose,
        device: str,
        precision: str = "auto",
    ) -> None:
        self.dataset = dataset
        self.postprocessing = postprocessing
        self.inference = _inference(network, inferer, choose_device(device), precision)

    def run(self, progress: Progress = silent) -> list[Study]:
        """Every study of the dataset, in order; the first refusal ends the run."""
        return [self.segment(item, progress) for item in self.dataset.data]

    def segment(self, item: Mapping[str, Any], progress: Progress = silent) -> Study:
        """One study; `seconds` of each step lie in the result under the step's name."""
        before, after = steps_of(self.dataset.transform), steps_of(self.postprocessing)
        steps = [*before, ("Infer", self._inferring(progress, len(before) + 1, len(before) + 1 + len(after))), *after]
        study: Study = {**item, "seconds": {}}
        for number, (name, step) in enumerate(steps, start=1):
            progress(Stage(name, number, len(steps)))
            with _clock(study, name):
                study = step(study)
        return study

    def _inferring(self, progress: Progress, number: int, count: int) -> Step:
        """The step of the network: `pred` (segments, i, j, k) from `image` (C, i, j, k)."""

        def infer(study: Study) -> Study:
            done = self.inference(study["image"], lambda part: progress(Stage("Infer", number, count, part)))
            device, _, _ = done.device.partition(":")
            computed = {"device": device, "precision": done.precision, "runtime": done.runtime}
            if done.mirror:
                computed["mirror"] = "averaged"
            remarks = (*study.get("remarks", ()), *done.remarks)
            return {**study, "pred": done.probabilities, "computed": computed, "remarks": remarks}

        return infer


def _inference(
    network: Runnable | VolumeNetwork, inferer: AnyInferer, device: str, precision: str
) -> Callable[[Image, Heard | None], Computed]:
    """PyTorch and MONAI are imported only where they compute."""
    if isinstance(network, VolumeNetwork):
        return network
    slices = whole_slices(inferer)
    if isinstance(network, OnnxNetwork) and slices is not None:
        return SliceInference(network, slices)
    from scanweave.pipeline.inference import Inference

    return Inference(network, inferer, device, precision)


@contextmanager
def _clock(study: Study, name: str) -> Iterator[None]:
    """Adds the wall-clock seconds of its block to the study's; `seconds` is one dictionary all along."""
    begin = time.perf_counter()
    yield
    study["seconds"][name] = round(study["seconds"].get(name, 0.0) + time.perf_counter() - begin, 4)
