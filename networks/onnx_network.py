"""A network that was exported to ONNX, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from scanweave.errors import Code, EnvironmentFailure, Problem

INPUT, OUTPUT = "image", "pred"
"""Names in the file, as a bundle's metadata has them."""


class OnnxNetwork(nn.Module):
    """(N, C, H, W) float32 on the CPU to (N, out, H, W) probabilities, as the network that the file was made from.

    It uses as many threads as PyTorch would. Threads sleep while they wait: spinning costs as much as computing.

    Raises
    ------
    EnvironmentFailure
        WEIGHTS_INVALID for a file that holds no such network.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
            names = [item.name for item in (*self.session.get_inputs(), *self.session.get_outputs())]
            if names != [INPUT, OUTPUT]:
                raise ValueError(f"expected {INPUT} and {OUTPUT}, found {', '.join(names)}")
        except Exception as error:  # ONNX Runtime has its own types, none of them public
            message = f"expected a network in ONNX ({type(error).__name__})"
            raise EnvironmentFailure(Problem(Code.WEIGHTS_INVALID, message, path.name)) from error

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities, 0..1."""
        (found,) = self.session.run([OUTPUT], {INPUT: x.contiguous().numpy()})
        return torch.from_numpy(found)
