"""Losses of one segment for networks of several."""

from __future__ import annotations

from collections.abc import Callable

import torch


class SegmentLoss(torch.nn.Module):
    """`loss` of logits (B, C, H, W) and of numbers of labels (B, 1, H, W): each of the C segments against all else."""

    def __init__(self, loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """What `loss` gives."""
        numbers = torch.arange(1, logits.shape[1] + 1, device=label.device)[:, None, None]
        return self.loss(logits, (label == numbers).to(logits.dtype))
