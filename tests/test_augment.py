"""Augmentation: labels follow images, the reference stays, each change is what its name says and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from scanweave.pipeline.training.augment.augment import Augment
from scanweave.pipeline.training.augment.chance import Chance
from scanweave.pipeline.training.augment.intensity import LEAST_SIGNAL, change_intensity
from scanweave.pipeline.training.augment.placement import between_slices, place
from scanweave.pipeline.training.augment.settings import AugmentSettings
from scanweave.pipeline.training.slices import Sample
from scanweave.transforms.image import Image
from scanweave.transforms.zscore_volume import ZScoreVolumed

SIZE, REFERENCE, CHANNELS = 64, 1, 3
STILL = AugmentSettings(
    rotation=0, zoom=(1, 1), stretch=0, shift=0, p_mirror=0, p_upside_down=0, p_elastic=0, elastic=0,
    p_misregistered=0, misregistration=0, misrotation=0, slice_shift=0, p_gamma=0, gamma=0, p_bias=0, bias=0,
    p_blur=0, blur=0, p_coarse=0, coarse=1, p_noise=0, noise=0, gain=0, offset=0, p_missing=0, p_alone=0,
)  # fmt: skip
"""Nothing happens."""
APART = {"p_misregistered": 1.0, "misregistration": 4.0, "misrotation": 8.0}
GEOMETRY: dict[str, dict[str, Any]] = {
    "rotation": {"rotation": 40.0},
    "zoom in": {"zoom": (1.3, 1.4)},
    "zoom out": {"zoom": (0.6, 0.7)},
    "stretch": {"stretch": 0.2},
    "shift": {"shift": 8.0},
    "mirror": {"p_mirror": 1.0},
    "upside down": {"p_upside_down": 1.0},
    "elastic": {"p_elastic": 1.0, "elastic": 3.0},
}
WINDOWS = [((SIZE, SIZE), 1.0), ((SIZE // 2, SIZE // 2), 2.0), ((SIZE, SIZE - 16), 1.0), ((SIZE // 2 - 4, 32), 2.0)]


def head(count: int = 4, side: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    """(count, C, 3, SIZE, SIZE) in 0..1 of an ellipse that lies skew, with texture and a bright square off its centre;
    and the square as a label (count, SIZE, SIZE). The slices are alike."""
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    inside = ((y - 32) / 22) ** 2 + ((x - 31) / 17) ** 2 < 1
    texture = torch.stack([0.35 + 0.1 * torch.sin(y / (3 + c)) * torch.cos(x / (4 - c)) for c in range(CHANNELS)])
    label = torch.zeros(SIZE, SIZE, dtype=torch.uint8)
    label[20 : 20 + side, 35 : 35 + side] = 1
    plane = torch.where(label.bool(), 1.0, texture) * inside
    return plane[None, :, None].expand(count, -1, 3, -1, -1).clone(), label.expand(count, -1, -1).clone()


def batch(count: int = 4) -> Sample:
    """The heads as the chain leaves a volume of such slices."""
    slab, label = head(count)
    volume = Image(slab[0].movedim(1, -1).numpy().copy(), np.eye(4))
    plane = torch.from_numpy(ZScoreVolumed(lower=0, upper=100)({"image": volume})["image"].array)[..., 1].half()
    low, high = plane.amin(dim=(1, 2)).float(), plane.amax(dim=(1, 2)).float()
    image = plane[None, :, None].expand(count, -1, 3, -1, -1).clone()
    return {"image": image, "label": label, "low": low.expand(count, -1), "high": high.expand(count, -1)}


def augmented(how: AugmentSettings, size: tuple[int, int] = (SIZE, SIZE), pixel: float = 1.0, seed: int = 1,
              sample: Sample | None = None) -> tuple[torch.Tensor, torch.Tensor]:  # fmt: skip
    return Augment(how, REFERENCE)(sample or batch(), size, pixel, seed)


def seen(plane: torch.Tensor, size: tuple[int, int], pixel: float) -> torch.Tensor:
    """The part of (.., SIZE, SIZE) that a window shows."""
    if pixel >= 2:
        plane = functional.avg_pool2d(plane, int(pixel))
    rows, columns = ((have - want) // 2 for have, want in zip(plane.shape[-2:], size, strict=True))
    return plane[..., rows : rows + size[0], columns : columns + size[1]]


def changed(how: AugmentSettings, image: torch.Tensor, pixel: float = 1.0, seed: int = 1) -> torch.Tensor:
    return change_intensity(image, pixel, how, Chance(seed, len(image), image.device))


# --- nothing happens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "pixel"), WINDOWS)
def test_without_any_change_the_slice_comes_back(size: tuple[int, int], pixel: float) -> None:
    sample = batch()
    sample["image"][:, :, 0] += 1  # neighbours, of which nothing may be seen
    sample["image"][:, :, 2] -= 1
    image, label = augmented(STILL, size, pixel, sample=sample)
    assert image.dtype == label.dtype == torch.float32
    assert torch.allclose(image, seen(sample["image"][:, :, 1].float(), size, pixel), atol=1e-4)
    assert torch.equal(label[:, 0], (seen(sample["label"].float(), size, pixel) > 0.5).float())


def test_the_batch_itself_is_not_changed() -> None:
    sample = batch()
    before = {key: value.clone() for key, value in sample.items()}
    augmented(AugmentSettings(), sample=sample)
    assert all(torch.equal(sample[key], before[key]) for key in before)


# --- chance ---------------------------------------------------------------------------------------------------------


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**40))
def test_a_seed_decides_everything(seed: int) -> None:
    how = AugmentSettings()
    first = augmented(how, seed=seed)
    torch.rand(3)
    augmented(how, seed=seed + 1)
    again, other = augmented(how, seed=seed), augmented(how, seed=seed + 1)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert torch.isfinite(first[0]).all() and set(first[1].unique().tolist()) <= {0.0, 1.0}


def test_samples_of_a_batch_differ() -> None:
    image, _ = augmented(AugmentSettings())
    assert all(not torch.equal(image[0], one) for one in image[1:])


def test_how_often_and_how_far() -> None:
    chance = Chance(0, 20_000, torch.device("cpu"))
    assert chance.happens(0.3).mean() == pytest.approx(0.3, abs=0.02)
    even = chance.uniform(-2, 4)
    assert (even.min(), even.max(), even.mean()) == pytest.approx((-2, 4, 1), abs=0.1)
    normal = chance.normal(0.5)
    assert normal.abs().max() == 1.0, "cut at two deviations"
    assert normal.std() == pytest.approx(0.48, abs=0.02)


# --- where things lie -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "pixel"), WINDOWS)
@pytest.mark.parametrize("change", GEOMETRY.values(), ids=GEOMETRY.keys())
def test_the_label_follows_the_image(change: dict[str, Any], size: tuple[int, int], pixel: float) -> None:
    """The square is the only thing above 0.75: where the image shows it, there the label has to be."""
    slab, label = head(side=11)
    chance = Chance(3, len(slab), slab.device)
    plane = functional.avg_pool2d(slab[:, :, 1], int(pixel)) if pixel >= 2 else slab[:, :, 1]
    image, found = place(plane, label, size, pixel, REFERENCE, replace(STILL, **change), chance)
    for channel in range(CHANNELS):
        shown = image[:, channel] > 0.7
        common = 2 * (shown & (found > 0)).sum(dim=(1, 2)) / (shown.sum(dim=(1, 2)) + found.sum(dim=(1, 2)))
        assert shown.any() and common.min() > (0.9 if pixel < 2 else 0.8), common
    still = seen(label.float(), size, pixel) > 0.5
    assert not torch.equal(found > 0, still), "nothing moved"


@pytest.mark.parametrize(("change", "axis"), [("p_mirror", -1), ("p_upside_down", -2)])
def test_mirrors_are_exact(change: str, axis: int) -> None:
    sample = batch()
    image, label = augmented(replace(STILL, **{change: 1.0}), sample=sample)
    assert torch.allclose(image, sample["image"][:, :, 1].float().flip(axis), atol=1e-3)
    assert torch.equal(label[:, 0], sample["label"].float().flip(axis))


def test_zoom_is_the_size_of_the_head() -> None:
    """At 0.5 the square has a quarter of its area, at 2 (here nothing leaves the window) four times."""
    label = augmented(replace(STILL, zoom=(0.5, 0.5)))[1]
    assert label.sum(dim=(1, 2, 3)).tolist() == pytest.approx([81 / 4] * 4, rel=0.3)
    wide = augmented(replace(STILL, zoom=(1.25, 1.25)))[1]
    assert wide.sum(dim=(1, 2, 3)).tolist() == pytest.approx([81 * 1.25**2] * 4, rel=0.15)


def test_stretch_keeps_the_area() -> None:
    label = augmented(replace(STILL, stretch=0.3))[1][:, 0]
    sides = torch.stack((label.amax(dim=2).sum(dim=1), label.amax(dim=1).sum(dim=1)))
    assert (sides[0] != sides[1]).any()
    assert label.sum(dim=(1, 2)).tolist() == pytest.approx([81] * 4, rel=0.2)


def test_misregistration_moves_the_others_and_never_the_reference() -> None:
    still, label = augmented(STILL)
    image, followed = augmented(replace(STILL, **APART))
    assert torch.equal(image[:, REFERENCE], still[:, REFERENCE])
    assert torch.equal(followed, label)
    for channel in {*range(CHANNELS)} - {REFERENCE}:
        apart = (image[:, channel] - still[:, channel]).abs().amax(dim=(1, 2))
        assert apart.min() > 0.5
    assert not torch.allclose(image[:, 0] - still[:, 0], image[:, 2] - still[:, 2], atol=0.1), "each on its own"


def test_series_shifted_through_the_slice_are_mixed_with_their_neighbours() -> None:
    slab = torch.zeros(500, CHANNELS, 3, 2, 2)
    slab[:, :, 0], slab[:, :, 1], slab[:, :, 2] = 1.0, 2.0, 3.0
    how = replace(STILL, p_misregistered=1.0, slice_shift=0.3)
    planes = between_slices(slab, REFERENCE, how, Chance(0, len(slab), slab.device))
    assert (planes[:, REFERENCE] == 2).all()
    shift = planes[:, 0, 0, 0] - 2
    assert shift.std() == pytest.approx(0.29, abs=0.03)
    assert shift.abs().max() <= 0.6 + 1e-6
    assert torch.equal(planes[:, 0, 0, 0], planes[:, 0, 1, 1])


def test_what_leaves_the_window_leaves_background() -> None:
    sample = batch()
    image, _ = augmented(replace(STILL, zoom=(0.5, 0.5)), sample=sample)
    corner = image[:, :, 0, 0]
    assert torch.allclose(corner, image.amin(dim=(2, 3)))


# --- how bright -----------------------------------------------------------------------------------------------------


def test_blur_keeps_the_sum_and_smooths() -> None:
    image = torch.zeros(6, CHANNELS, 24, 24)
    image[:, :, 12, 12] = 1.0
    blurred = changed(replace(STILL, p_blur=1.0, blur=1.2), image)
    assert torch.allclose(blurred.sum(dim=(2, 3)), image.sum(dim=(2, 3)), atol=1e-4)
    assert (blurred <= 1).all() and blurred[:, :, 12, 12].min() < 0.4
    assert torch.allclose(blurred, blurred.flip(2).roll(1, 2), atol=1e-6), "the centre stays where it was"
    assert torch.allclose(blurred[:, :1], blurred, atol=1e-6), "all series alike"
    assert len(blurred[:, 0, 12, 12].unique()) == 6, "each sample by its own width"


def test_blur_is_in_pixels_of_the_model_space() -> None:
    image = torch.zeros(1, 1, 24, 24)
    image[:, :, 12, 12] = 1.0
    how = replace(STILL, p_blur=1.0, blur=1.2)
    fine, coarse = (changed(how, image, pixel)[0, 0, 12, 12] for pixel in (1.0, 2.0))
    assert fine < coarse, "a coarse pixel is wider"


def test_low_resolution_is_along_one_axis_and_keeps_the_sum() -> None:
    image = torch.zeros(4, CHANNELS, 32, 32)
    image[:, :, 10:22, 10:22] = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    for seed in range(4):
        low = changed(replace(STILL, p_coarse=1.0, coarse=3.0), image, seed=seed)
        assert low.sum(dim=(2, 3)) == pytest.approx(image.sum(dim=(2, 3)), rel=0.03)
        rough = [float((low.diff(dim=axis) ** 2).sum() / (image.diff(dim=axis) ** 2).sum()) for axis in (2, 3)]
        assert min(rough) < 0.8 and not torch.equal(low, image)
        profiles = [torch.allclose(low.sum(dim=axis), image.sum(dim=axis), atol=1e-3) for axis in (2, 3)]
        assert sorted(profiles) == [False, True], "sums along the coarse axis alone stay as they are"


def test_noise_leaves_the_background() -> None:
    image = head()[0][:, :, 1]
    noisy = changed(replace(STILL, p_noise=1.0, noise=0.05), image)
    background = image <= LEAST_SIGNAL
    assert background.any() and torch.equal(noisy[background], image[background])
    assert (noisy >= 0).all()
    added = (noisy - image)[~background]
    assert 0.005 < added.std() < 0.05 and abs(added.mean()) < 0.005


def test_gamma_keeps_order_and_ends() -> None:
    ramp = torch.linspace(0, 1, 16).expand(8, CHANNELS, 2, 16).clone()
    bent = changed(replace(STILL, p_gamma=1.0, gamma=0.3), ramp)
    assert torch.equal(bent[..., 0], ramp[..., 0]) and torch.allclose(bent[..., -1], ramp[..., -1])
    assert (bent.diff(dim=-1) > 0).all()
    assert (bent[:, 0] - bent[:, 1]).abs().amax(dim=(1, 2)).min() > 1e-4, "each series by its own exponent"
    middle = bent[..., 8]
    assert (middle > ramp[..., 8]).any() and (middle < ramp[..., 8]).any()


def test_bias_field_is_smooth_and_multiplies() -> None:
    how = replace(STILL, p_bias=1.0, bias=0.2)
    image = head()[0][:, :, 1]
    field = changed(how, torch.ones_like(image))
    assert torch.allclose(changed(how, image), image * field, atol=1e-6)
    assert field.std() > 0.05 and field.diff(dim=-1).abs().max() < 0.06
    assert (field.log().abs() < 0.8).all()


@pytest.mark.parametrize(
    "change",
    [{"p_gamma": 0.5, "gamma": 0.3}, {"p_bias": 0.5, "bias": 0.3}, {"p_blur": 0.5, "blur": 1.2},
     {"p_coarse": 0.5, "coarse": 3.0}, {"p_noise": 0.5, "noise": 0.1}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_samples_that_are_not_chosen_stay_as_they_are(change: dict[str, float]) -> None:
    image = head(count=64)[0][:, :1, 1]
    same = (changed(replace(STILL, **change), image) == image).flatten(1).all(dim=1)
    assert 16 < same.sum() < 48


@pytest.mark.parametrize("probability", ["p_missing", "p_alone"])
def test_a_missing_series_is_the_reference(probability: str) -> None:
    image, _ = augmented(replace(STILL, gain=0.1, offset=0.1, **{probability: 1.0}, **APART))
    for channel in range(CHANNELS):
        assert torch.equal(image[:, channel], image[:, REFERENCE])
    kept = augmented(STILL)[0]
    assert not torch.equal(kept[:, 0], kept[:, REFERENCE])


def test_some_samples_have_the_reference_alone() -> None:
    image, _ = augmented(replace(STILL, p_alone=0.5), sample=batch(count=64))
    like_reference = (image == image[:, REFERENCE : REFERENCE + 1]).flatten(2).all(dim=2)
    alone = like_reference.all(dim=1)
    assert 16 < alone.sum() < 48, "all other series of a sample together"
    assert torch.equal(like_reference.sum(dim=1) == 1, ~alone)


# --- the z-score after it -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixel", [1.0, 2.0])
@pytest.mark.parametrize(
    "change",
    [{"zoom": (0.8, 0.8)}, {"zoom": (1.2, 1.2)}, {"p_gamma": 1.0, "gamma": 0.3}, {"p_bias": 1.0, "bias": 0.3},
     {"p_blur": 1.0, "blur": 1.2}],
    ids=["smaller", "larger", "gamma", "bias", "blur"],
)  # fmt: skip
def test_zscore_is_that_of_the_changed_volume(change: dict[str, Any], pixel: float) -> None:
    """All slices of the volume are alike: one tells the truth about the whole, which has mean 0 and deviation 1.

    At half resolution the deviation is what averaging leaves of it, in the changed volume as in the other.
    """
    size = (int(SIZE / pixel),) * 2
    still, _ = augmented(STILL, size, pixel)
    image, _ = augmented(replace(STILL, **change), size, pixel)
    assert image.mean(dim=(2, 3)).abs().max() < 0.03
    spread = image.std(dim=(2, 3), correction=0) / still.std(dim=(2, 3), correction=0)
    assert spread.min() > 0.95 and spread.max() < 1.05, spread


def test_slices_that_show_nothing_keep_the_zscore() -> None:
    sample = batch()
    sample["image"] = sample["low"][:, :, None, None, None].expand_as(sample["image"]).half()
    image, _ = augmented(AugmentSettings(p_missing=0, p_alone=0, gain=0, offset=0), sample=sample)
    assert torch.allclose(image, sample["low"][..., None, None].expand_as(image), atol=0.02)
