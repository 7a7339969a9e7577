"""Windows over slices: whole-slice inference where one window covers the plane, and no edges between windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.inferers import SliceInferer

from scanweave.networks.bn_unet import BNUNet
from scanweave.pipeline.inference import Inference
from scanweave.pipeline.slice_windows import SliceWindows
from scanweave.transforms.image import Image

CPU = torch.device("cpu")


class Pixels(torch.nn.Module):
    """Two channels, each pixel and its half: what is around does not matter. Keeps the batches' shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(x.shape))
        return torch.cat([x, x / 2], dim=1)


def volume(rows: int, columns: int, slices: int) -> Image:
    voxels = np.random.default_rng(7).normal(size=(1, rows, columns, slices)).astype(np.float32)
    return Image(voxels, np.eye(4))


def test_one_window_is_the_whole_slice() -> None:
    torch.manual_seed(0)
    network, image = BNUNet(1, 2, 4).eval(), volume(64, 64, 3)
    windows = SliceWindows((64, 64), sw_batch_size=2, overlap=0.5, mode="gaussian")
    found = Inference(network, windows, CPU, "fp32")(image)
    expected = Inference(network, SliceInferer(spatial_dim=2, roi_size=(64, 64)), CPU, "fp32")(image)
    assert found.probabilities.array.shape == (2, 64, 64, 3)
    np.testing.assert_allclose(found.probabilities.array, expected.probabilities.array, rtol=0, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    slices=st.integers(1, 3),
    window=st.sampled_from([16, 32, (16, 48)]),
    overlap=st.sampled_from([0.0, 0.25, 0.5, (0.75, 0.1)]),
    batch=st.integers(1, 5),
)
def test_every_pixel_of_every_segment_is_where_it_was(
    rows: int, columns: int, slices: int, window: int | tuple[int, int], overlap: float, batch: int
) -> None:
    """Any plane, smaller than a window too; progress counts the windows, never more at a time than asked."""
    network, image, heard = Pixels(), volume(rows, columns, slices), []
    inferer = SliceWindows(window, sw_batch_size=batch, overlap=overlap, mode="gaussian")
    found = Inference(network, inferer, CPU, "fp32")(image, heard.append).probabilities.array
    for channel, factor in enumerate((1, 0.5)):
        np.testing.assert_allclose(found[channel], factor * image.array[0], rtol=0, atol=1e-5)
    total = inferer.windows((rows, columns, slices))
    assert sum(shape[0] for shape in network.seen) == total and max(shape[0] for shape in network.seen) <= batch
    assert heard == sorted(heard) and heard[-1] == 1 and len(heard) == -(-total // batch)


class Narrow(Pixels):
    """Has memory for two windows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if len(x) > 2:
            raise torch.OutOfMemoryError("test")
        return super().forward(x)


def test_fewer_windows_where_memory_ends() -> None:
    network, image = Narrow(), volume(40, 40, 3)
    inferer = SliceWindows((32, 32), sw_batch_size=9, overlap=0.5)
    found = Inference(network, inferer, CPU, "fp32")(image).probabilities.array
    np.testing.assert_allclose(found[0], image.array[0], rtol=0, atol=1e-6)
    assert {shape[2:] for shape in network.seen} == {(32, 32)} and inferer.sw_batch_size == 2


def test_what_is_no_volume_or_no_network_of_one_output() -> None:
    with pytest.raises(ValueError, match=r"expected one volume .* got \(2, 1, 8, 8, 1\)"):
        SliceWindows((8, 8))(torch.zeros(2, 1, 8, 8, 1), Pixels())
    with pytest.raises(TypeError, match="one output, got tuple"):
        SliceWindows((8, 8))(torch.zeros(1, 1, 8, 8, 1), lambda x: (x, x))
