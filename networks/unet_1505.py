"""The original U-Net, with unpadded convolutions, and the padded variant that has become usual.

O. Ronneberger, P. Fischer, T. Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015,
arXiv 1505.04597.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn

STEP = 16
"""Pixels: four poolings halve a length, and valid sizes lie this far apart."""
MARGIN = 92
"""Pixels that the unpadded convolutions take off each side."""
LEAST_INPUT = 188
"""Pixels along an axis: the unpadded network makes 4 of them."""
CROPS = (88, 40, 16, 4)
"""Pixels that a level's features, from the first level on, have more on each side than those they are put beside."""


class UNet1505(nn.Module):
    """(N, in_channels, H, W) to (N, classes - 1, h, w) probabilities of the classes after the first, the background.

    Four levels of two 3x3 convolutions, each followed by ReLU, of widths `features` times 1, 2, 4, 8 and 16 at the
    bottom; on the way up, 2x2 up-convolutions, beside whose result the features of the same level are put, cropped.
    Unpadded, h and w are 184 pixels less than H and W (`output_size`); `padded`, they are equal, multiples of 16.
    With `batch_norm`, each 3x3 convolution is followed by batch normalisation, which the paper does not have.

    At the end of the contracting path, after the fourth level and at the bottom, as in the authors' own network, the
    share `dropout` of the values is dropped in training. Weights begin as the paper has them: normal, deviation
    sqrt(2 / incoming nodes); biases are 0. `logits` gives (N, classes, h, w), the values before the softmax.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 2,
        features: int = 64,
        padded: bool = False,
        batch_norm: bool = False,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.padded = padded
        self.crops = CROPS  # TorchScript knows no globals
        one, two, four, eight, sixteen = (features * factor for factor in (1, 2, 4, 8, 16))
        block = partial(_block, padding=int(padded), batch_norm=batch_norm)
        self.encoder1 = block(in_channels, one)
        self.encoder2 = block(one, two)
        self.encoder3 = block(two, four)
        self.encoder4 = block(four, eight)
        self.bottleneck = block(eight, sixteen)
        self.upconv4 = _UpConv(sixteen, eight, kernel_size=2, stride=2)
        self.decoder4 = block(sixteen, eight)
        self.upconv3 = _UpConv(eight, four, kernel_size=2, stride=2)
        self.decoder3 = block(eight, four)
        self.upconv2 = _UpConv(four, two, kernel_size=2, stride=2)
        self.decoder2 = block(four, two)
        self.upconv1 = _UpConv(two, one, kernel_size=2, stride=2)
        self.decoder1 = block(two, one)
        self.conv = _Conv(one, classes, kernel_size=1)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.dropout = nn.Dropout(dropout)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The values before the softmax, of all classes.

        Raises
        ------
        ValueError
            For H or W that the network cannot take.
        """
        if not torch.jit.is_scripting():
            self._check(x)
        encoded1 = self.encoder1(x)
        encoded2 = self.encoder2(self.pool(encoded1))
        encoded3 = self.encoder3(self.pool(encoded2))
        encoded4 = self.dropout(self.encoder4(self.pool(encoded3)))
        deep = self.dropout(self.bottleneck(self.pool(encoded4)))
        deep = self.decoder4(self._beside(self.upconv4(deep), encoded4, self.crops[3]))
        deep = self.decoder3(self._beside(self.upconv3(deep), encoded3, self.crops[2]))
        deep = self.decoder2(self._beside(self.upconv2(deep), encoded2, self.crops[1]))
        deep = self.decoder1(self._beside(self.upconv1(deep), encoded1, self.crops[0]))
        return self.conv(deep)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities, 0..1, without the background's."""
        return torch.softmax(self.logits(x), dim=1)[:, 1:]

    def _check(self, x: torch.Tensor) -> None:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # sizes are unknown to an export
            return
        for size in x.shape[-2:]:
            output_size(size, self.padded)

    def _beside(self, deep: torch.Tensor, encoded: torch.Tensor, crop: int) -> torch.Tensor:
        """Both in one; `crop` is a number, not what the sizes say, for the sake of exports with sizes left open."""
        if not self.padded:
            encoded = encoded[..., crop:-crop, crop:-crop]
        return torch.cat((encoded, deep), dim=1)


def output_size(size: int, padded: bool = False) -> int:
    """Pixels along an axis that the network makes of `size`.

    Raises
    ------
    ValueError
        For a size that the network cannot take.
    """
    if padded:
        if size < STEP or size % STEP:
            raise ValueError(f"expected H and W to be multiples of {STEP}, got {size}")
        return size
    if size < LEAST_INPUT or (size - LEAST_INPUT) % STEP:
        raise ValueError(f"expected H and W to be {LEAST_INPUT} plus a multiple of {STEP}, got {size}")
    return size - 2 * MARGIN


def valid_size(output: int, padded: bool = False) -> int:
    """The least size along an axis that the network can take and makes at least `output` pixels of."""
    least = STEP if padded else LEAST_INPUT
    wanted = max(output if padded else output + 2 * MARGIN, least)
    return least + math.ceil((wanted - least) / STEP) * STEP


def _block(in_channels: int, out_channels: int, padding: int, batch_norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(_Conv(channels, out_channels, kernel_size=3, padding=padding, bias=not batch_norm))
        if batch_norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class _Conv(nn.Conv2d):
    def reset_parameters(self) -> None:
        _he(self, incoming=self.weight[0].numel())


class _UpConv(nn.ConvTranspose2d):
    def reset_parameters(self) -> None:
        _he(self, incoming=self.in_channels)  # windows do not overlap: a pixel comes from one pixel of each channel


def _he(layer: nn.Conv2d | nn.ConvTranspose2d, incoming: int) -> None:
    nn.init.normal_(layer.weight, std=math.sqrt(2 / incoming))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
