"""Overlap-tile inference: equal to the whole image at once, for any size, with little memory."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scanweave.networks.unet_1505 import MARGIN, UNet1505, valid_size
from scanweave.pipeline.inference import Inference
from scanweave.pipeline.overlap_tile import STEP, OverlapTile
from scanweave.pipeline.training.learner import initial
from scanweave.transforms.image import Image

TO_SEE = 94
"""Pixels beyond a tile that the padded network's tiles depend on, as the docstring has it."""


def network(padded: bool = False, channels: int = 1, classes: int = 2, **how: bool) -> UNet1505:
    """With biases, and with batch statistics of its own features, as after a training."""
    made = initial(UNet1505(channels, classes, 2, padded, **how), None, seed=4)
    with torch.no_grad():
        for layer in made.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.momentum = None  # the mean over all batches
            if getattr(layer, "bias", None) is not None:
                layer.bias.add_(0.3)
        made(volume(224 if padded else 220, 224 if padded else 220, channels=channels)[..., 0])
    return made.eval()


def volume(rows: int, columns: int, slices: int = 1, channels: int = 1) -> torch.Tensor:
    return torch.randn(1, channels, rows, columns, slices, generator=torch.Generator().manual_seed(7))


def at_once(
    made: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, margin: int, padded: bool
) -> torch.Tensor:
    """Each slice whole: mirrored by the margin, and on the right and below by what a valid size needs beyond."""
    slices = []
    for plane in image[0].unbind(-1):
        rows, columns = plane.shape[1:]
        more = [valid_size(size + 2 * margin if padded else size, padded) - size - margin for size in (rows, columns)]
        pads = ((0, 0), (margin, more[0]), (margin, more[1]))
        found = made(torch.from_numpy(np.pad(plane.numpy(), pads, mode="reflect"))[None])[0]
        if padded:
            found = found[:, margin:, margin:]
        slices.append(found[:, :rows, :columns])
    return torch.stack(slices, dim=-1)[None]


SIDES = st.one_of(st.integers(1, 70), st.sampled_from([1, 2, 3, 15, 16, 17, 20, 21, 36, 37]))
TILES = {False: st.sampled_from([20, 36]), True: st.sampled_from([16, 32])}


@settings(max_examples=30, deadline=None)
@given(data=st.data(), padded=st.booleans(), rows=SIDES, columns=SIDES)
def test_it_is_the_whole_image_at_once(data: st.DataObject, padded: bool, rows: int, columns: int) -> None:
    """In double precision, in which nothing but a real difference is left."""
    made, image = network(padded).double(), volume(rows, columns).double()
    margin = 96 if padded else MARGIN
    size = (data.draw(TILES[padded]), data.draw(TILES[padded]))
    inferer = OverlapTile(size, margin, sw_batch_size=data.draw(st.integers(1, 3)))
    with torch.inference_mode():
        found, expected = inferer(image, made.logits), at_once(made.logits, image, margin, padded)
    assert found.shape == expected.shape and (expected != 0).any()
    assert (found - expected).abs().max() < 1e-9


@pytest.mark.parametrize(("padded", "batch_norm"), [(False, False), (False, True), (True, False), (True, True)])
@pytest.mark.parametrize("shape", [(97, 130, 2), (1, 61, 1)])
def test_as_bundles_use_it(padded: bool, batch_norm: bool, shape: tuple[int, int, int]) -> None:
    """In single precision, several slices, channels and classes."""
    made = network(padded, channels=2, classes=3, batch_norm=batch_norm)
    image = volume(*shape, channels=2)
    margin, tile = (96, 64) if padded else (MARGIN, 68)
    with torch.inference_mode():
        found = OverlapTile((tile, tile), margin, sw_batch_size=4)(image, made)
        expected = at_once(made, image, margin, padded)
    assert found.shape == (1, 2, *shape)
    assert (found - expected).abs().max() < 1e-5


def test_the_tile_does_not_matter() -> None:
    made, image = network(), volume(110, 90)
    with torch.inference_mode():
        found = [OverlapTile((size, size))(image, made) for size in (20, 52, 116)]
    assert (found[0] - found[1]).abs().max() < 1e-5 and (found[0] - found[2]).abs().max() < 1e-5


