"""An exported network over the slices of one volume: no PyTorch, no MONAI, a few slices' memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from scanweave.networks.onnx_network import OnnxNetwork
from scanweave.pipeline.computed import Computed, Heard, no_memory_left, not_finite, says_no_memory
from scanweave.pipeline.containers import SliceInferer
from scanweave.pipeline.device import CPU
from scanweave.transforms.image import Image

SLICE_AXIS = 2
"""Of model space (C, row, column, slice)."""


class SliceInference:
    """Runs `network` over slices as `inferer` says; a slice that shows nothing is not computed."""

    def __init__(self, network: OnnxNetwork, inferer: SliceInferer) -> None:
        self.network = network
        self.inferer = inferer

    def __call__(self, image: Image, progress: Heard | None = None) -> Computed:
        """Probabilities of the network's input (C, i, j, k).

        Raises
        ------
        EnvironmentFailure
            OUT_OF_MEMORY; NOT_FINITE_OUTPUT.
        ValueError
            For slices of another size than the inferer's.
        """
        if image.array.shape[1:3] != tuple(self.inferer.roi_size):
            raise ValueError(f"expected slices of {tuple(self.inferer.roi_size)}, got {image.array.shape[1:3]}")
        batch = self.inferer.sw_batch_size
        probabilities = np.zeros((1, *image.array.shape[1:]), dtype=np.float32)
        wanted = np.flatnonzero(shows_something(image.array))
        batches = [wanted[first : first + batch] for first in range(0, len(wanted), batch)]
        threads = ThreadPoolExecutor(max_workers=self.network.at_once)
        try:
            computed = threads.map(lambda numbers: self._probabilities(image, numbers), batches)
            for done, (numbers, found) in enumerate(zip(batches, computed, strict=True), start=1):
                if len(found) > len(probabilities):  # only its output tells how many segments a network has
                    probabilities = np.zeros((len(found), *image.array.shape[1:]), dtype=np.float32)
                probabilities[..., numbers] = found
                if progress is not None:
                    progress(done / len(batches))
        finally:
            threads.shutdown(cancel_futures=True)  # who stops a run does not wait for all its slices
        if not np.isfinite(probabilities).all():
            raise not_finite()
        network = self.network
        return Computed(image.with_array(probabilities), CPU, network.precision, network.runtime, network.mirror)

    def _probabilities(self, image: Image, numbers: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
        """(channel, row, column, slice) of the slices with these `numbers`."""
        try:
            found = self.network(np.moveaxis(image.array[..., numbers], -1, 0))
        except Exception as error:  # the runtimes' own types
            if says_no_memory(error):
                raise no_memory_left() from error
            raise
        return np.moveaxis(found, 0, -1)


def whole_slices(inferer: object) -> SliceInferer | None:
    """Ours like MONAI's where both do the same: take slices of model space (C, row, column, slice), each as a whole."""
    if type(inferer).__name__ != SliceInferer.__name__ or getattr(inferer, "spatial_dim", None) != SLICE_AXIS:
        return None
    found = SliceInferer(tuple(inferer.roi_size), int(inferer.sw_batch_size))  # type: ignore[attr-defined]
    return found if len(found.roi_size) == SLICE_AXIS else None


def shows_something(voxels: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(k) whether any channel of the slice differs anywhere from its first pixel: a section of the head always does."""
    flat: npt.NDArray[np.bool_] = (voxels != voxels[:, :1, :1]).any(axis=(0, 1, 2))
    return flat
