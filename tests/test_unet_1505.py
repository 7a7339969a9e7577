"""The original U-Net: the paper's sizes, parameters and first weights, and what a pixel of its output depends on."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from scanweave.networks.unet_1505 import MARGIN, STEP, UNet1505, output_size, valid_size
from scanweave.pipeline.training.learner import initial

VARIANTS = [(padded, batch_norm) for padded in (False, True) for batch_norm in (False, True)]


def network(seed: int = 0, features: int = 2, **how: bool) -> UNet1505:
    made = initial(UNet1505(features=features, **how), None, seed)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after a training: nothing is the identity
            generator = torch.Generator().manual_seed(seed)
            for values in (module.running_mean, module.running_var, module.weight, module.bias):
                values.data = torch.rand(values.shape, generator=generator) + 0.5
    return made.eval()


# --- sizes ----------------------------------------------------------------------------------------------------------


def test_the_papers_tile() -> None:
    assert output_size(572) == 388 and valid_size(388) == 572
    with torch.inference_mode():
        assert network().logits(torch.zeros(1, 1, 572, 572)).shape == (1, 2, 388, 388)


SIZES = [(188, 4, False), (204, 20, False), (572, 388, False), (16, 16, True), (48, 48, True)]


@pytest.mark.parametrize(("size", "output", "padded"), SIZES)
def test_sizes_that_the_network_takes(size: int, output: int, padded: bool) -> None:
    assert output_size(size, padded) == output and valid_size(output, padded) == size
    other = 204 if not padded else 32  # rows and columns may differ
    with torch.inference_mode():
        found = network(padded=padded)(torch.zeros(1, 1, size, other))
    assert found.shape == (1, 1, output, output_size(other, padded))


REFUSED = [(572, 573, False), (571, 572, False), (187, 188, False), (172, 188, False), (256, 188, False),
           (0, 16, True), (8, 16, True), (40, 32, True)]  # fmt: skip


@pytest.mark.parametrize(("rows", "columns", "padded"), REFUSED)
def test_other_sizes_are_refused(rows: int, columns: int, padded: bool) -> None:
    wrong = next(size for size in (rows, columns) if not _takes(size, padded))
    for order in ((rows, columns), (columns, rows)):
        with pytest.raises(ValueError, match=rf"expected H and W to be .* got {wrong}$"):
            network(padded=padded).logits(torch.zeros(1, 1, *order))


def _takes(size: int, padded: bool) -> bool:
    """By the layers themselves: the size through two convolutions and a pooling, four times, and back."""
    taken = 0 if padded else 4
    down = []
    for _ in range(4):
        size -= taken
        down.append(size)
        if size % 2:
            return False
        size //= 2
    size -= taken
    for before in reversed(down):
        size = size * 2
        if size <= 0 or before < size:
            return False
        size -= taken
    return size > 0


@pytest.mark.parametrize("padded", [False, True])
def test_the_rule_of_sizes_is_that_of_the_layers(padded: bool) -> None:
    valid = [size for size in range(700) if _takes(size, padded)]
    for size in range(700):
        if size in valid:
            assert output_size(size, padded) == size - (0 if padded else 2 * MARGIN)
        else:
            with pytest.raises(ValueError):
                output_size(size, padded)
    for output in range(1, 480):
        assert valid_size(output, padded) == next(s for s in valid if output_size(s, padded) >= output)


# --- parameters -----------------------------------------------------------------------------------------------------


def counted(channels: int, classes: int, features: int, batch_norm: bool) -> int:
    """Parameters by the paper's figure: each layer's kernel, and its biases or the two of batch normalisation."""
    widths = [channels, *(features * 2**level for level in range(5))]
    pairs = list(pairwise(widths)) + [(2 * width, width) for width in widths[4:0:-1]]
    each = 2 if batch_norm else 1
    convolutions = sum(9 * (before * after + after * after) + 2 * each * after for before, after in pairs)
    up = sum(4 * 2 * width * width + width for width in widths[1:5])
    return convolutions + up + features * classes + classes


def test_31_million_parameters() -> None:
    assert sum(p.numel() for p in UNet1505().parameters()) == counted(1, 2, 64, False) == 31_030_658


@pytest.mark.parametrize(("padded", "batch_norm"), VARIANTS)
def test_parameters_of_every_variant(padded: bool, batch_norm: bool) -> None:
    made = UNet1505(3, 4, 8, padded, batch_norm)
    assert sum(p.numel() for p in made.parameters()) == counted(3, 4, 8, batch_norm)
    norms = [module for module in made.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == (18 if batch_norm else 0)


def test_a_state_dict_fits_its_own_variant_only() -> None:
    first, second = network(0, batch_norm=True), network(1, batch_norm=True)
    image = torch.randn(1, 1, 188, 188)
    assert not torch.equal(first(image), second(image))
    second.load_state_dict(first.state_dict(), strict=True)
    assert torch.equal(first(image), second(image))
    for other in (UNet1505(features=2), UNet1505(features=4, batch_norm=True)):
        with pytest.raises(RuntimeError):
            other.load_state_dict(first.state_dict(), strict=True)


def test_weights_begin_as_the_paper_has_them() -> None:
    made = initial(UNet1505(features=16), None, seed=3)
    layers = [module for module in made.modules() if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 23
    for layer in layers:
        nodes = layer.in_channels * (layer.kernel_size[0] ** 2 if isinstance(layer, nn.Conv2d) else 1)
        expected, count = math.sqrt(2 / nodes), layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(expected, rel=4 / math.sqrt(2 * count))
        assert abs(layer.weight.mean().item()) < 4 * expected / math.sqrt(count)
        assert not layer.bias.any()
    hidden = made.decoder2[2]  # the paper's example: 3x3 after 64 channels has 576 nodes
    assert hidden.weight[0].numel() == 9 * 32


def test_activations_neither_vanish_nor_explode() -> None:
    """What the deviation is for: the unit variance of the input is still there after 23 layers."""
    with torch.inference_mode():
        found = initial(UNet1505(features=16, padded=True), None, seed=1).eval().logits(torch.randn(4, 1, 64, 64))
    assert 0.1 < found.std() < 10


def test_the_seed_decides_the_first_weights() -> None:
    again, other = network(5), network(6)
    for name, value in network(5).state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    assert not torch.equal(again.conv.weight, other.conv.weight)


# --- what comes out -------------------------------------------------------------------------------------------------


def by_the_figure(made: UNet1505, x: torch.Tensor) -> torch.Tensor:
    """The paper's figure 1 arrow by arrow, with the parameters in the order in which the layers were made."""
    state = {name: value for name, value in made.state_dict().items() if "num_batches" not in name}
    parts: dict[str, list[torch.Tensor]] = {}
    for name, value in state.items():
        parts.setdefault(name.split(".")[0], []).append(value)

    def twice(x: torch.Tensor, values: list[torch.Tensor]) -> torch.Tensor:
        half = len(values) // 2
        for weight, *rest in (values[:half], values[half:]):
            if made.padded:
                x = functional.pad(x, (1, 1, 1, 1))
            if len(rest) == 1:
                x = functional.conv2d(x, weight, rest[0])
            else:
                scale, shift, mean, variance = (value[:, None, None] for value in rest)
                x = (functional.conv2d(x, weight) - mean) / (variance + 1e-5).sqrt() * scale + shift
            x = x.clamp(min=0)
        return x

    before = []
    for level in range(1, 5):
        x = twice(x, parts[f"encoder{level}"])
        before.append(x)
        x = functional.max_pool2d(x, 2)
    x = twice(x, parts["bottleneck"])
    for level in range(4, 0, -1):
        x = functional.conv_transpose2d(x, *parts[f"upconv{level}"], stride=2)
        copied = before[level - 1]
        off = (copied.shape[-1] - x.shape[-1]) // 2
        copied = functional.pad(copied, (-off, -off, -off, -off))
        x = twice(torch.cat((copied, x), dim=1), parts[f"decoder{level}"])
    return functional.conv2d(x, *parts["conv"])


