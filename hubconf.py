"""For `torch.hub.load(REPO, "unet", pretrained=True)`: the network and the shipped weights, with nothing but torch.

Arguments and behaviour are those of mateuszbuda/brain-segmentation-pytorch, so that programs written for it need only
another REPO. Research use only, not a medical device.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import pathlib  # not Path: torch.hub takes every public callable here for a model
import sys

import torch

dependencies = ["torch"]

_ROOT = pathlib.Path(__file__).resolve().parent
_NETWORK = _ROOT / "networks" / "bn_unet.py"
_BUNDLE = _ROOT / "bundles" / "flair_abnormality"
_MODULE = "scanweave_hub_bn_unet"
"""Not scanweave.networks.bn_unet: an installed scanweave may be of another version."""
_PRETRAINED = {"in_channels": 3, "out_channels": 1, "init_features": 32}


def unet(
    pretrained: bool = False, in_channels: int = 3, out_channels: int = 1, init_features: int = 32
) -> torch.nn.Module:
    """U-Net with batch normalisation: (N, in_channels, H, W) to (N, out_channels, H, W) probabilities, float32.

    H and W are multiples of 16; `init_features` is the width of the first level. The pretrained network takes axial
    slices of 256 x 256 with the channels pre-contrast T1, FLAIR, post-contrast T1, z-scored over the volume
    (docs/data-flow.md). It is returned in training mode, as the published one is: call `eval()` before predicting.

    Raises
    ------
    ValueError
        Pretrained weights asked for other channels or widths than 3, 1, 32.
    RuntimeError
        The weights are not the recorded bytes, or do not fit.
    """
    asked = {"in_channels": in_channels, "out_channels": out_channels, "init_features": init_features}
    if pretrained and asked != _PRETRAINED:
        raise ValueError(f"pretrained weights are for {_written(_PRETRAINED)}, not for {_written(asked)}")
    model = _network_class()(in_channels, out_channels, init_features)
    if pretrained:
        model.load_state_dict(_state_dict(), strict=True)
    return model


def _network_class() -> type[torch.nn.Module]:
    """`BNUNet` by the file's place: the checkout need not be installed, nor what the rest of it imports."""
    module = sys.modules.get(_MODULE)
    if module is None or module.__file__ != str(_NETWORK):
        spec = importlib.util.spec_from_file_location(_MODULE, _NETWORK)
        if spec is None or spec.loader is None:
            raise ImportError(f"expected the network in {_NETWORK}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[_MODULE] = module  # where pickle looks for the class
    return module.BNUNet


def _state_dict() -> dict[str, torch.Tensor]:
    record = json.loads((_BUNDLE / "configs" / "metadata.json").read_text())["weights"]
    path = _BUNDLE / record["file"]
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != record["sha256"]:
        raise RuntimeError(f"expected SHA-256 {record['sha256'][:12]}.. of {path}, found {found[:12]}..")
    return torch.load(path, map_location="cpu", weights_only=True)


def _written(arguments: dict[str, int]) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
