"""A network as bytes for other programs: ONNX, or TorchScript. Any number of slices of any size that it takes."""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
import torch

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.networks.onnx_network import INPUT, OUTPUT, import_onnxruntime

SAME = 1e-4
"""The largest difference of a probability between a file and the network that it was made of."""
SMALLEST_HALVED = 256
"""Elements of a tensor that is worth a conversion of its own."""
NOTES_FILE = "scanweave.json"
"""Within a TorchScript file: what it was made of."""
_HALF = "_half"
_AXES = ("h", "w", "d")
_LINES_OF_CODE = ".debug_pkl"
_SIZE = re.compile(r"(?:(\d+)\*n)?(?:\+?(\d+))?")
Run: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Size:
    """How many rows, or columns, a network takes: `step` times any whole number, and `more`."""

    step: int
    more: int = 0

    @classmethod
    def parse(cls, text: str | int) -> Size:
        """Of a metadata's `spatial_shape`: "16*n", "16*n+188", 256; ValueError for other forms."""
        match = _SIZE.fullmatch(str(text).replace(" ", "")) if str(text).strip() else None
        if match is None:
            raise ValueError(f"expected a size like 256, 16*n or 16*n+188, got {text!r}")
        return cls(int(match[1] or 0), int(match[2] or 0))

    def times(self, count: int) -> int:
        """The `count`th size, from 1."""
        return self.step * count + self.more

    def axis(self, name: str) -> Any:
        """For PyTorch's exporter; None where there is one size alone."""
        return self.step * torch.export.Dim(name) + self.more if self.step else None


Sizes: TypeAlias = Sequence[Size]


def onnx_bytes(network: torch.nn.Module, channels: int, sizes: Sizes, notes: Mapping[str, str] | None = None) -> bytes:
    """The network, in evaluation mode, as an ONNX file from `image` (N, channels, rows, columns) to `pred`.

    Tensors that float16 holds exactly are stored so, and widened where the file is loaded: the same float32 numbers in
    half the bytes. `notes` become its metadata.

    Raises
    ------
    EnvironmentFailure
        EXPORT_FAILED; ENVIRONMENT_INCOMPLETE where a package is missing.
    """
    onnx = _imported("onnx")
    model = _halved(onnx, _converted(network, channels, sizes))
    if notes:
        onnx.helper.set_model_props(model, dict(notes))
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def torchscript_bytes(network: torch.nn.Module, notes: Mapping[str, Any], metadata: Mapping[str, Any]) -> bytes:
    """The network, in evaluation mode, as a file for `torch.jit.load` or libtorch; `metadata` as MONAI stores it.

    Raises
    ------
    EnvironmentFailure
        EXPORT_FAILED.
    """
    whole, kept = io.BytesIO(), io.BytesIO()
    extra = {"metadata.json": json.dumps(metadata), NOTES_FILE: json.dumps(notes)}
    try:
        torch.jit.save(torch.jit.script(network), whole, _extra_files=extra)
    except Exception as error:  # its compiler has no type of its own
        raise _failed("TorchScript can hold", error) from error
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(_LINES_OF_CODE):  # they name the paths of this machine
                target.writestr(zipfile.ZipInfo(entry.filename), source.read(entry))
    return kept.getvalue()


def onnx_run(content: bytes) -> Run:
    """What ONNX Runtime makes of such a file, on the CPU."""
    session = import_onnxruntime().InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(slices: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run([OUTPUT], {INPUT: slices.numpy()})[0])

    return run


def torchscript_run(content: bytes) -> Run:
    """What PyTorch makes of such a file, without the network's own code."""
    run: Run = torch.jit.load(io.BytesIO(content), map_location="cpu")
    return run


def check_same(run: Run, network: Run, channels: int, sizes: Sizes) -> float:
    """The largest difference of a probability, for one slice of the smallest size, and for three of another.

    Raises
    ------
    EnvironmentFailure
        EXPORT_FAILED where it is more than `SAME`, or one of them does not take what `sizes` say.
    """
    apart = []
    for count, factors in ((1, (1, 1, 1)), (3, (2, 3, 2))):
        slices = _smooth((count, channels, *(size.times(times) for size, times in zip(sizes, factors, strict=False))))
        try:
            with torch.inference_mode():
                apart.append(float((run(slices) - network(slices)).abs().max()))
        except Exception as error:  # of each runtime's own kind
            raise _failed(f"takes {' x '.join(map(str, slices.shape))}", error) from error
    if not all(difference <= SAME for difference in apart):  # nan is not
        message = f"expected the same probabilities as PyTorch's to {SAME}, found them {max(apart):.1g} apart"
        raise EnvironmentFailure(Problem(Code.EXPORT_FAILED, message))
    return max(apart)


def _smooth(shape: tuple[int, ...]) -> torch.Tensor:
    """Numbers that go up and down slowly: of noise most networks answer nothing, which is easily the same."""
    steps = (torch.arange(size, dtype=torch.float32) for size in shape[2:])
    waves = sum(torch.sin(grid / (3 + axis) + axis) for axis, grid in enumerate(torch.meshgrid(*steps, indexing="ij")))
    changes = torch.linspace(-2, 2, shape[0] * shape[1]).reshape(*shape[:2], *(1 for _ in shape[2:]))
    return (changes * waves).contiguous()


def _converted(network: torch.nn.Module, channels: int, sizes: Sizes) -> Any:
    """ONNX Runtime folds the normalisation itself: here it would turn weights into numbers that are no float16."""
    optimizer = _imported("onnxscript").optimizer
    axes = {axis: size.axis(name) for axis, (size, name) in enumerate(zip(sizes, _AXES, strict=False), start=2)}
    axes = {0: torch.export.Dim("slices"), **{axis: size for axis, size in axes.items() if size is not None}}
    example = torch.zeros(2, channels, *(size.times(count) for size, count in zip(sizes, (4, 6, 4), strict=False)))
    names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
    how: dict[str, Any] = {"dynamic_shapes": (axes,), "dynamo": True, "optimize": False, "verbose": False}
    try:
        with _silent():
            program: Any = torch.onnx.export(network, (example,), **names, **how)
        model = program.model_proto
        optimizer.fold_constants(model)
        optimizer.remove_unused_nodes(model)
    except Exception as error:  # of many kinds
        raise _failed("ONNX can hold", error) from error
    return _without_traces(model)


def _without_traces(model: Any) -> Any:
    """Without what the exporter notes of the lines and paths of the code that it ran."""
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output, graph, model):
        part.doc_string = ""
        del part.metadata_props[:]
    del graph.value_info[:]  # shapes of what lies between, which the runtime finds itself
    return model


def _halved(onnx: Any, model: Any) -> Any:
    """The same model with its large tensors as float16 and a Cast each, where no number changes by it."""
    graph = model.graph
    casts = []
    for stored in graph.initializer:
        values = onnx.numpy_helper.to_array(stored)
        if values.dtype != np.float32 or values.size < SMALLEST_HALVED:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = stored.name
        stored.CopyFrom(onnx.numpy_helper.from_array(half, name + _HALF))
        casts.append(onnx.helper.make_node("Cast", [name + _HALF], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


@contextmanager
def _silent() -> Iterator[None]:
    """The exporter says which packages it would know and are not installed, and prints graphs that it cannot make."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _imported(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        message = f"ONNX files need the package {name}: pip install 'scanweave[export]'"
        raise EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message)) from error


def _failed(which: str, error: BaseException) -> EnvironmentFailure:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
    return EnvironmentFailure(Problem(Code.EXPORT_FAILED, f"expected a network that {which} ({reason})"))
