"""The moving average of a network's weights: less noisy than the last ones, and what is kept of a training."""

from __future__ import annotations

import copy

import torch


class Average:
    """An exponential moving average of all parameters and buffers (Polyak and Juditsky 1992).

    The decay rises from 0 with the number of steps, (1 + n) / (10 + n), up to `decay`: the random weights of the
    begin are forgotten at once.
    """

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: torch.nn.Module, steps: int) -> None:
        """Take in the weights after so many steps."""
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        for own, new in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if own.is_floating_point():
                own.lerp_(new, share)
            else:
                own.copy_(new)
