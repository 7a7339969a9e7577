"""A network that was exported to ONNX, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, EnvironmentFailure, Problem

INPUT, OUTPUT = "image", "pred"
"""Names in the file, as a bundle's metadata has them."""
Batch = npt.NDArray[np.float32]


class OnnxNetwork:
    """(N, C, H, W) float32 to (N, out, H, W) probabilities, as the network that the file was made from.

    With `mirror` the mean of that and of the same for the columns reversed (`MirrorAverage`), in twice the time.
    Threads sleep while they wait: spinning costs as much as computing.

    Raises
    ------
    EnvironmentFailure
        WEIGHTS_INVALID for a file that holds no such network.
    """

    def __init__(self, path: Path, mirror: bool = False) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = thread_count()
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
        self.mirror = mirror

    def __call__(self, batch: Batch) -> Batch:
        """Probabilities, 0..1."""
        if not self.mirror:
            return self._run(batch)
        return (self._run(batch) + self._run(batch[..., ::-1])[..., ::-1]) / 2

    def _run(self, batch: Batch) -> Batch:
        (found,) = self.session.run([OUTPUT], {INPUT: np.ascontiguousarray(batch, dtype=np.float32)})
        probabilities: Batch = found
        return probabilities


def thread_count() -> int:
    """What OMP_NUM_THREADS says, which PyTorch heeds too, or else the cores that this process may use."""
    try:
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    except (KeyError, ValueError):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
