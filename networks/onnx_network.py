"""A network that was exported to ONNX, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, EnvironmentFailure, Problem

if TYPE_CHECKING:
    import onnxruntime

INPUT, OUTPUT = "image", "pred"
"""Names in the file, as a bundle's metadata has them."""
Batch = npt.NDArray[np.float32]


class OnnxNetwork:
    """(N, C, H, W) float32 to (N, out, H, W) probabilities, as the network that the file was made from.

    The file is loaded in a thread of its own, while a study is read and registered. With `mirror` the mean of the
    probabilities and of those for the columns reversed (`MirrorAverage`), in twice the time.
    """

    def __init__(self, path: Path, mirror: bool = False) -> None:
        self.mirror = mirror
        loader = ThreadPoolExecutor(max_workers=1)
        self._session = loader.submit(_session, path)
        loader.shutdown(wait=False)

    def __call__(self, batch: Batch) -> Batch:
        """Probabilities, 0..1.

        Raises
        ------
        EnvironmentFailure
            WEIGHTS_INVALID where the file holds no such network.
        """
        if not self.mirror:
            return self._run(batch)
        mirrored = self._run(batch[..., ::-1])[..., ::-1]
        mean: Batch = (self._run(batch) + mirrored) / np.float32(2)
        return mean

    def _run(self, batch: Batch) -> Batch:
        found = self._session.result().run([OUTPUT], {INPUT: np.ascontiguousarray(batch, dtype=np.float32)})
        probabilities: Batch = found[0]
        return probabilities


def _session(path: Path) -> onnxruntime.InferenceSession:
    """Threads sleep while they wait: spinning costs as much as computing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [item.name for item in (*session.get_inputs(), *session.get_outputs())]
        if names != [INPUT, OUTPUT]:
            raise ValueError(f"expected {INPUT} and {OUTPUT}, found {', '.join(names)}")
    except Exception as error:  # ONNX Runtime has its own types, none of them public
        message = f"expected a network in ONNX ({type(error).__name__})"
        raise EnvironmentFailure(Problem(Code.WEIGHTS_INVALID, message, path.name)) from error
    return session


def thread_count() -> int:
    """What OMP_NUM_THREADS says, which PyTorch heeds too, or else the cores that this process may use."""
    try:
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    except (KeyError, ValueError):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
