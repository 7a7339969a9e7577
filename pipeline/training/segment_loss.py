"""Losses of one segment for networks of several."""

from __future__ import annotations

from collections.abc import Callable

import torch


class SegmentLoss(torch.nn.Module):
    """The mean, over the C segments, of `loss` of each one's logits (B, 1, H, W) against all else.

    Logits are (B, C, H, W), labels (B, 1, H, W) numbers from 0. One by one, because MONAI's losses take several
    channels for classes of which each pixel has one, the background among them.
    """

    def __init__(self, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """What `loss` gives, averaged."""
        channels = logits.split(1, dim=1)
        losses = [self.loss(own, (label == number).to(own.dtype)) for number, own in enumerate(channels, start=1)]
        return torch.stack(losses).mean()
