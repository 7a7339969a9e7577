"""Elastic deformation: the paper's displacements, smooth, and labels that follow the image and stay labels."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scanweave.pipeline.training.augment.elastic import NODES, displacements, sample_mirrored

MODES = ["nearest", "bilinear", "bicubic"]


def numbers(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def deform(image: torch.Tensor, field: torch.Tensor, mode: str = "bicubic") -> torch.Tensor:
    """Each pixel from where the field says."""
    y, x = torch.meshgrid(*(torch.arange(n) for n in image.shape[2:]), indexing="ij")
    return sample_mirrored(image, torch.stack((x, y), dim=-1) + field.permute(0, 2, 3, 1), mode)


def picture(rows: int, columns: int, channels: int = 1, count: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, rows, columns, generator=numbers(9))


# --- displacements --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deviation", [10.0, 3.0])
def test_the_deviation_at_the_nodes(deviation: float) -> None:
    """Nodes lie on the borders and in the middle; there the interpolation gives what was drawn."""
    field = displacements((41, 61), 2000, numbers(), deviation)
    nodes = field[:, :, ::20, ::30]
    assert nodes.shape == (2000, 2, NODES, NODES)
    spread = 5 * deviation / math.sqrt(2 * 2000)
    assert (nodes.std(dim=0) - deviation).abs().max() < spread
    assert nodes.mean(dim=0).abs().max() < 5 * deviation / math.sqrt(2000)
    flat = nodes.flatten(1).T
    apart = torch.corrcoef(flat) - torch.eye(len(flat))
    assert apart.abs().max() < 5 / math.sqrt(2000)  # drawn one by one, x and y as well


def test_nothing_is_cut_off() -> None:
    """A normal deviation, unlike that of the other augmentations."""
    assert displacements((3, 3), 2000, numbers(), 1.0).abs().max() > 3.5


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(2, 300), columns=st.integers(2, 300), seed=st.integers(0, 2**40))
def test_displacements_are_smooth(rows: int, columns: int, seed: int) -> None:
    """From one pixel to the next no more than the slope of the interpolation allows."""
    field = displacements((rows, columns), 1, numbers(seed), 1.0)
    assert field.shape == (1, 2, rows, columns)
    coarse = torch.randn(1, 2, NODES, NODES, generator=numbers(seed))
    range_ = float(coarse.max() - coarse.min())
    for axis, length in ((2, rows), (3, columns)):
        assert field.diff(dim=axis).abs().max() <= 2 * range_ * (NODES - 1) / (length - 1) + 1e-5
        if length > 16:  # no edge where two pieces of the interpolation meet
            bend = field.diff(dim=axis).diff(dim=axis).abs().max()
            assert bend <= 12 * range_ * ((NODES - 1) / (length - 1)) ** 2 + 1e-5


def test_the_generator_decides() -> None:
    first = displacements((20, 30), 2, numbers(4))
    torch.rand(5)
    assert torch.equal(first, displacements((20, 30), 2, numbers(4)))
    assert not torch.equal(first, displacements((20, 30), 2, numbers(5)))
    assert not torch.equal(first[0], first[1])


# --- images and labels ----------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40), mode=st.sampled_from(MODES))
def test_without_displacement_nothing_changes(rows: int, columns: int, mode: str) -> None:
    image = picture(rows, columns, channels=2, count=2)
    field = displacements((rows, columns), 2, numbers(), deviation=0.0)
    assert torch.allclose(deform(image, field, mode), image, atol=2e-5)
    if mode == "nearest":
        assert torch.equal(deform(image, field, mode), image)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, -2), (-4, 5)])
def test_whole_pixels_along_x_and_y(mode: str, right: int, down: int) -> None:
    """Inside, the content of the pixel that far away; beyond the border, the mirror image without the border pixel."""
    image = picture(12, 15)
    field = torch.tensor([right, down], dtype=torch.float32)[None, :, None, None].expand(1, 2, 12, 15)
    padded = torch.nn.functional.pad(image, (5, 5, 5, 5), mode="reflect")
    expected = padded[..., 5 + down : 17 + down, 5 + right : 20 + right]
    assert torch.allclose(deform(image, field, mode), expected, atol=1e-4)


def test_each_sample_and_pixel_has_its_own_displacement() -> None:
    """Against SciPy's interpolation at the same places."""
    image, field = picture(40, 50, count=2), displacements((40, 50), 2, numbers(1), 4.0)
    found = deform(image, field, "bilinear")
    for sample, moved, result in zip(image[:, 0], field, found[:, 0], strict=True):
        rows, columns = torch.meshgrid(torch.arange(40), torch.arange(50), indexing="ij")
        places = [(rows + moved[1]).numpy(), (columns + moved[0]).numpy()]
        expected = ndimage.map_coordinates(sample.numpy(), places, order=1, mode="mirror")
        assert torch.allclose(result, torch.from_numpy(expected), atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_labels_stay_labels_and_follow_the_image(seed: int) -> None:
    image = torch.zeros(1, 1, 64, 64)
    image[..., 20:44, 16:50] = 200.0
    image[..., 30:36, 30:40] = 7.0
    field = displacements((64, 64), 1, numbers(seed), 6.0)
    label, smooth = deform(image, field, "nearest"), deform(image, field, "bilinear")
    assert set(label.unique().tolist()) == {0.0, 7.0, 200.0}
    assert not torch.equal(label, image)
    alike = (label - smooth).abs() < 1
    assert alike.float().mean() > 0.8  # all but the outlines


def test_arguments_are_not_changed() -> None:
    image, field = picture(20, 20), displacements((20, 20), 1, numbers())
    before = image.clone(), field.clone()
    deform(image, field)
    assert torch.equal(image, before[0]) and torch.equal(field, before[1])
