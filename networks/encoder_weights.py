"""Weights of an image classifier into the encoder of an `EncoderUNet`; its decoder keeps its own."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from scanweave.errors import Code, Problem, UsageError
from scanweave.networks.encoder_names import RESNETS
from scanweave.networks.encoders import EncoderUNet
from scanweave.networks.fetch_weights import Fetched, fetch_weights
from scanweave.networks.imagenet import IMAGENET
from scanweave.networks.weights import Weights, use_state

COLOURS = 3
_STEMS = ("conv1.weight", "_conv_stem.weight")
"""The first convolution of a ResNet and of an EfficientNet."""
_CLASSIFIERS = ("fc.", "_fc.", "_conv_head.", "_bn1.")
"""Begin the names of what a classifier has and an encoder has not."""
_STACKED = re.compile(r"^_blocks\.\d+\.(\d+\..+)")
_COUNTER = ".num_batches_tracked"
State = Mapping[str, torch.Tensor]


def fetch_encoder(encoder: str, *, progress: bool = False) -> Fetched:
    """The ImageNet weights of an encoder from torch.hub's cache, verified, or else from their URL (`fetch_weights`).

    Raises
    ------
    UsageError
        USAGE where there are none.
    EnvironmentFailure
        As `fetch_weights`.
    """
    if encoder not in IMAGENET:
        message = f"there are no ImageNet weights for {encoder}: begin with none, or with a file of your own"
        raise UsageError(Problem(Code.USAGE, message))
    return fetch_weights(IMAGENET[encoder], lambda file: load_encoder(EncoderUNet(encoder), file), progress=progress)


def load_encoder(network: EncoderUNet, weights: Weights) -> EncoderUNet:
    """Every entry of the encoder from a file as torchvision (ResNet) or EfficientNet-PyTorch names them.

    The classifier in it is left out; for other than three channels the first convolution is adapted (`adapt_stem`).

    Raises
    ------
    EnvironmentFailure
        As `load_weights`: nothing else may be in the file, and nothing may lack.
    """
    encoder = network.unet.encoder
    origin = "torchvision" if network.name in RESNETS else "EfficientNet-PyTorch"

    def fill(state: State) -> None:
        encoder.load_state_dict(encoder_state(encoder.state_dict(), state, network.in_channels), strict=True)

    use_state(weights, f"a state dict of {network.name} as {origin} names it", fill)
    return network


def encoder_state(own: State, published: State, in_channels: int) -> dict[str, torch.Tensor]:
    """The entries `own` of an encoder, from those of a `published` classifier of three colours.

    MONAI counts the blocks of an EfficientNet within stacks, `_blocks.1.2`, where the original has `_blocks.2`.
    Counters of batches, which older files lack, may stay.

    Raises
    ------
    ValueError
        For missing entries, and for superfluous ones.
    """
    wanted = {name: _STACKED.sub(r"_blocks.\1", name) for name in own}
    kept = {name for name, theirs in wanted.items() if theirs not in published and name.endswith(_COUNTER)}
    missing = [theirs for name, theirs in wanted.items() if theirs not in published and name not in kept]
    extra = [name for name in published if name not in wanted.values() and not name.startswith(_CLASSIFIERS)]
    if missing or extra:
        found = (("missing", missing), ("more", extra))
        parts = [f"{len(names)} {word} ({names[0]} ..)" for word, names in found if names]
        raise ValueError(f"entries {' and '.join(parts)}")
    state = {name: own[name] if name in kept else published[theirs] for name, theirs in wanted.items()}
    (stem,) = (name for name in _STEMS if name in state)
    return {**state, stem: adapt_stem(state[stem], in_channels)}


def adapt_stem(weight: torch.Tensor, in_channels: int) -> torch.Tensor:
    """A first convolution (out, 3, h, w) for red, green and blue as one (out, in_channels, h, w).

    One channel gets the sum of the three, so that a grey picture means what it meant; more (or two) repeat them in
    turn, scaled by 3 / in_channels, so that the values behind keep their size. This is the rule of PyTorch Image Models
    (R. Wightman, timm, `adapt_input_conv`).
    """
    if in_channels == COLOURS:
        return weight
    if in_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    turns = -(-in_channels // COLOURS)
    return weight.repeat(1, turns, 1, 1)[:, :in_channels] * (COLOURS / in_channels)
