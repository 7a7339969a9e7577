"""How many slices a second the shipped network takes on a device, by every way of running it: what decides the default.

`python benchmarks/gpu_network.py --device cuda:0 --json gpu.json`. A dozen slices on a CPU: `--device cpu --slices 12
--batches 1,4`. Each way answers to the eager float32 network: the largest difference of a probability stands beside it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.weights import Weights, load_weights
from scanweave.pipeline.bundle import find_bundle

Run = Callable[[torch.Tensor], torch.Tensor]
SIZE = 256
GMAC_PER_SLICE = 12.07
STUDY_SLICES = 26
ROUNDS = 5
MATRIX = {"cuda": 8192, "cpu": 1024}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def ways(device: torch.device) -> Iterator[tuple[str, torch.dtype, Run]]:
    """Name, number format and function of each way; a new network for each, so that none inherits another's layout."""
    half = [("bf16", TYPES["bf16"]), ("fp16", TYPES["fp16"])]
    yield "eager fp32", TYPES["fp32"], network(device, TYPES["fp32"], channels_last=False)
    yield "eager fp32, channels last", TYPES["fp32"], network(device, TYPES["fp32"])
    for name, kind in half:
        yield f"autocast {name}", TYPES["fp32"], network(device, TYPES["fp32"], autocast=kind)
        yield f"{name} weights, channels last", kind, network(device, kind)
        if device.type == "cuda":
            yield f"{name} weights, CUDA graph", kind, graphed(network(device, kind), device)
            compiled = torch.compile(network(device, kind), mode="max-autotune")
            yield f"{name} weights, torch.compile", kind, compiled


def network(
    device: torch.device, kind: torch.dtype, *, channels_last: bool = True, autocast: torch.dtype | None = None
) -> Run:
    """The shipped network as a function of (N, 3, 256, 256)."""
    bundle = find_bundle()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module = load_weights(BNUNet(), Weights.of_bundle(bundle.root, bundle.metadata["weights"]))
    module = module.to(device, kind, memory_format=layout)  # type: ignore[call-overload]

    def run(batch: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=autocast) if autocast else nullcontext():
            answer: torch.Tensor = module(batch.contiguous(memory_format=layout))
        return answer

    return run


def graphed(run: Run, device: torch.device) -> Run:
    """`run` captured once for each shape, then replayed: launches cost the CPU nothing."""
    kept: dict[torch.Size, tuple[torch.cuda.CUDAGraph, torch.Tensor, torch.Tensor]] = {}

    def replay(batch: torch.Tensor) -> torch.Tensor:
        if batch.shape not in kept:
            given = batch.clone()
            with torch.cuda.stream(torch.cuda.Stream(device)):
                for _ in range(3):
                    run(given)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                answer = run(given)
            kept[batch.shape] = (graph, given, answer)
        graph, given, answer = kept[batch.shape]
        given.copy_(batch)
        graph.replay()
        return answer

    return replay


def measured(run: Run, kind: torch.dtype, volume: torch.Tensor, batch: int, device: torch.device) -> dict[str, Any]:
    """Slices a second, from and to main memory, pinned where there is a GPU; median of `ROUNDS`."""
    answers = torch.empty(len(volume), 1, SIZE, SIZE, pin_memory=device.type == "cuda")

    def once() -> float:
        begin = time.perf_counter()
        for first in range(0, len(volume), batch):
            part = volume[first : first + batch].to(device, non_blocking=True).to(kind)
            answers[first : first + batch].copy_(run(part).float(), non_blocking=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begin

    once()  # what is chosen, captured and compiled at first use
    seconds = statistics.median(once() for _ in range(ROUNDS))
    rate = len(volume) / seconds
    return {"batch": batch, "slices_per_s": rate, "studies_per_s": rate / STUDY_SLICES, "answers": answers.clone()}


def matmul_tflops(device: torch.device, kind: torch.dtype) -> float:
    """10^12 operations a second of one large product: the peak that this machine shows."""
    count = MATRIX[device.type]
    one, other = (torch.randn(count, count, device=device).to(kind) for _ in range(2))
    seconds = []
    for _ in range(ROUNDS + 1):
        begin = time.perf_counter()
        one @ other
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return 2 * count**3 / statistics.median(seconds[1:]) / 1e12


def main() -> None:
    """Measure every way at every batch, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--slices", type=int, default=1040)
    parser.add_argument("--batches", default="26,64,128,260")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device(options.device)
    volume = torch.randn(options.slices, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    volume = torch.nn.functional.avg_pool2d(volume, 15, 1, 7) * 15  # smooth as pictures are
    volume = volume.pin_memory() if device.type == "cuda" else volume
    peak = {name: matmul_tflops(device, kind) for name, kind in TYPES.items()}
    print("matmul, TFLOP/s: " + ", ".join(f"{name} {value:.2f}" for name, value in peak.items()))
    columns = ("batch", "slices/s", "studies/s", "bf16 peak", "x eager", "apart")
    print(f"{'way':<30} " + " ".join(f"{column:>9}" for column in columns))
    rows, eager, expected = [], 0.0, None
    with torch.inference_mode():
        for name, kind, run in ways(device):
            for batch in map(int, options.batches.split(",")):
                row = {"way": name, **measured(run, kind, volume, batch, device)}
                answers = row.pop("answers")
                expected = answers if expected is None else expected
                eager = max(eager, row["slices_per_s"]) if name == "eager fp32" else eager
                row["apart"] = float((answers - expected).abs().max())
                row["of_bf16_peak"] = row["slices_per_s"] * 2e-3 * GMAC_PER_SLICE / peak["bf16"]
                row["times_eager"] = row["slices_per_s"] / eager
                rows.append(row)
                print(
                    f"{name:<30} {batch:>9} {row['slices_per_s']:>9.1f} {row['studies_per_s']:>9.2f} "
                    f"{row['of_bf16_peak']:>9.1%} {row['times_eager']:>9.2f} {row['apart']:>9.1e}",
                    flush=True,
                )
    if options.json:
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
        options.json.write_text(json.dumps({"device": name, "matmul_tflops": peak, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
