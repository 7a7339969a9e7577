"""The network over one volume: on the device as long as its memory lasts, then in smaller batches, then on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from monai.inferers import Inferer, SliceInferer, SlidingWindowInferer

from scanweave.networks.choice import EAGER
from scanweave.networks.onnx_network import OnnxNetwork
from scanweave.networks.runtimes import Runnable
from scanweave.networks.trt import TrtNetwork
from scanweave.pipeline.computed import Computed, Heard, no_memory_left, not_finite, says_no_memory
from scanweave.pipeline.containers import SliceInferer as Slices
from scanweave.pipeline.device import autocast_dtype, resolve_precision
from scanweave.pipeline.overlap_tile import OverlapTile
from scanweave.pipeline.slice_windows import SliceWindows
from scanweave.transforms.image import Image

CPU = torch.device("cpu")


class Inference:
    """Runs a network through a MONAI inferer; the volume stays in main memory and windows travel to the device.

    An inferer that works in windows or slices is asked for smaller batches when the device runs out of
    memory, each half the last; when a single window is too much, the CPU takes over. What was learned holds for the
    studies that follow: the same batch would fail again.
    """

    def __init__(
        self, network: Runnable, inferer: Inferer | Slices, device: torch.device | str, precision: str
    ) -> None:
        self.network = _AsModule(network) if isinstance(network, OnnxNetwork) else network
        own = network if isinstance(network, OnnxNetwork | TrtNetwork) else None
        self.runtime = own.runtime if own else EAGER
        self.mirror = bool(getattr(network, "mirror", False))
        self.inferer = SliceInferer(**vars(inferer)) if isinstance(inferer, Slices) else inferer
        self.windows = self.inferer if isinstance(self.inferer, SlidingWindowInferer) else None
        self.device = torch.device(device)
        self.asked_precision = precision
        self.precision = own.precision if own else resolve_precision(precision, self.device)
        self._place_windows()

    def __call__(self, image: Image, progress: Heard | None = None) -> Computed:
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

    def _in_precision(self, image: Image, progress: Heard | None, remarks: list[str]) -> Computed:
        for precision in dict.fromkeys((self.precision, "fp32")):
            probabilities = self._run(image, precision, progress)
            if torch.isfinite(probabilities).all():
                found = image.with_array(probabilities.numpy())
                return Computed(found, str(self.device), precision, self.runtime, self.mirror, tuple(remarks))
        raise not_finite()

    def _run(self, image: Image, precision: str, progress: Heard | None) -> torch.Tensor:
        dtype = autocast_dtype(precision)
        autocast = torch.autocast(self.device.type, dtype=dtype) if dtype else nullcontext()
        batch = torch.from_numpy(image.array)[None]
        if self.windows is None:
            batch = batch.to(self.device)
        with torch.inference_mode(), autocast, self._counted(image, progress):
            probabilities = self.inferer(batch, self.network)
        return probabilities[0].float().cpu().clone()

    @contextmanager
    def _counted(self, image: Image, progress: Heard | None) -> Iterator[None]:
        """Tells `progress` of each batch of slices, tiles or windows; others do not say how many there will be."""
        total, done = self._total(image), 0
        if progress is None or total is None:
            yield
            return

        def count(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: object) -> None:
            nonlocal done
            done += len(inputs[0])
            progress(min(done / total, 1.0))

        hook = self.network.register_forward_hook(count)
        try:
            yield
        finally:
            hook.remove()

    def _total(self, image: Image) -> int | None:
        """How many slices, tiles or windows the network gets."""
        if isinstance(self.inferer, SliceInferer):
            return int(image.array.shape[1 + self.inferer.spatial_dim])
        if isinstance(self.inferer, OverlapTile | SliceWindows):
            return self.inferer.windows(image.array.shape[1:])
        return None

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
            raise no_memory_left() from failure
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
    return says_no_memory(error) or isinstance(error, torch.OutOfMemoryError) or out_of_memory(error.__cause__)


class _AsModule(torch.nn.Module):
    """An exported network for the inferers that work on tensors."""

    def __init__(self, network: OnnxNetwork) -> None:
        super().__init__()
        self.exported = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.exported(x.numpy()))
