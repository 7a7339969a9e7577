"""A network that was exported to ONNX, run on the CPU: by ONNX Runtime, or by another that reads such files."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.networks.choice import FP32, NO_TELEMETRY, ONNX

INPUT, OUTPUT = "image", "pred"
"""Names in the file, as a bundle's metadata has them."""
MOST_AT_ONCE = 4
"""Slices: each needs 150 MB while it is computed."""
Batch = npt.NDArray[np.float32]
Run: TypeAlias = Callable[[Batch], Batch]
"""(N, C, H, W), contiguous, to (N, out, H, W)."""


def onnxruntime_run(path: Path, precision: str) -> Run:
    """ONNX Runtime's, in the numbers that the file holds; WEIGHTS_INVALID where it holds no such network.

    Each caller computes, helped by the threads that are left when `slices_at_once` call. These sleep while they wait:
    spinning costs as much as computing.
    """
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = thread_count() - slices_at_once() + 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        check_names([item.name for item in (*session.get_inputs(), *session.get_outputs())])
    except Exception as error:  # ONNX Runtime has its own types, none of them public
        raise no_network(path, error) from error

    def run(batch: Batch) -> Batch:
        probabilities: Batch = session.run([OUTPUT], {INPUT: batch})[0]
        return probabilities

    return run


def import_onnxruntime() -> Any:
    """The module `onnxruntime` without its telemetry: since 1.31 it reports sessions to its maker over the network and
    writes below the user's home and into the temporary folder. A process that imported it before keeps what it has."""
    os.environ.setdefault(NO_TELEMETRY, "1")
    import onnxruntime

    return onnxruntime


class OnnxNetwork:
    """(N, C, H, W) float32 to (N, out, H, W) probabilities, as the network that the file was made from.

    The file is loaded in a thread of its own, while a study is read and registered; `load` says by whom, and
    `runtime` and `precision` are what results say. With `mirror` the mean of the probabilities and of those for the
    columns reversed (`MirrorAverage`), in twice the time. As many threads as `at_once` says may call at the same time.
    """

    def __init__(
        self,
        path: Path,
        mirror: bool = False,
        runtime: str = ONNX,
        precision: str = FP32,
        load: Callable[[Path, str], Run] = onnxruntime_run,
        at_once: int = 1,
    ) -> None:
        self.at_once = at_once
        self.mirror, self.runtime, self.precision = mirror, runtime, precision
        loader = ThreadPoolExecutor(max_workers=1)
        self._loaded = loader.submit(load, path, precision)
        loader.shutdown(wait=False)

    def __call__(self, batch: Batch) -> Batch:
        """Probabilities, 0..1.

        Raises
        ------
        EnvironmentFailure
            WEIGHTS_INVALID where the file holds no such network; ENVIRONMENT_INCOMPLETE where its runtime is broken.
        """
        if not self.mirror:
            return self._run(batch)
        mirrored = self._run(batch[..., ::-1])[..., ::-1]
        mean: Batch = (self._run(batch) + mirrored) / np.float32(2)
        return mean

    def _run(self, batch: Batch) -> Batch:
        return self._loaded.result()(np.ascontiguousarray(batch, dtype=np.float32))


def slices_at_once() -> int:
    """How many slices ONNX Runtime computes side by side: a core to each takes a tenth less than all cores to one."""
    return min(thread_count(), MOST_AT_ONCE)


def check_names(names: list[str]) -> None:
    """ValueError where a file's inputs and outputs are not ours."""
    if names != [INPUT, OUTPUT]:
        raise ValueError(f"expected {INPUT} and {OUTPUT}, found {', '.join(names)}")


def no_network(path: Path, error: Exception) -> EnvironmentFailure:
    """WEIGHTS_INVALID, for what a runtime raised about a file."""
    message = f"expected a network in ONNX ({type(error).__name__})"
    return EnvironmentFailure(Problem(Code.WEIGHTS_INVALID, message, path.name))


def thread_count() -> int:
    """What OMP_NUM_THREADS says, which PyTorch heeds too, or else the cores that this process may use."""
    try:
        return max(1, int(os.environ["OMP_NUM_THREADS"]))
    except (KeyError, ValueError):
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
