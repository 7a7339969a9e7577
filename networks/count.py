"""What a network costs, counted without computing anything: on PyTorch's device for shapes alone."""

from __future__ import annotations

import importlib

import torch
from torch.utils.flop_counter import FlopCounterMode

from scanweave.networks.catalogue import COLUMNS, ROWS, Figures, Listed

_HALF, _WHOLE = 2, 8
"""Bytes of a number in float16, and of a counter."""


def count(listed: Listed) -> Figures:
    """Of one slice of 256x256 in the listed channels.

    A multiply-add is half of what PyTorch's counter finds: convolutions, transposed ones too, and products of matrices;
    normalisation, activations and interpolation, some hundredths of it, are not counted.
    """
    module, _, name = listed.target.rpartition(".")
    with torch.device("meta"):
        network: torch.nn.Module = getattr(importlib.import_module(module), name)(**listed.arguments).eval()
        slices = torch.empty(1, listed.arguments["in_channels"], ROWS, COLUMNS)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(slices)
    state = network.state_dict().values()
    stored = sum(value.numel() * (_HALF if value.is_floating_point() else _WHOLE) for value in state)
    parameters = sum(value.numel() for value in network.parameters())
    return Figures(parameters, round(counter.get_total_flops() / 2e9, 3), stored)
