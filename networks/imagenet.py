"""Weights of ImageNet classifiers for the encoders, and where each is to be had."""

from __future__ import annotations

from collections.abc import Mapping

from scanweave.networks.published import Published

_TORCHVISION = "https://download.pytorch.org/models/"
_EFFICIENTNET = "https://github.com/lukemelas/EfficientNet-PyTorch/releases/download/1.0/"
_BY_FILE = '"initial": FILE in train.json'
_OF_TORCHVISION = "torchvision (BSD-3-Clause), IMAGENET1K_V1, trained on ImageNet"
_OF_LUKEMELAS = "lukemelas/EfficientNet-PyTorch (Apache-2.0), trained on ImageNet"
_DIGITS = {
    "resnet18": "f37072fd",
    "resnet34": "b627a593",
    "resnet50": "0676ba61",
    "resnet101": "63fe2227",
    "resnet152": "394f9c45",
    "efficientnet-b0": "355c32eb",
    "efficientnet-b1": "f1951068",
    "efficientnet-b2": "8bb594d6",
    "efficientnet-b3": "5fb5a3c3",
    "efficientnet-b4": "6ed6700e",
    "efficientnet-b5": "b6417697",
    "efficientnet-b6": "c76e70fd",
    "efficientnet-b7": "dcc49843",
}
"""Of each file, which carries them in its name."""


def _published(encoder: str, digits: str) -> Published:
    own = encoder.startswith("resnet")
    place, origin = (_TORCHVISION, _OF_TORCHVISION) if own else (_EFFICIENTNET, _OF_LUKEMELAS)
    return Published(encoder, f"{place}{encoder}-{digits}.pth", origin, _BY_FILE)


IMAGENET: Mapping[str, Published] = {
    **{encoder: _published(encoder, digits) for encoder, digits in _DIGITS.items()},
    "efficientnet-b8": Published(
        "efficientnet-b8",
        f"{_EFFICIENTNET}adv-efficientnet-b8-22a8fe65.pth",
        f"{_OF_LUKEMELAS} with adversarial examples (AdvProp): there are no others of this size",
        _BY_FILE,
    ),
}
"""By encoder; nobody has published any for `resnet200` in this form."""
