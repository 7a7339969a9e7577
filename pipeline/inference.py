"""The network over one volume: on the device as long as its memory lasts, then in smaller batches, then on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from monai.data import MetaTensor
from monai.inferers import Inferer, SliceInferer, SlidingWindowInferer

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.pipeline.device import autocast_dtype, resolve_precision

CPU = torch.device("cpu")
_NO_MEMORY = ("not enough memory", "can't allocate memory", "alloc_failed", "out of memory", "failed to allocate")
"""How PyTorch's CPU allocator, cuBLAS and cuDNN word it in plain RuntimeErrors."""


@dataclass(frozen=True)
class Computed:
    """Probabilities (1, i, j, k), float32 on the CPU, and how they came about; `remarks` are worth a warning."""

    probabilities: MetaTensor
    device: torch.device
    precision: str
    batch: int | None
    remarks: tuple[str, ...] = ()


class Inference:
    """Runs a network through a MONAI inferer; the volume stays in main memory and windows travel to the device.

    An inferer that works in windows or slices is asked for smaller batches when the device runs out of
    memory, each half the last; when a single window is too much, the CPU takes over. What was learned holds for the
    studies that follow: the same batch would fail again.
    """

    def __init__(self, network: torch.nn.Module, inferer: Inferer, device: torch.device, precision: str) -> None:
        self.network = network
        self.inferer = inferer
        self.windows = inferer if isinstance(inferer, SlidingWindowInferer) else None
        self.device = device
        self.asked_precision = precision
        self.precision = resolve_precision(precision, device)
        self._place_windows()

    def __call__(self, image: MetaTensor, progress: Callable[[float], None] | None = None) -> Computed:
        """Probabilities of the network's input (C, i, j, k); `progress` hears the part done, 0..1.

        A network that overflows in half precision is run again in float32.

        Raises
        ------
        EnvironmentFailure
            OUT_OF_MEMORY where the CPU lacks it too; NOT_FINITE_OUTPUT, which must not pass for an empty mask.
        """
        remarks: list[str] = []
        while True:
            try:
                return self._in_precision(image, progress, remarks)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                failure = error
                _forget_frames(error)  # they hold the tensors that did not fit
            self._demand_less(failure, remarks)

    def _in_precision(
        self, image: MetaTensor, progress: Callable[[float], None] | None, remarks: list[str]
    ) -> Computed:
        for precision in dict.fromkeys((self.precision, "fp32")):
            probabilities = self._run(image, precision, progress)
            if torch.isfinite(probabilities).all():
                found = MetaTensor(probabilities, affine=image.affine)
                return Computed(found, self.device, precision, self._batch, tuple(remarks))
        message = "the network's output is not finite: its weights do not fit this input"
        raise EnvironmentFailure(Problem(Code.NOT_FINITE_OUTPUT, message))

    def _run(self, image: MetaTensor, precision: str, progress: Callable[[float], None] | None) -> torch.Tensor:
        dtype = autocast_dtype(precision)
        autocast = torch.autocast(self.device.type, dtype=dtype) if dtype else nullcontext()
        batch = image.as_tensor()[None]
        if self.windows is None:
            batch = batch.to(self.device)
        with torch.inference_mode(), autocast, self._counted(image, progress):
            probabilities = self.inferer(batch, self.network)
        return probabilities[0].float().cpu().clone()

    @contextmanager
    def _counted(self, image: MetaTensor, progress: Callable[[float], None] | None) -> Iterator[None]:
        """Tells `progress` of each batch of slices; other inferers do not say how many windows there will be."""
        if progress is None or not isinstance(self.inferer, SliceInferer):
            yield
            return
        total, done = image.shape[1 + self.inferer.spatial_dim], 0

        def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
            nonlocal done
            done += len(inputs[0])
            progress(min(done / total, 1.0))

        hook = self.network.register_forward_hook(count)
        try:
            yield
        finally:
            hook.remove()

    @property
    def _batch(self) -> int | None:
        return None if self.windows is None else int(self.windows.sw_batch_size)

    def _place_windows(self) -> None:
        """Windows on the device, the whole volume and its probabilities in main memory."""
        if self.windows is not None:
            self.windows.sw_device, self.windows.device = self.device, CPU

    def _demand_less(self, failure: RuntimeError, remarks: list[str]) -> None:
        if self.windows is not None and self.windows.sw_batch_size > 1:
            self.windows.sw_batch_size //= 2
        elif self.device.type != "cpu":
            remarks.append(f"the {self.device.type} device ran out of memory; the CPU took over")
            self.device, self.precision = CPU, resolve_precision(self.asked_precision, CPU)
            self.network.to(CPU)
            self._place_windows()
        else:
            message = "the machine has too little memory for the network on this volume"
            raise EnvironmentFailure(Problem(Code.OUT_OF_MEMORY, message)) from failure
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _forget_frames(error: BaseException | None) -> None:
    """Of the error and of those that it wraps."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def out_of_memory(error: BaseException | None) -> bool:
    """Whether PyTorch or a library below it lacked memory, though the error's type may not say so, or wraps it."""
    if error is None:
        return False
    text = str(error).lower()
    said = isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    return said or isinstance(error, torch.OutOfMemoryError) or out_of_memory(error.__cause__)
