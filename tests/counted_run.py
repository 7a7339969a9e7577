"""`python counted_run.py STUDY OUT`: segments a study and prints, as JSON, how much work of each kind it took."""

import gzip
import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path

STUDY, OUT = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
opened: Counter[str] = Counter()
counts: Counter[str] = Counter()
adding = threading.Lock()


def watch(event: str, arguments: tuple) -> None:
    """Every opening of a file of the study, by whatever library."""
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        path = Path(os.fsdecode(arguments[0]))
        if path.is_absolute() and path.is_relative_to(STUDY) and path.is_file():
            opened[path.name] += 1


def counted(kind: type, method: str, name: str, size=lambda result, arguments: 1) -> None:
    """Let `method` of a class add to `counts[name]`."""
    whole = getattr(kind, method)

    def run(self, *arguments, **named):
        result = whole(self, *arguments, **named)
        with adding:  # slices are computed side by side
            counts[name] += size(result, arguments)
        return result

    setattr(kind, method, run)


sys.addaudithook(watch)
counted(gzip._GzipReader, "read", "unpacked_bytes", lambda result, _: len(result))

import SimpleITK as sitk  # noqa: E402 (the hooks come first)

from scanweave import segment  # noqa: E402
from scanweave.networks.onnx_network import OnnxNetwork  # noqa: E402

counted(sitk.ResampleImageFilter, "Execute", "resampled_volumes")
counted(OnnxNetwork, "_run", "network_slices", lambda _, arguments: len(arguments[0]))
done = segment(STUDY, OUT)
unused = ("torch", "monai", "matplotlib", "skimage", "rich", "scipy.ndimage", "scipy.spatial", "scipy.linalg")
loaded = [name for name in unused if name in sys.modules]
told = {"opened": opened, "counts": counts, "loaded": loaded, "shape": done.mask.array.shape}
sys.stdout.write(json.dumps(told) + "\n")
