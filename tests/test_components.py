"""Which parts of a mask stay, and that what goes is counted."""

import numpy as np
import pytest

from scanweave.errors import UsageError
from scanweave.transforms.geometry import Volume
from scanweave.transforms.image import Image
from scanweave.transforms.keep_components import RULES, KeepComponentsd


def blobs() -> Volume:
    mask = np.zeros((20, 20, 10), dtype=np.uint8)
    mask[2:6, 2:6, 2:6] = 1  # 64 voxels
    mask[6, 6, 6] = 1  # touches it by a corner
    mask[12:15, 12:15, 4:6] = 1  # 18 voxels apart
    return Volume(mask, np.diag([2.0, 2.0, 5.0, 1.0]))


def test_largest_keeps_what_touches_by_a_corner_and_counts_the_rest() -> None:
    volume = blobs()
    data = KeepComponentsd(keep="largest")({"segmentation": Image.of(volume)})
    kept, record = data["segmentation"].array[0], data["components"]
    assert kept.sum() == 65 and kept[6, 6, 6] == 1 and kept[13, 13, 5] == 0
    assert (record.count, record.kept) == (2, 1)
    assert record.kept_ml == pytest.approx(65 * 0.02) and record.discarded_ml == pytest.approx(18 * 0.02)
    assert record.discarded_fraction == pytest.approx(18 / 83)
    assert volume.array.sum() == 83, "the input was changed"


def test_all_keeps_everything_and_an_empty_mask_stays_empty() -> None:
    data = KeepComponentsd(keep="all")({"segmentation": Image.of(blobs())})
    assert data["segmentation"].array.sum() == 83 and data["components"].discarded_ml == 0
    for rule in RULES:
        empty = Volume(np.zeros((5, 5, 5), dtype=np.uint8), np.eye(4))
        data = KeepComponentsd(keep=rule)({"segmentation": Image.of(empty), "pred": Image.of(empty)})
        assert data["segmentation"].array.sum() == 0
        assert (data["components"].count, data["components"].discarded_fraction) == (0, 0.0)


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(UsageError, match="likely, largest or all"):
        KeepComponentsd(keep="biggest")


@pytest.mark.parametrize(
    ("of_the_large", "of_the_small", "staying"),
    [(0.9, 0.9, {65, 18}), (0.9, 0.6, {65}), (0.55, 0.95, {65, 18}), (0.51, 0.51, {65, 18}), (1.0, 0.55, {65})],
)
def test_likely_keeps_by_summed_probability(of_the_large: float, of_the_small: float, staying: set[int]) -> None:
    """65 and 18 voxels: at equal probability the small one has 28 % of the large one's sum, over a quarter."""
    volume = blobs()
    probability = np.zeros(volume.array.shape, dtype=np.float32)
    probability[volume.array > 0] = of_the_large
    probability[12:15, 12:15, 4:6] = of_the_small
    pred = Image.of(Volume(probability, volume.affine))
    data = KeepComponentsd(keep="likely", share=0.25)({"segmentation": Image.of(volume), "pred": pred})
    assert data["segmentation"].array.sum() == sum(staying)
    record = data["components"]
    assert (record.count, record.kept) == (2, len(staying))
    assert record.kept_voxels + record.discarded_voxels == 83


def test_the_share_decides_which_stay() -> None:
    volume = blobs()
    pred = Image.of(Volume(volume.array.astype(np.float32), volume.affine))
    for share, staying in ((0.2, 83), (0.5, 65), (0.0, 83)):
        data = KeepComponentsd(keep="likely", share=share)({"segmentation": Image.of(volume), "pred": pred})
        assert data["segmentation"].array.sum() == staying
