"""The encoders of `EncoderUNet`, by MONAI's names."""

from __future__ import annotations

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnet200")
EFFICIENTNETS = tuple(f"efficientnet-b{number}" for number in range(9))
ENCODERS = RESNETS + EFFICIENTNETS
MULTIPLE = 32
"""Of pixels, rows and columns: an encoder halves its input five times, and the decoder doubles what is left."""
