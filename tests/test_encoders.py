"""U-Nets with ResNet and EfficientNet encoders: sizes, channels, gradients, and what MONAI's own lack."""

import pytest
import torch
from monai.networks.nets.flexible_unet import FLEXUNET_BACKBONE

from scanweave.networks.encoder_names import EFFICIENTNETS, ENCODERS, MULTIPLE, RESNETS
from scanweave.networks.encoders import EncoderUNet

SMALL = ("resnet18", "resnet34", "resnet50", "efficientnet-b0", "efficientnet-b1", "efficientnet-b2")


def test_the_encoders_are_those_that_were_asked_for() -> None:
    assert tuple(f"resnet{layers}" for layers in (18, 34, 50, 101, 152, 200)) == RESNETS
    assert tuple(f"efficientnet-b{number}" for number in range(9)) == EFFICIENTNETS
    assert set(ENCODERS) <= set(FLEXUNET_BACKBONE.register_dict)


@pytest.mark.parametrize(("name", "channels"), list(zip(SMALL, (1, 3, 5, 3, 4, 1), strict=True)))
def test_probabilities_of_the_inputs_size(name: str, channels: int) -> None:
    network = EncoderUNet(name, channels, 2).eval()
    slices = torch.randn(2, channels, MULTIPLE, 2 * MULTIPLE)
    with torch.inference_mode():
        found, logits = network(slices), network.logits(slices)
    assert found.shape == (2, 2, MULTIPLE, 2 * MULTIPLE)
    assert found.min() >= 0 and found.max() <= 1 and found.std() > 0
    assert torch.equal(found, torch.sigmoid(logits))


@pytest.mark.parametrize("name", [name for name in ENCODERS if name not in SMALL])
def test_the_large_ones_without_computing(name: str) -> None:
    with torch.device("meta"):
        network = EncoderUNet(name, 2, 3).eval()
        assert network(torch.empty(2, 2, 64, 96)).shape == (2, 3, 64, 96)


def test_other_sizes_and_encoders_are_refused() -> None:
    network = EncoderUNet("resnet18").eval()
    for rows, columns in ((48, 64), (64, 48), (16, 16), (33, 32)):
        with pytest.raises(ValueError, match=f"multiples of 32, got {rows} rows, {columns} columns"):
            network(torch.zeros(1, 3, rows, columns))
    for name in ("resnet10", "efficientnet-l2", "vgg16", ""):
        with pytest.raises(ValueError, match="expected an encoder of resnet18"):
            EncoderUNet(name)


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet-b0"])
def test_every_parameter_learns(name: str) -> None:
    """Several GPUs wait for each gradient, and a classifier that nobody uses gets none."""
    torch.manual_seed(0)
    network = EncoderUNet(name).train()
    network.logits(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert not [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]


@pytest.mark.parametrize("name", ["resnet18", "resnet34"])
def test_shortcuts_let_gradients_through(name: str) -> None:
    """MONAI's own pad them with zeros and cut the gradient off."""
    network = EncoderUNet(name)
    for layer in (2, 3, 4):
        assert isinstance(network.unet.encoder.get_submodule(f"layer{layer}.0.downsample.0"), torch.nn.Conv2d)


def test_nothing_is_random_in_a_step_of_an_efficientnet() -> None:
    """Stochastic depth would draw from a generator that no checkpoint holds."""
    network = EncoderUNet("efficientnet-b0").train()
    slices = torch.randn(4, 3, 64, 64)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(network.logits(slices).detach())
    assert torch.equal(*found)