def test_a_padded_network_needs_its_margin() -> None:
    """The twin: at 94 nothing is missing, at 80, 14 less and as well aligned, the zeros around the tiles are seen."""
    made, image = network(padded=True).double(), volume(64, 64).double()
    with torch.inference_mode():
        differ = {}
        for margin in (96, 80):
            expected = at_once(made, image, 192, padded=True)
            tiles = OverlapTile((16, 16), margin)(image, made)
            differ[margin] = float((tiles - expected)[..., 16:48, 16:48, :].abs().max())
    assert differ[96] < 1e-9 < 1e-4 < differ[80]


def test_how_far_a_padded_network_sees() -> None:
    made = network(padded=True)
    image = torch.randn(1, 1, 320, 320, requires_grad=True)
    made.logits(image)[..., 144:160, 144:160].sum().backward()
    rows = image.grad[0, 0].abs().sum(dim=1).nonzero().flatten()
    assert 144 - int(rows.min()) <= TO_SEE <= OverlapTile((16, 16), 96).margin
    assert int(rows.max()) - 159 <= TO_SEE


def test_every_tile_begins_on_the_grid_of_the_poolings_and_none_is_too_many() -> None:
    for size in range(1, 700):
        for most in (16, 20, 36, 388):
            inferer = OverlapTile((most, most), margin=0)
            side, _ = inferer._sides((size, 1, 1))
            assert all(start % STEP == 0 for start in side.starts) and side.tile <= most
            assert (most - side.tile) % STEP == 0 and side.tile > 0
            covered = set()
            for start in side.starts:
                covered |= set(range(start, start + side.tile))
            assert covered >= set(range(size))
            assert side.starts[-1] < size  # the last has a pixel of its own to give
            assert inferer.windows((size, 1, 3)) == 3 * len(side.starts)


class Counting(torch.nn.Module):
    """Keeps the shapes of what it was given; the middle of it is what it makes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(x.shape))
        return x[..., MARGIN:-MARGIN, MARGIN:-MARGIN]


def test_never_more_tiles_at_a_time_than_asked() -> None:
    counting, image = Counting(), volume(300, 50, 3)
    found = OverlapTile((148, 148), sw_batch_size=2)(image, counting)
    assert torch.equal(found, image)
    batches = [shape[0] for shape in counting.seen]
    assert max(batches) == 2 and sum(batches) == 9
    assert {shape[1:] for shape in counting.seen} == {(1, 116 + 2 * MARGIN, 52 + 2 * MARGIN)}


def test_progress_counts_tiles() -> None:
    heard: list[float] = []
    image = Image(volume(70, 40, 3)[0].numpy(), np.eye(4))
    inferer = OverlapTile((36, 36), sw_batch_size=3)
    done = Inference(network(), inferer, torch.device("cpu"), "fp32")(image, heard.append)
    with torch.inference_mode():
        expected = inferer(torch.from_numpy(image.array)[None], network())[0]
    assert np.array_equal(done.probabilities.array, expected.numpy())
    total = inferer.windows((70, 40, 3))
    assert heard == [pytest.approx(min(3 * number / total, 1)) for number in range(1, -(-total // 3) + 1)]
    assert heard[-1] == 1


@pytest.mark.parametrize("how", [{"roi_size": (8, 388)}, {"roi_size": (388,)}, {"margin": -1}, {"sw_batch_size": 0}])
def test_settings_that_cannot_work_are_refused(how: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        OverlapTile(**how)


def test_other_networks_and_volumes_are_refused() -> None:
    image = volume(40, 40)
    with pytest.raises(ValueError, match=r"make \(52, 52\) .* 92 pixels around it.* got \(118, 118\)"):
        OverlapTile()(image, torch.nn.MaxPool2d(2))
    with pytest.raises(ValueError, match=r"expected one volume .* got \(2, 1, 40, 40, 1\)"):
        OverlapTile()(image.expand(2, -1, -1, -1, -1), network())


def test_the_volume_is_not_changed() -> None:
    image = volume(30, 20)
    before = image.clone()
    with torch.inference_mode():
        OverlapTile((20, 20))(image, network())
    assert torch.equal(image, before)
