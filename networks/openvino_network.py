"""OpenVINO as what runs an exported network on the CPU: faster in int8, and in bf16 where the CPU has it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.networks.choice import BF16
from scanweave.networks.onnx_network import Batch, Run, check_names, no_network, thread_count

_CONVERTER = "openvino.tools.ovc"
"""Of OpenVINO: converts models of other formats, and on its import tells its maker so over the network."""


def openvino_run(path: Path, precision: str) -> Run:
    """The network in `path` in float32 or "bf16", or in the int8 that the file holds.

    One slice at a time, compiled for its size: with the sizes left open int8 takes 1.4 times as long.

    Raises
    ------
    EnvironmentFailure
        WEIGHTS_INVALID where the file holds no such network; ENVIRONMENT_INCOMPLETE where OpenVINO cannot be imported.
    """
    core = import_openvino().Core()
    try:
        model = core.read_model(path)
        check_names([item.get_any_name() for item in (*model.inputs, *model.outputs)])
    except Exception as error:  # OpenVINO raises plain RuntimeErrors of any cause
        raise no_network(path, error) from error
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": thread_count(),
        "INFERENCE_PRECISION_HINT": BF16 if precision == BF16 else "f32",
        "ENABLE_CPU_PINNING": False,  # processes side by side would all be tied to the first cores
    }
    requests: dict[tuple[int, ...], Any] = {}

    def run(batch: Batch) -> Batch:
        shape = (1, *batch.shape[1:])
        if shape not in requests:
            requests.clear()
            model.reshape(list(shape))
            requests[shape] = core.compile_model(model, "CPU", settings).create_infer_request()
        return np.concatenate([np.array(requests[shape].infer([one[None]])[0]) for one in batch])

    return run


def import_openvino() -> Any:
    """The module `openvino`, imported without its converter: no message leaves the machine, no file its user's home."""
    hide = "openvino" not in sys.modules and _CONVERTER not in sys.modules
    try:
        if hide:
            sys.modules[_CONVERTER] = None  # type: ignore[assignment]  # Python's own way to say: there is none
        return importlib.import_module("openvino")
    except Exception as error:  # a library that is half there raises anything
        message = f"OpenVINO cannot be imported ({type(error).__name__}): pip install 'scanweave[openvino]'"
        raise EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message)) from error
    finally:
        if hide:
            del sys.modules[_CONVERTER]
