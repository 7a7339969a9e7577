"""What stands in place of a network until somebody has trained it."""

from __future__ import annotations

import torch

from scanweave.networks.weights import no_weights_yet


class Untrained(torch.nn.Module):
    """Refuses every input: random weights would make a mask of nothing look like a result."""

    def __init__(self, bundle: str) -> None:
        super().__init__()
        self.bundle = bundle

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Never.

        Raises
        ------
        EnvironmentFailure
            WEIGHTS_MISSING.
        """
        raise no_weights_yet(self.bundle)
