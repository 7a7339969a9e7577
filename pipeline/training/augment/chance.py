"""Random numbers of one batch: the same for the same seed, whatever was drawn before."""

from __future__ import annotations

import torch


class Chance:
    """Draws for a batch of `size` samples; numbers come from the CPU, so that a GPU augments alike."""

    def __init__(self, seed: int, size: int, device: torch.device) -> None:
        self.size = size
        self.device = device
        self._numbers = torch.Generator().manual_seed(seed)
        self._fields = torch.Generator(device).manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> torch.Tensor:
        """(size, *shape), evenly between `low` and `high`."""
        drawn = torch.rand(self.size, *shape, generator=self._numbers)
        return (low + (high - low) * drawn).to(self.device)

    def normal(self, deviation: float, *shape: int) -> torch.Tensor:
        """(size, *shape), normal about 0 and cut at two deviations."""
        drawn = torch.randn(self.size, *shape, generator=self._numbers)
        return (drawn.clamp(-2, 2) * deviation).to(self.device)

    def happens(self, probability: float, *shape: int) -> torch.Tensor:
        """(size, *shape), 1.0 with that probability and 0.0 otherwise."""
        drawn = torch.rand(self.size, *shape, generator=self._numbers)
        return (drawn < probability).float().to(self.device)

    def noise(self, like: torch.Tensor) -> torch.Tensor:
        """Standard normal, shaped as `like`, drawn on the device."""
        return torch.randn(like.shape, generator=self._fields, device=self.device)
