"""The networks that a bundle's `network_def` may name, and what each costs; imports none of them."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scanweave.networks.encoder_names import ENCODERS, MULTIPLE
from scanweave.networks.imagenet import IMAGENET

FIGURES_FILE = "figures.json"
ROWS = COLUMNS = 256
"""Of the slice whose cost is listed."""


@dataclass(frozen=True)
class Listed:
    """A network: its class, the arguments by which it is listed, and how many rows and columns it takes."""

    name: str
    target: str
    arguments: Mapping[str, Any]
    sizes: str

    @property
    def definition(self) -> dict[str, Any]:
        """As a bundle's `network_def`."""
        return {"_target_": self.target, **self.arguments}


@dataclass(frozen=True)
class Figures:
    """What a network costs: parameters, 10^9 multiply-adds for one slice of 256x256, bytes of model.pt's tensors."""

    parameters: int
    gmac: float
    float16_bytes: int


_CHANNELS = {"in_channels": 3, "out_channels": 1}
NETWORKS = (
    Listed("bn_unet", "scanweave.networks.bn_unet.BNUNet", {**_CHANNELS, "features": 32}, "16*n"),
    Listed(
        "unet_1505",
        "scanweave.networks.unet_1505.UNet1505",
        {"in_channels": 3, "classes": 2, "features": 64, "padded": True},
        "16*n",
    ),
    # Each other network is a line here; scripts/network-figures then measures it.
    *(
        Listed(name, "scanweave.networks.encoders.EncoderUNet", {"encoder": name, **_CHANNELS}, f"{MULTIPLE}*n")
        for name in ENCODERS
    ),
)


def figures() -> dict[str, Figures]:
    """By name, as scripts/network-figures measured them: to do it here would import PyTorch and MONAI."""
    text = importlib.resources.files("scanweave.networks").joinpath(FIGURES_FILE).read_text()
    return {name: Figures(**values) for name, values in json.loads(text).items()}


def networks_record() -> list[dict[str, Any]]:
    """For JSON: each network with its figures, and the URL of ImageNet weights for its encoder, or None."""
    known = figures()
    return [
        {
            "name": listed.name,
            "network_def": listed.definition,
            "sizes": listed.sizes,
            **vars(known[listed.name]),
            "imagenet": IMAGENET[listed.name].url if listed.name in IMAGENET else None,
        }
        for listed in NETWORKS
    ]