@pytest.mark.parametrize(("padded", "batch_norm"), VARIANTS)
def test_it_is_the_papers_figure(padded: bool, batch_norm: bool) -> None:
    made = network(features=3, padded=padded, batch_norm=batch_norm).double()
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and layer.bias is not None:
            nn.init.normal_(layer.bias)
    image = torch.randn(2, 1, 208 if padded else 204, 240 if padded else 236, dtype=torch.float64)
    with torch.inference_mode():
        found, expected = made.logits(image), by_the_figure(made, image)
    assert found.std() > 0.01 and torch.allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("padded", "batch_norm"), VARIANTS)
def test_forward_gives_the_softmax_without_the_background(padded: bool, batch_norm: bool) -> None:
    torch.manual_seed(0)
    made = UNet1505(2, 4, 2, padded, batch_norm).eval()
    image = torch.randn(2, 2, 208 if padded else 204, 208 if padded else 204)
    with torch.inference_mode():
        logits, found = made.logits(image), made(image)
    parts = logits.exp() / logits.exp().sum(dim=1, keepdim=True)
    assert logits.shape[1] == 4 and torch.allclose(found, parts[:, 1:], atol=1e-6)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("padded", [False, True])
def test_an_export_leaves_the_sizes_open(padded: bool) -> None:
    made, open_ = network(padded=padded), torch.export.Dim.DYNAMIC
    size, other = (64, 96) if padded else (220, 252)
    with torch.inference_mode():
        exported = torch.export.export(
            made, (torch.randn(2, 1, size, size),), dynamic_shapes=[[open_, None, open_, open_]]
        )
        traced = torch.jit.trace(made, torch.randn(1, 1, size, size))
        image = torch.randn(1, 1, size, other)
        for form in (exported.module(), traced):
            assert torch.allclose(form(image), made(image), atol=1e-5)


