"""The parts of a training, each alone: order of slices, split, recipe, moving average, validation."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scanweave.errors import Code, InputRefused, UsageError
from scanweave.pipeline.overlap_tile import OverlapTile
from scanweave.pipeline.training.average import Average
from scanweave.pipeline.training.ranks import Ranks
from scanweave.pipeline.training.recipe import Phase, Recipe
from scanweave.pipeline.training.slices import LesionSampler, SliceDataset
from scanweave.pipeline.training.splits import split_patients
from scanweave.pipeline.training.validation import Validation
from scanweave.pipeline.training.volumes import TrainingVolume

CPU = torch.device("cpu")
NAMES = [f"p{number:02d}" for number in range(12)]
PHASES = (Phase(0.5, (8, 8), 2.0, 4), Phase(1.0, (16, 16), 1.0, 2))
RECIPE = Recipe(epochs=10, phases=PHASES, learning_rate=1e-2, warmup=0.1)


def volume(slices: int = 5, side: int = 16, lesion: int = 0, level: float = 1.0, name: str = "v") -> TrainingVolume:
    """Slice k of channel c is everywhere k + c / 10; a lesion of `lesion` pixels a side on the middle slice."""
    image = (torch.arange(slices)[:, None] + torch.arange(3) / 10)[..., None, None].expand(-1, -1, side, side).half()
    label = torch.zeros(slices, side, side, dtype=torch.uint8)
    label[slices // 2, 2 : 2 + lesion, 2 : 2 + lesion] = 1
    return TrainingVolume(name, name, image, label, torch.full((3,), -level), torch.full((3,), level))


# --- slices and their order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slices", "drawn"),
    [(1, [[0, 0, 0]]), (2, [[0, 0, 1], [0, 1, 1]]), (3, [[0, 1, 2]]), (5, [[0, 1, 2], [1, 2, 3], [2, 3, 4]])],
)
def test_slices_lie_between_their_neighbours(slices: int, drawn: list[list[int]]) -> None:
    dataset = SliceDataset([volume(slices)])
    samples = [dataset[number] for number in range(len(dataset))]
    assert [sample["image"][0, :, 0, 0].tolist() for sample in samples] == drawn
    assert {tuple(sample["image"].shape) for sample in samples} == {(3, 3, 16, 16)}


def test_slices_bring_their_label_and_range() -> None:
    dataset = SliceDataset([volume(level=1.0), volume(lesion=4, level=2.0)])
    assert dataset.areas.tolist() == [0, 0, 0, 0, 16, 0]
    sample = dataset[4]
    assert (int(sample["label"].sum()), sample["low"].tolist(), sample["high"].tolist()) == (16, [-2] * 3, [2] * 3)


def order(sampler: LesionSampler, epoch: int, batch: int, begin: int = 0) -> list[list[int]]:
    sampler.start(epoch, batch, begin)
    return list(sampler)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), batch=st.integers(1, 12), begin=st.integers(0, 5), ranks=st.integers(1, 4))
def test_order_is_of_seed_and_epoch_alone(count: int, batch: int, begin: int, ranks: int) -> None:
    areas = torch.arange(20.0)
    whole = order(LesionSampler(areas, 4.0, count, seed=3), epoch=2, batch=batch)
    again = LesionSampler(areas, 4.0, count, seed=3)
    order(again, epoch=5, batch=1)
    torch.rand(7)
    assert order(again, epoch=2, batch=batch) == whole
    assert order(again, epoch=2, batch=batch, begin=begin) == whole[begin:], "a resumed epoch goes on"
    assert len(whole) == len(again) == max(count // batch, 1)
    assert {len(one) for one in whole} == {batch}
    parts = [order(LesionSampler(areas, 4.0, count, 3, rank, ranks), 2, batch) for rank in range(ranks)]
    for number, together in enumerate(whole):
        assert sorted(index for part in parts for index in part[number]) == sorted(together)


def test_epochs_and_seeds_differ() -> None:
    sampler, other = (LesionSampler(torch.arange(20.0), 4.0, 64, seed) for seed in (0, 1))
    orders = [order(sampler, 0, 8), order(sampler, 1, 8), order(other, 0, 8)]
    assert orders[0] != orders[1] and orders[0] != orders[2]


def test_lesions_are_drawn_more_often() -> None:
    """The largest `lesion_weight` times as often as none, a quarter of its area half way between."""
    drawn = Counter(order(LesionSampler(torch.tensor([0.0, 100.0, 25.0]), 4.0, 60_000, 0), 0, 60_000)[0])
    assert [drawn[number] / drawn[0] for number in range(3)] == pytest.approx([1, 4, 2.5], rel=0.05)
    alike = Counter(order(LesionSampler(torch.zeros(2), 4.0, 20_000, 0), 0, 20_000)[0])
    assert alike[0] / alike[1] == pytest.approx(1, rel=0.05), "without any lesion all alike"


# --- who trains -----------------------------------------------------------------------------------------------------


def test_the_shuffle_is_what_it_was() -> None:
    """Another one would put patients that published weights have seen into their test folds."""
    split = split_patients(NAMES, folds=4, fold=1, validation=0.2, seed=0)
    assert split.test == ("p00", "p02", "p09")
    assert split.validation == ("p01", "p08")
    assert split.train == ("p03", "p04", "p05", "p06", "p07", "p10", "p11")


@settings(max_examples=60, deadline=None)
@given(count=st.integers(6, 40), folds=st.integers(2, 5), validation=st.sampled_from([0, 0.1, 0.3]),
       seed=st.integers(0, 99), data=st.data())  # fmt: skip
def test_folds_are_disjoint_and_hold_out_everybody_once(
    count: int, folds: int, validation: float, seed: int, data: Any
) -> None:
    names = [f"patient {number}" for number in range(count)]
    given_names = data.draw(st.permutations(names)) + names[:3]  # several cases of one patient, in any order
    tested: list[str] = []
    for fold in range(folds):
        split = split_patients(given_names, folds, fold, validation, seed)
        parts = [*split.train, *split.validation, *split.test]
        assert sorted(parts) == sorted(names) and split.train
        assert len(split.validation) == (max(round(validation * (count - len(split.test))), 1) if validation else 0)
        assert abs(len(split.test) - count / folds) < 1
        tested += split.test
    assert sorted(tested) == sorted(names)


def test_nobody_is_held_out_without_folds() -> None:
    split = split_patients(NAMES, validation=0.1)
    assert (split.test, len(split.validation), len(split.train)) == ((), 1, 11)
    assert split_patients(NAMES, validation=0.1, seed=1) != split
    assert split_patients(NAMES[::-1], validation=0.1) == split, "whatever the order in which they are found"


@pytest.mark.parametrize(("count", "folds"), [(0, 0), (1, 0), (3, 4), (2, 2)])
def test_too_few_patients(count: int, folds: int) -> None:
    with pytest.raises(InputRefused) as refusal:
        split_patients(NAMES[:count], folds=folds)
    assert refusal.value.code == Code.TOO_FEW_CASES


@pytest.mark.parametrize("fold", [-1, 3, 7])
def test_fold_that_is_not_there(fold: int) -> None:
    with pytest.raises(UsageError):
        split_patients(NAMES, folds=3, fold=fold)


# --- recipe ---------------------------------------------------------------------------------------------------------


def test_phases_by_epoch() -> None:
    assert [RECIPE.phase(epoch) for epoch in range(10)] == [PHASES[0]] * 5 + [PHASES[1]] * 5
    assert replace(RECIPE, epochs=1).phase(0) is PHASES[0], "an epoch that begins in a phase is wholly of it"
    assert isinstance(Recipe(epochs=1, phases=[PHASES[1]]).phases, tuple)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"phases": ()}, {"phases": PHASES[:1]}])
def test_recipe_that_cannot_be_followed(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(RECIPE, **wrong)


def test_rate_rises_and_falls_along_a_cosine() -> None:
    rates = [RECIPE.rate(done / 1000) for done in range(1001)]
    top = rates.index(max(rates))
    assert (top, rates[top]) == (100, RECIPE.learning_rate)
    assert 0 < rates[0] <= 0.01 * RECIPE.learning_rate and rates[50] == pytest.approx(RECIPE.learning_rate / 2)
    assert rates[550] == pytest.approx(RECIPE.learning_rate / 2), "half way down"
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert rates[: top + 1] == sorted(rates[: top + 1]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert replace(RECIPE, warmup=0.0).rate(0.0) == RECIPE.learning_rate


@settings(max_examples=50, deadline=None)
@given(epochs=st.integers(1, 30), one=st.floats(0, 1), two=st.floats(0, 1))
def test_work_grows_from_0_to_1(epochs: int, one: float, two: float) -> None:
    recipe = replace(RECIPE, epochs=epochs)
    low, high = sorted((one, two))
    assert 0 <= recipe.work(low * epochs) <= recipe.work(high * epochs) + 1e-12 <= 1 + 1e-9
    assert (recipe.work(0), recipe.work(epochs)) == (0, pytest.approx(1))


def test_work_is_that_of_the_pixels() -> None:
    """Epochs of four times the pixels: the first half of the epochs is a fifth of the work."""
    assert RECIPE.work(5) == pytest.approx(1 / 5)
    assert RECIPE.work(7.5) - RECIPE.work(6.5) == pytest.approx(4 * (RECIPE.work(3.5) - RECIPE.work(2.5)))


# --- moving average -------------------------------------------------------------------------------------------------


def test_average_is_the_formula() -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    average = Average(network, decay=0.5)
    expected = {key: value.clone().double() for key, value in network.state_dict().items()}
    for step in range(12):
        network.train()(torch.randn(8, 2))
        with torch.no_grad():
            network[0].weight.add_(torch.randn(2, 2))
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        for key, value in network.state_dict().items():
            expected[key] = decay * expected[key] + (1 - decay) * value.double()
    own = average.network.state_dict()
    assert own.pop("1.num_batches_tracked") == 12, "counted, not averaged"
    assert all(torch.allclose(own[key].double(), expected[key], atol=1e-5) for key in own)
    assert not torch.equal(own["1.running_mean"], network[1].running_mean), "buffers are averaged too"
    assert not average.network.training and not any(value.requires_grad for value in average.network.parameters())


def test_random_weights_are_forgotten_at_once() -> None:
    network = torch.nn.Linear(1, 1)
    average = Average(network, decay=0.998)
    torch.nn.init.constant_(network.weight, 1e6)
    average.update(network, 0)
    assert average.network.weight.item() == pytest.approx(9e5, rel=1e-3)


# --- validation -----------------------------------------------------------------------------------------------------


class Marks(torch.nn.Module):
    """Marks, for sure, where the first channel is over 0.5; remembers the sizes that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(image.shape))
        return (image[:, :1] > 0.5).float()


