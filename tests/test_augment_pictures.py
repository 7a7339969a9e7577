"""Pictures turned, mirrored and deformed: image, label and weight alike, and nothing from beyond the border."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scanweave.pipeline.training.augment.pictures import AugmentPictures, PictureSettings
from scanweave.pipeline.training.slices import Sample, SliceDataset
from scanweave.pipeline.training.volumes import TrainingVolume

PLAIN = PictureSettings(rotation=0.0, p_mirror=0.0, elastic=0.0, gain=0.0, offset=0.0)
MOVED = PictureSettings(gain=0.0, offset=0.0)


def batch_of(picture: torch.Tensor, label: torch.Tensor, weight: torch.Tensor | None = None, count: int = 1) -> Sample:
    """The picture (rows, columns) so many times, as the training's dataset gives it."""
    of_weight = None if weight is None else weight[None].half()
    volume = TrainingVolume("a", "a", picture[None, None].half(), label[None].to(torch.uint8), torch.zeros(1),
                            torch.ones(1), of_weight)  # fmt: skip
    sample = SliceDataset([volume])[0]
    return {key: torch.stack([value] * count) for key, value in sample.items()}


def blobs(rows: int = 96, columns: int = 128) -> torch.Tensor:
    """A mask of a few large parts that has no symmetry."""
    label = torch.zeros(rows, columns)
    label[10:40, 15:60] = label[50:90, 70:90] = label[20:30, 90:120] = 1
    return label


@pytest.mark.parametrize("seed", range(6))
def test_image_label_and_weight_move_together(seed: int) -> None:
    label = blobs()
    image, target = AugmentPictures(MOVED)(batch_of(label * 2 - 1, label, 1 + 9 * label), (112, 112), 1.0, seed)
    assert image.shape == (1, 1, 112, 112) and target.shape == (1, 2, 112, 112)
    inside = image[0, 0] > 0
    assert 0.02 < inside.float().mean() < 0.98
    assert (inside == (target[0, 0] > 0.5)).float().mean() > 0.995
    assert ((target[0, 1] > 5.5) == (target[0, 0] > 0.5)).float().mean() > 0.985
    assert set(target[0, 0].unique().tolist()) <= {0.0, 1.0}, "labels are not mixed"
    assert target[0, 1].min() > 0.999 and target[0, 1].max() < 10.001, "weights do not overshoot"


def test_without_changes_it_is_the_picture() -> None:
    picture = torch.rand(64, 80, generator=torch.Generator().manual_seed(1)).half().float()
    image, target = AugmentPictures(PLAIN)(batch_of(picture, blobs(64, 80)), (64, 80), 1.0, 7)
    torch.testing.assert_close(image[0, 0], picture, atol=2e-5, rtol=0)
    assert torch.equal(target[0, 0], blobs(64, 80)) and (target[0, 1] == 1).all(), "without weights all count alike"


def test_beyond_the_border_it_is_mirrored() -> None:
    picture = torch.rand(24, 32, generator=torch.Generator().manual_seed(2)).half().float()
    image, _ = AugmentPictures(PLAIN, margin=10)(batch_of(picture, blobs(24, 32)), (44, 52), 1.0, 3)
    expected = np.pad(picture.numpy(), 10, mode="reflect")
    np.testing.assert_allclose(image[0, 0].numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("settings", [PLAIN, replace(PLAIN, p_mirror=0.5)])
def test_what_the_network_answers_for_lies_inside(settings: PictureSettings) -> None:
    """Along a ramp the gray values rise, or fall, everywhere: where it is mirrored, they turn round."""
    down, across = torch.meshgrid(torch.arange(100.0), torch.arange(120.0), indexing="ij")
    middles = []
    for seed in range(40):
        both = []
        for ramp in (down, across):
            image, _ = AugmentPictures(settings, margin=20)(batch_of(ramp, blobs(100, 120)), (80, 80), 1.0, seed)
            both.append(image[0, 0, 20:-20, 20:-20])
        assert (both[0].diff(dim=0) > 0).all()
        assert len((both[1].diff(dim=1) > 0).unique()) == 1
        middles.append([float(part.mean()) for part in both])
    low, high = np.min(middles, axis=0), np.max(middles, axis=0)
    assert (low < (24, 24)).all() and (high > (75, 95)).all(), "from edge to edge"
    assert (low > 18).all() and (high < (81, 101)).all()


def test_each_of_a_batch_is_its_own_and_the_seed_decides() -> None:
    augment, batch = AugmentPictures(PictureSettings()), batch_of(blobs(), blobs(), count=3)
    first, again, other = (augment(batch, (64, 64), 1.0, seed)[0] for seed in (5, 5, 6))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1]) and not torch.equal(first[1], first[2])


def test_half_are_mirrored() -> None:
    """Of an L: where rotation alone decides, its corner always lies on the same hand."""
    corner = torch.zeros(96, 128)
    corner[20:76, 40:50] = corner[66:76, 40:90] = 1
    long, short = torch.zeros(96, 128), torch.zeros(96, 128)
    long[20:30, 40:50], short[66:76, 80:90] = 1, 1

    def handedness(settings: PictureSettings, seed: int) -> float:
        ends = []
        for part in (corner, long, short):
            image, _ = AugmentPictures(settings, margin=0)(batch_of(part, part), (128, 128), 1.0, seed)
            ends.append((image[0, 0] > 0.5).nonzero().float().mean(dim=0))
        a, b = ends[1] - ends[0], ends[2] - ends[0]
        return float(torch.sign(a[0] * b[1] - a[1] * b[0]))

    def count(p_mirror: float) -> int:
        settings = PictureSettings(p_mirror=p_mirror, elastic=0.0, gain=0.0, offset=0.0)
        return sum(handedness(settings, seed) > 0 for seed in range(30))

    never, always, half = count(0.0), count(1.0), count(0.5)
    assert {never, always} == {0, 30} and 7 < half < 23


def test_gray_values_change_as_far_as_told() -> None:
    picture = torch.ones(32, 32)
    settings = PictureSettings(rotation=0.0, p_mirror=0.0, elastic=0.0, gain=0.1, offset=0.3)
    found = torch.tensor([float(AugmentPictures(settings)(batch_of(picture, picture), (32, 32), 1.0, seed)[0].mean())
                          for seed in range(60)])  # fmt: skip
    assert 0.6 <= found.min() < 0.75 and 1.25 < found.max() <= 1.4