def test_features_are_dropped_in_training_only() -> None:
    made, image = network(padded=True), torch.randn(1, 1, 64, 64)
    assert torch.equal(made(image), made(image))
    made.train()
    dropped: list[torch.Tensor] = []
    made.dropout.register_forward_hook(lambda module, inputs, output: dropped.append(output))
    assert not torch.equal(made(image), made(image))
    assert [tuple(d.shape[1:]) for d in dropped[:2]] == [(16, 8, 8), (32, 4, 4)]  # level four, and the bottom
    for given in dropped:
        assert 0.5 < (given == 0).float().mean() < 0.95  # ReLU has left zeros as well
    kept = UNet1505(features=2, padded=True, dropout=0.0).train()
    assert torch.equal(kept(image), kept(image))


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize(("down", "right"), [(0, 16), (32, 16), (48, 0)])
def test_a_tile_is_the_crop_of_a_larger_image(batch_norm: bool, down: int, right: int) -> None:
    made = network(features=4, batch_norm=batch_norm).double()
    image = torch.randn(1, 1, 252, 236, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.inference_mode():
        whole = made.logits(image)
        tile = made.logits(image[..., down : down + 204, right : right + 204])
    assert torch.allclose(tile, whole[..., down : down + 20, right : right + 20], atol=1e-10)


def test_tiles_off_the_grid_of_the_poolings_are_others() -> None:
    """The twin: alignment matters, which is why tiles lie 16 pixels apart."""
    made, image = network(features=4), torch.randn(1, 1, 220, 220, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        whole, tile = made.logits(image), made.logits(image[..., 1:205, :204])
    assert (tile - whole[..., 1:21, :20]).abs().max() > 1e-3


@pytest.mark.parametrize("size", [188, 204])
def test_no_pixel_of_the_output_sees_beyond_the_tile(size: int) -> None:
    """Every pixel of the input counts, and the margin is all that the convolutions need."""
    made = network(features=2)
    image = torch.randn(1, 1, size, size, requires_grad=True)
    made.logits(image)[..., 0, 0].sum().backward()
    rows, columns = (image.grad[0, 0].abs().sum(dim=axis).nonzero().flatten() for axis in (1, 0))
    for seen in (rows, columns):
        assert seen.min() == 0 and seen.max() < 2 * MARGIN + STEP
