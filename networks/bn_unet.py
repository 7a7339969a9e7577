"""The U-Net with batch normalisation of Buda et al., with the published names of its parameters.

M. Buda, A. Saha, M. A. Mazurowski, "Association of genomic subtypes of lower-grade gliomas with shape features
automatically extracted by a deep learning algorithm", Computers in Biology and Medicine 109 (2019); the layout of
the state dict is that of mateuszbuda/brain-segmentation-pytorch, so that its weights load strictly.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn


class BNUNet(nn.Module):
    """(N, in_channels, H, W) to (N, out_channels, H, W) probabilities; H and W are multiples of 16.

    Four levels of two 3x3 convolutions, each followed by batch normalisation and ReLU, of widths `features` times
    1, 2, 4, 8 and 16 at the bottom. The sigmoid is inside; `logits` gives the values before it.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 1, features: int = 32) -> None:
        super().__init__()
        widths = [features * factor for factor in (1, 2, 4, 8, 16)]
        self.encoder1 = _block(in_channels, widths[0], "enc1")
        self.encoder2 = _block(widths[0], widths[1], "enc2")
        self.encoder3 = _block(widths[1], widths[2], "enc3")
        self.encoder4 = _block(widths[2], widths[3], "enc4")
        self.bottleneck = _block(widths[3], widths[4], "bottleneck")
        self.upconv4 = nn.ConvTranspose2d(widths[4], widths[3], kernel_size=2, stride=2)
        self.decoder4 = _block(widths[3] * 2, widths[3], "dec4")
        self.upconv3 = nn.ConvTranspose2d(widths[3], widths[2], kernel_size=2, stride=2)
        self.decoder3 = _block(widths[2] * 2, widths[2], "dec3")
        self.upconv2 = nn.ConvTranspose2d(widths[2], widths[1], kernel_size=2, stride=2)
        self.decoder2 = _block(widths[1] * 2, widths[1], "dec2")
        self.upconv1 = nn.ConvTranspose2d(widths[1], widths[0], kernel_size=2, stride=2)
        self.decoder1 = _block(widths[0] * 2, widths[0], "dec1")
        self.conv = nn.Conv2d(widths[0], out_channels, kernel_size=1)
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The network's values before the sigmoid."""
        encoded1 = self.encoder1(x)
        encoded2 = self.encoder2(self.pool(encoded1))
        encoded3 = self.encoder3(self.pool(encoded2))
        encoded4 = self.encoder4(self.pool(encoded3))
        deep = self.bottleneck(self.pool(encoded4))
        deep = self.decoder4(torch.cat((self.upconv4(deep), encoded4), dim=1))
        deep = self.decoder3(torch.cat((self.upconv3(deep), encoded3), dim=1))
        deep = self.decoder2(torch.cat((self.upconv2(deep), encoded2), dim=1))
        deep = self.decoder1(torch.cat((self.upconv1(deep), encoded1), dim=1))
        return self.conv(deep)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities, 0..1."""
        return torch.sigmoid(self.logits(x))


def _block(in_channels: int, out_channels: int, name: str) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            [
                (f"{name}conv1", nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)),
                (f"{name}norm1", nn.BatchNorm2d(out_channels)),
                (f"{name}relu1", nn.ReLU(inplace=True)),
                (f"{name}conv2", nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, bias=False)),
                (f"{name}norm2", nn.BatchNorm2d(out_channels)),
                (f"{name}relu2", nn.ReLU(inplace=True)),
            ]
        )
    )
