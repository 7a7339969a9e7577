"""What a training begins with: random weights, a file of the whole network, or those of ImageNet in its encoder."""

from __future__ import annotations

from pathlib import Path

import torch

from scanweave.errors import Code, Problem, UsageError
from scanweave.networks.encoder_weights import fetch_encoder, load_encoder
from scanweave.networks.encoders import EncoderUNet
from scanweave.networks.weights import Weights
from scanweave.pipeline.training.learner import initial

IMAGENET = "imagenet"


def begun(network: torch.nn.Module, init: Path | None, seed: int, encoder: Path | str | None = None) -> torch.nn.Module:
    """`network` with the weights that a training begins with, in training mode.

    `init` is a file of the whole network; without it all weights are random, which the `seed` decides, but those of the
    encoder where `encoder` names them: "imagenet", or a file of an image classifier.

    Raises
    ------
    UsageError, EnvironmentFailure
        As `beginning`, `load_weights` and `load_encoder`.
    """
    file = beginning(network, init, encoder)
    network = initial(network, init, seed)
    if init is None and file is not None:  # after `initial`, which makes every weight random
        load_encoder(_with_encoder(network, encoder), Weights.of_file(file))
    return network


def beginning(network: torch.nn.Module, init: Path | None, encoder: Path | str | None = None) -> Path | None:
    """The file that a training begins with, for its record; None for random weights alone.

    Raises
    ------
    UsageError
        USAGE for a network without such an encoder, or an encoder without ImageNet weights.
    EnvironmentFailure
        As `fetch_weights`, where they have to be fetched.
    """
    if init is not None or encoder is None:
        return init
    own = _with_encoder(network, encoder)
    return fetch_encoder(own.name).weights.path if encoder == IMAGENET else Path(encoder).expanduser()


def _with_encoder(network: torch.nn.Module, encoder: object) -> EncoderUNet:
    if not isinstance(network, EncoderUNet):
        message = (
            f'"initial": expected null for {type(network).__name__}, which has no encoder of its own, got {encoder}'
        )
        raise UsageError(Problem(Code.USAGE, message))
    return network
