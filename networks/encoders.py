"""U-Nets whose encoder is a ResNet or an EfficientNet: MONAI's FlexibleUNet on 2-D slices, mended where it needs to be.

ResNet: K. He et al., "Deep Residual Learning for Image Recognition", 2015 (arXiv 1512.03385). EfficientNet: M. Tan,
Q. V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019 (arXiv 1905.11946).
"""

from __future__ import annotations

import torch
from monai.networks.nets import FlexibleUNet
from monai.networks.nets.resnet import ResNet, ResNetFeatures, get_inplanes, resnet_params
from torch import nn

from scanweave.networks.encoder_names import ENCODERS, MULTIPLE, RESNETS

_CLASSIFYING = ("_conv_head", "_conv_head_padding", "_bn1", "_avg_pooling", "_dropout", "_fc")
"""Parts of MONAI's EfficientNet behind its last features."""


class EncoderUNet(nn.Module):
    """(N, in_channels, H, W) to (N, out_channels, H, W) probabilities; H and W are multiples of 32 (`MULTIPLE`).

    `encoder` is one of `ENCODERS`; the decoder has five levels of two 3x3 convolutions, of widths 256 to 16. The
    sigmoid is inside; `logits` gives the values before it. Weights are random; `load_encoder` brings those of ImageNet.

    Raises
    ------
    ValueError
        For another encoder; in use, for another number of rows or columns.
    """

    def __init__(self, encoder: str = "resnet34", in_channels: int = 3, out_channels: int = 1) -> None:
        super().__init__()
        if encoder not in ENCODERS:
            raise ValueError(f"expected an encoder of {', '.join(ENCODERS)}, got {encoder!r}")
        self.name, self.in_channels, self.multiple = encoder, in_channels, MULTIPLE
        self.unet = FlexibleUNet(in_channels, out_channels, encoder, spatial_dims=2, is_pad=False)
        if encoder in RESNETS:
            self.unet.encoder = _ResNetEncoder(encoder, in_channels)
        else:
            _mend_efficientnet(self.unet.encoder)

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """The network's values before the sigmoid."""
        if x.shape[-2] % self.multiple != 0 or x.shape[-1] % self.multiple != 0:
            raise ValueError(f"expected multiples of {self.multiple}, got {x.shape[-2]} rows, {x.shape[-1]} columns")
        values: torch.Tensor = self.unet(x)
        return values

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities, 0..1."""
        return torch.sigmoid(self.logits(x))


class _ResNetEncoder(ResNetFeatures):
    """The features of a ResNet as torchvision has it, whose weights fit strictly.

    MONAI's own encoders of 18 and 34 layers pad their shortcuts with zeros (He et al., option A): no gradient passes
    there, no ImageNet weights fit, and TorchScript does not take them.
    """

    def __init__(self, name: str, in_channels: int) -> None:
        block, layers, *_ = resnet_params[name]
        ResNet.__init__(
            self,
            block,
            layers,
            get_inplanes(),
            spatial_dims=2,
            n_input_channels=in_channels,
            conv1_t_stride=2,
            shortcut_type="B",
            feed_forward=False,
            bias_downsample=False,
        )


def _mend_efficientnet(encoder: nn.Module) -> None:
    """Without the classifier, which gets no gradient (several GPUs would wait for it); with PyTorch's own swish.

    Without stochastic depth too: it draws from a generator that no checkpoint holds, so that a training that was killed
    could not go on exactly.
    """
    for name in _CLASSIFYING:
        delattr(encoder, name)
    for module in encoder.modules():
        if hasattr(module, "_swish"):
            module._swish = nn.SiLU()
        if hasattr(module, "drop_connect_rate"):
            module.drop_connect_rate = 0.0  # type: ignore[assignment]
