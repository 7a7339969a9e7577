"""The weighted cross-entropy: its formula, with its gradient, on the part of the target that the network sees."""

from __future__ import annotations

import pytest
import torch

from scanweave.pipeline.training.weighted_cross_entropy import WeightedCrossEntropy

loss_of = WeightedCrossEntropy()


def example(
    classes: int = 3, rows: int = 4, columns: int = 6, more: tuple[int, int] = (0, 0), seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (2, classes, rows, columns) and a target that is larger by `more`, float64."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, classes, rows, columns, generator=generator, dtype=torch.float64)
    size = (2, rows + more[0], columns + more[1])
    numbers = torch.randint(0, classes, size, generator=generator).double()
    return logits, torch.stack((numbers, 5 * torch.rand(size, generator=generator).double()), dim=1)


def by_the_formula(logits: torch.Tensor, target: torch.Tensor) -> float:
    """Pixel by pixel: w log(p of the true class), as the paper writes it, by the sum of w."""
    total, weights = 0.0, 0.0
    for sample, (numbers, weight) in zip(logits, target, strict=True):
        for row in range(sample.shape[1]):
            for column in range(sample.shape[2]):
                values = sample[:, row, column].exp()
                share = values[int(numbers[row, column])] / values.sum()
                total -= float(weight[row, column] * share.log())
                weights += float(weight[row, column])
    return total / weights


@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_formula(classes: int) -> None:
    logits, target = example(classes)
    assert float(loss_of(logits, target)) == pytest.approx(by_the_formula(logits, target), rel=1e-12)


@pytest.mark.parametrize("more", [(0, 2), (2, 0), (4, 8)])
def test_of_a_larger_target_the_middle_counts(more: tuple[int, int]) -> None:
    logits, target = example(more=more)
    middle = target[:, :, more[0] // 2 : more[0] // 2 + 4, more[1] // 2 : more[1] // 2 + 6]
    assert float(loss_of(logits, target)) == pytest.approx(by_the_formula(logits, middle), rel=1e-12)


def test_its_gradient_is_right() -> None:
    logits, target = example(more=(2, 2))
    assert torch.autograd.gradcheck(lambda x: loss_of(x, target), logits.requires_grad_())


def test_the_scale_of_the_weights_does_not_matter() -> None:
    logits, target = example()
    larger = target.clone()
    larger[:, 1] *= 7
    assert torch.allclose(loss_of(logits, target), loss_of(logits, larger), rtol=1e-12)


def test_a_pixel_without_weight_has_no_part_in_it() -> None:
    logits, target = example()
    target[0, 1, 2, 3] = 0
    logits.requires_grad_()
    loss_of(logits, target).backward()
    assert not logits.grad[0, :, 2, 3].any() and logits.grad[0, :, 2, 4].any()
    other = target.clone()
    other[0, 0, 2, 3] = (target[0, 0, 2, 3] + 1) % 3
    assert torch.equal(loss_of(logits, other), loss_of(logits, target))


def test_without_any_weight_it_is_nil() -> None:
    logits, target = example()
    target[:, 1] = 0
    logits.requires_grad_()
    loss = loss_of(logits, target)
    loss.backward()
    assert float(loss.detach()) == 0 and not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_does_not_overflow(dtype: torch.dtype) -> None:
    """400 x 400 weights of 11 come to 1.8 million, and the greatest float16 is 65504."""
    logits = torch.zeros(1, 2, 400, 400, dtype=dtype)
    logits[:, 1] = 300
    target = torch.zeros(1, 2, 400, 400, dtype=dtype)
    target[:, 1] = 11
    logits.requires_grad_()
    loss = loss_of(logits, target)
    loss.backward()
    assert loss.dtype == torch.float32 and float(loss.detach()) == 300
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    "shape",
    [(2, 2, 4, 7), (2, 2, 5, 6), (2, 2, 2, 6), (2, 1, 4, 6), (2, 3, 4, 6), (1, 2, 4, 6), (2, 4, 6), (2, 2, 4, 6, 1)],
)
def test_another_target_is_refused(shape: tuple[int, ...]) -> None:
    logits, _ = example()
    with pytest.raises(ValueError, match=r"expected a target \(2, 2, H, W\).*more than \(4, 6\), got"):
        loss_of(logits, torch.zeros(shape))


def test_its_arguments_are_not_changed() -> None:
    logits, target = example(more=(2, 2))
    before = logits.clone(), target.clone()
    loss_of(logits, target)
    assert torch.equal(logits, before[0]) and torch.equal(target, before[1])
