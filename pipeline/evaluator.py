"""The engine of a bundle: each study through preprocessing, network and postprocessing, with the time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from monai.data import Dataset, MetaTensor
from monai.inferers import Inferer
from monai.transforms import Compose

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.device import autocast_dtype, choose_device, resolve_precision

Study = dict[str, Any]
"""What travels through the chain: MONAI's dictionary, keys as the transforms name them."""


class StudyEvaluator:
    """Runs the chain that a bundle's configuration names.

    Steps are called one by one, not through `Compose`, for two reasons: each one's seconds go to the results, and
    a refusal reaches the caller as it is, where MONAI would wrap it in a RuntimeError.
    """

    def __init__(
        self,
        dataset: Dataset,
        network: torch.nn.Module,
        inferer: Inferer,
        postprocessing: Compose,
        device: torch.device | str,
        precision: str = "auto",
    ) -> None:
        self.dataset = dataset
        self.network = network
        self.inferer = inferer
        self.postprocessing = postprocessing
        self.device = choose_device(device)
        self.precision = resolve_precision(precision, self.device)

    def run(self) -> list[Study]:
        """Every study of the dataset, in order; the first refusal ends the run."""
        return [self.segment(item) for item in self.dataset.data]

    def segment(self, item: Mapping[str, Any]) -> Study:
        """One study; `seconds` of each step lie in the result under the step's name."""
        study: Study = {**item, "seconds": {}}
        for step in _steps(self.dataset.transform):
            study = _timed(step, study)
        with _clock(study, "Infer"):
            study["pred"], precision = self.infer(study["image"])
        study["computed"] = {"device": self.device.type, "precision": precision}
        for step in _steps(self.postprocessing):
            study = _timed(step, study)
        return study

    def infer(self, image: MetaTensor) -> tuple[MetaTensor, str]:
        """Probabilities (1, i, j, k) of the network's input (C, i, j, k), in float32, and the precision that it took.

        A network that overflows in half precision is run again in float32.

        Raises
        ------
        EnvironmentFailure
            OUT_OF_MEMORY; NOT_FINITE_OUTPUT, which must not pass for an empty mask.
        """
        for precision in dict.fromkeys((self.precision, "fp32")):
            probabilities = self._run_network(image.as_tensor()[None].to(self.device), autocast_dtype(precision))
            if torch.isfinite(probabilities).all():
                return MetaTensor(probabilities, affine=image.affine), precision
        message = "the network's output is not finite: its weights do not fit this input"
        raise EnvironmentFailure(Problem(Code.NOT_FINITE_OUTPUT, message))

    def _run_network(self, batch: torch.Tensor, dtype: torch.dtype | None) -> torch.Tensor:
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
                probabilities = self.inferer(batch, self.network)
        except torch.OutOfMemoryError as error:
            message = "the device has too little memory for this volume; use --device cpu"
            raise EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message)) from error
        return probabilities[0].float().cpu().clone()


def _steps(compose: Compose) -> Iterator[Callable[[Study], Study]]:
    yield from compose.flatten().transforms


def _timed(step: Callable[[Study], Study], study: Study) -> Study:
    with _clock(study, type(step).__name__.removesuffix("d")):
        return step(study)


@contextmanager
def _clock(study: Study, name: str) -> Iterator[None]:
    """Adds the wall-clock seconds of its block to the study's; `seconds` is one dictionary all along."""
    begin = time.perf_counter()
    yield
    study["seconds"][name] = round(study["seconds"].get(name, 0.0) + time.perf_counter() - begin, 4)