def shown(found: tuple[int, int], truth: tuple[int, int], slices: int = 20) -> TrainingVolume:
    """Bars of whole rows, from..to, on every slice: what `Marks` finds, and the truth."""
    image, label = torch.zeros(slices, 3, 16, 16).half(), torch.zeros(slices, 16, 16, dtype=torch.uint8)
    image[:, 0, slice(*found)] = 1
    label[:, slice(*truth)] = 1
    return TrainingVolume("v", "v", image, label, torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize(
    ("found", "truth", "dice"),
    [((0, 8), (4, 12), 0.5), ((0, 4), (0, 4), 1.0), ((0, 4), (8, 12), 0.0), ((0, 0), (0, 4), 0.0),
     ((0, 4), (0, 0), 0.0), ((0, 0), (0, 0), 1.0), ((0, 8), (0, 4), 2 / 3)],
)  # fmt: skip
def test_dice_by_hand(found: tuple[int, int], truth: tuple[int, int], dice: float) -> None:
    volumes = [shown(found, truth)]
    assert Validation().mean_dice(Marks(), volumes, PHASES[1], _no_autocast(), CPU) == pytest.approx(dice)
    both = [*volumes, shown((0, 4), (0, 4), slices=3)]
    assert Validation().mean_dice(Marks(), both, PHASES[1], _no_autocast(), CPU) == pytest.approx((dice + 1) / 2), (
        "volumes count alike"
    )


def test_validation_is_at_the_resolution_of_the_phase() -> None:
    network = Marks()
    assert Validation().mean_dice(network, [shown((0, 8), (4, 12))], PHASES[0], _no_autocast(), CPU) == pytest.approx(
        0.5, abs=0.05
    )
    assert {size[1:] for size in network.sizes} == {(3, 8, 8)}
    assert sum(size[0] for size in network.sizes) == 20, "every slice once"


class Unpadded(torch.nn.Module):
    """What `Marks` finds, without the border that it needs."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 0.5 * (image[:, :1, 4:-4, 4:-4] > 0.5).float()


def test_validation_by_the_bundles_own_inferer_and_threshold() -> None:
    """A network that takes off a border: at its own size the mask would be stretched over the volume."""
    volumes = [shown((0, 6), (0, 6), slices=3)]
    tiles = OverlapTile(roi_size=(16, 16), margin=4)

    def dice(validation: Validation) -> float:
        return validation.mean_dice(Unpadded(), volumes, PHASES[1], _no_autocast(), CPU)

    assert dice(Validation(tiles, threshold=0.5)) == 1
    assert dice(Validation(tiles, threshold=0.51)) == 0, "a probability of a half is not enough"
    assert dice(Validation(threshold=0.3)) < 0.95


def _no_autocast() -> torch.autocast:
    return torch.autocast("cpu", enabled=False)


# --- processes ------------------------------------------------------------------------------------------------------


def test_alone_without_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    alone = Ranks.join(CPU)
    assert (alone, alone.first, alone.agree(True, CPU), alone.agree(False, CPU)) == (Ranks(), True, True, False)
    alone.wait()
    alone.leave()


@pytest.mark.parametrize("ends", [(), (0.5,), (0.5, 0.3, 1.0), (1.0, 2.0)])
def test_phases_that_do_not_cover_the_training_are_refused(ends: tuple[float, ...]) -> None:
    with pytest.raises(UsageError):
        Recipe(epochs=4, phases=tuple(Phase(end, (32, 32), 1.0, 2) for end in ends))


@pytest.mark.parametrize(
    ("size", "pixel", "batch"), [((32, 32), 1.5, 2), ((32, 32), 0.5, 2), ((0, 32), 1.0, 2), ((32, 32), 1.0, 0)]
)
def test_impossible_phases_are_refused(size: tuple[int, int], pixel: float, batch: int) -> None:
    with pytest.raises(UsageError):
        Phase(1.0, size, pixel, batch)


def test_a_phase_ends_where_its_fraction_says() -> None:
    recipe = Recipe(epochs=100, phases=(Phase(0.55, (32, 32), 1.0, 2), Phase(1.0, (64, 64), 1.0, 2)))
    assert [recipe.phase(epoch).size[0] for epoch in (54, 55)] == [32, 64]
