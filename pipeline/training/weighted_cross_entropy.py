"""The loss of the original U-Net: pixel-wise softmax cross-entropy, each pixel with a weight of its own."""

from __future__ import annotations

import torch
from torch.nn import functional

CLASS, WEIGHT = 0, 1
"""Channels of the target."""


class WeightedCrossEntropy(torch.nn.Module):
    """The mean of the cross-entropy over the pixels, by their weights (Ronneberger et al. 2015, equation 1).

    Called with logits (B, K, h, w) and a target (B, 2, H, W) of any floating type: channel 0 is the number of the
    pixel's class, 0 to K - 1, channel 1 its weight, 0 or more. Of the target, the middle (h, w) counts, which is what
    an unpadded network sees. The paper sums; the division by the sum of the weights makes a learning rate fit images
    of any size. Without any weight, the loss is 0.

    Raises
    ------
    ValueError
        For a target of another shape, or of whose rows or columns the middle is not h or w long.
    """

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """A scalar: float32, or float64 for logits that are."""
        target = _middle(target, logits)
        logits = logits if logits.dtype == torch.float64 else logits.float()  # half precision does not reach sums
        weights = target[:, WEIGHT].to(logits.dtype)
        each = functional.cross_entropy(logits, target[:, CLASS].long(), reduction="none")
        return (weights * each).sum() / weights.sum().clamp(min=torch.finfo(logits.dtype).tiny)


def _middle(target: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """The target's middle, as large as the logits."""
    batch, _, *size = logits.shape
    more = [have - want for have, want in zip(target.shape[2:], size, strict=False)]
    if target.ndim != 4 or target.shape[:2] != (batch, 2) or any(extra < 0 or extra % 2 for extra in more):
        raise ValueError(
            f"expected a target ({batch}, 2, H, W), H and W by an even number or nothing more than {tuple(size)}, "
            f"got {tuple(target.shape)}"
        )
    top, left = (extra // 2 for extra in more)
    return target[..., top : top + size[0], left : left + size[1]]
