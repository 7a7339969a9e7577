"""A network asked twice: once of the slices as they are, once of their mirror images (test-time augmentation)."""

from __future__ import annotations

import torch
from torch import nn


class MirrorAverage(nn.Module):
    """The mean of a network's probabilities for (N, C, H, W) and for the same with its columns reversed.

    Columns run from the patient's right to left, so left and right change places. It takes twice the time.
    """

    mirror = True

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities, 0..1."""
        mirrored: torch.Tensor = self.network(x.flip(-1)).flip(-1)
        own: torch.Tensor = self.network(x)
        return (own + mirrored) / 2


def averaged(network: nn.Module, mirror: bool) -> nn.Module:
    """`network`, or with `mirror` its `MirrorAverage`, in evaluation mode."""
    return MirrorAverage(network).eval() if mirror else network
