"""Image classifiers written out from their papers, with the names of torchvision and EfficientNet-PyTorch.

What the encoders are held against: neither of these packages is needed, and no code of MONAI is used.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

State = dict[str, torch.Tensor]
RESNET_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
RESNET_WIDTHS = (64, 128, 256, 512)
EFFICIENTNET_B0 = (
    # blocks, kernel, stride, expansion, channels in and out
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)
CLASSES = 1000


class _Maker:
    """Random values of a classifier; those of normalisation leave nothing as it was."""

    def __init__(self, seed: int) -> None:
        self.random = torch.Generator().manual_seed(seed)
        self.state: State = {}

    def conv(self, name: str, *shape: int, bias: bool = False) -> None:
        self.state[f"{name}.weight"] = torch.randn(shape, generator=self.random) / math.sqrt(math.prod(shape[1:]))
        if bias:
            self.state[f"{name}.bias"] = torch.randn(shape[0], generator=self.random) / 4

    def norm(self, name: str, channels: int) -> None:
        for entry in ("weight", "bias", "running_mean", "running_var"):
            self.state[f"{name}.{entry}"] = 0.5 + torch.rand(channels, generator=self.random)
        self.state[f"{name}.num_batches_tracked"] = torch.tensor(7)


def resnet_state(name: str, seed: int = 0) -> State:
    """A torchvision ResNet's (18, 34: two 3x3 convolutions a block; 50: 1x1, 3x3, 1x1 of four times the width)."""
    make, wide = _Maker(seed), 4 if name == "resnet50" else 1
    make.conv("conv1", 64, 3, 7, 7)
    make.norm("bn1", 64)
    channels = 64
    for layer, (blocks, width) in enumerate(zip(RESNET_BLOCKS[name], RESNET_WIDTHS, strict=True), start=1):
        for block in range(blocks):
            own = f"layer{layer}.{block}"
            sizes = [(width, channels, 1), (width, width, 3), (width * 4, width, 1)]
            for number, (out, into, size) in enumerate(
                sizes if wide == 4 else [(width, channels, 3), (width, width, 3)], start=1
            ):
                make.conv(f"{own}.conv{number}", out, into, size, size)
                make.norm(f"{own}.bn{number}", out)
            if block == 0 and (layer > 1 or wide == 4):
                make.conv(f"{own}.downsample.0", width * wide, channels, 1, 1)
                make.norm(f"{own}.downsample.1", width * wide)
            channels = width * wide
    make.conv("fc", CLASSES, channels, bias=True)
    return make.state


def resnet_features(name: str, state: State, x: torch.Tensor) -> list[torch.Tensor]:
    """What comes of the first convolution and of each of the four layers."""
    count = 3 if name == "resnet50" else 2
    x = functional.relu(_norm(state, "bn1", functional.conv2d(x, state["conv1.weight"], stride=2, padding=3), 1e-5))
    features = [x]
    x = functional.max_pool2d(x, 3, 2, 1)
    for layer, blocks in enumerate(RESNET_BLOCKS[name], start=1):
        for block in range(blocks):
            own, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            inside = x
            for number in range(1, count + 1):
                weight = state[f"{own}.conv{number}.weight"]
                size = weight.shape[-1]
                step = stride if size == 3 and number == (2 if count == 3 else 1) else 1
                inside = functional.conv2d(inside, weight, stride=step, padding=size // 2)
                inside = _norm(state, f"{own}.bn{number}", inside, 1e-5)
                inside = inside if number == count else functional.relu(inside)
            if f"{own}.downsample.0.weight" in state:
                x = functional.conv2d(x, state[f"{own}.downsample.0.weight"], stride=stride)
                x = _norm(state, f"{own}.downsample.1", x, 1e-5)
            x = functional.relu(x + inside)
        features.append(x)
    return features


def efficientnet_state(seed: int = 0) -> State:
    """EfficientNet-PyTorch's b0."""
    make, number = _Maker(seed), 0
    make.conv("_conv_stem", 32, 3, 3, 3)
    make.norm("_bn0", 32)
    for blocks, kernel, _, expansion, into, out in EFFICIENTNET_B0:
        for block in range(blocks):
            own, channels = f"_blocks.{number}", into if block == 0 else out
            wide = channels * expansion
            if expansion > 1:
                make.conv(f"{own}._expand_conv", wide, channels, 1, 1)
                make.norm(f"{own}._bn0", wide)
            make.conv(f"{own}._depthwise_conv", wide, 1, kernel, kernel)
            make.norm(f"{own}._bn1", wide)
            make.conv(f"{own}._se_reduce", channels // 4, wide, 1, 1, bias=True)
            make.conv(f"{own}._se_expand", wide, channels // 4, 1, 1, bias=True)
            make.conv(f"{own}._project_conv", out, wide, 1, 1)
            make.norm(f"{own}._bn2", out)
            number += 1
    make.conv("_conv_head", 1280, 320, 1, 1)
    make.norm("_bn1", 1280)
    make.conv("_fc", CLASSES, 1280, bias=True)
    return make.state


def efficientnet_features(state: State, x: torch.Tensor) -> list[torch.Tensor]:
    """The last values at each of the five resolutions."""
    x = functional.silu(_norm(state, "_bn0", _same(x, state["_conv_stem.weight"], 2), 1e-3))
    features, number = [], 0
    for blocks, _, stride, expansion, _, _ in EFFICIENTNET_B0:
        if stride == 2:
            features.append(x)
        for block in range(blocks):
            own, inside = f"_blocks.{number}", x
            if expansion > 1:
                inside = functional.conv2d(inside, state[f"{own}._expand_conv.weight"])
                inside = functional.silu(_norm(state, f"{own}._bn0", inside, 1e-3))
            depthwise = state[f"{own}._depthwise_conv.weight"]
            inside = _same(inside, depthwise, stride if block == 0 else 1, groups=len(depthwise))
            inside = functional.silu(_norm(state, f"{own}._bn1", inside, 1e-3))
            squeezed = inside.mean(dim=(2, 3), keepdim=True)
            for name in ("_se_reduce", "_se_expand"):
                squeezed = functional.conv2d(squeezed, state[f"{own}.{name}.weight"], state[f"{own}.{name}.bias"])
                squeezed = functional.silu(squeezed) if name == "_se_reduce" else torch.sigmoid(squeezed)
            inside = _norm(
                state, f"{own}._bn2", functional.conv2d(inside * squeezed, state[f"{own}._project_conv.weight"]), 1e-3
            )
            x = inside + x if block > 0 else inside
            number += 1
    return [*features, x]


def _norm(state: State, name: str, x: torch.Tensor, eps: float) -> torch.Tensor:
    entries = (state[f"{name}.{entry}"] for entry in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(x, *entries, eps=eps)


def _same(x: torch.Tensor, weight: torch.Tensor, stride: int, groups: int = 1) -> torch.Tensor:
    """TensorFlow's "same" padding: what is odd goes to the right and below."""
    pads = []
    for size, kernel in zip(reversed(x.shape[2:]), reversed(weight.shape[2:]), strict=True):
        more = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [more // 2, more - more // 2]
    return functional.conv2d(functional.pad(x, pads), weight, stride=stride, groups=groups)
