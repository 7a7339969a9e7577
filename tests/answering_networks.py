"""Networks with random weights that do answer something: of others every runtime gives the same."""

from __future__ import annotations

from collections.abc import Callable

import torch


def answering(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """With random weights whose probabilities are between 0 and 1, and no constant."""
    torch.manual_seed(3)
    network = make().eval()
    own = getattr(network, "network", network)
    last = [module for module in own.modules() if isinstance(module, torch.nn.Conv2d)][-1]
    with torch.no_grad():
        for module in own.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.2, 0.8)
        logits = own.logits(2 * torch.randn(2, channels_of(own), 64, 64))
        last.weight.div_(logits.std() / 1.5)
        last.bias.sub_(logits.mean()).div_(logits.std() / 1.5)
    return network


def channels_of(network: torch.nn.Module) -> int:
    return next(module.in_channels for module in network.modules() if isinstance(module, torch.nn.Conv2d))
