"""A bundle's network with its weights as one file that other programs run: whole and checked, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanweave import RESEARCH_NOTICE, __version__
from scanweave.errors import Code, EnvironmentFailure, InputRefused, Problem, UsageError
from scanweave.pipeline.bundle import INFERENCE_CONFIG, Bundle, build_part, find_bundle
from scanweave.pipeline.disk_refusals import disk_refusals
from scanweave.pipeline.network_settings import StrPath, expanded
from scanweave.pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from scanweave.networks.export import Size

ONNX, TORCHSCRIPT = "onnx", "torchscript"


@dataclass(frozen=True)
class Shape:
    """What a bundle's metadata say of its network's input: channels, and rows and columns as text and as sizes."""

    channels: int
    texts: tuple[str, ...]
    sizes: tuple[Size, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> Shape:
        """BUNDLE_INVALID where they do not say it."""
        from scanweave.networks.export import Size

        try:
            image = bundle.metadata["network_data_format"]["inputs"]["image"]
            texts = tuple(str(text) for text in image["spatial_shape"])
            return cls(int(image["num_channels"]), texts, tuple(map(Size.parse, texts)))
        except (KeyError, TypeError, ValueError) as error:
            message = f"expected network_data_format of an input `image` ({type(error).__name__}: {error})"
            raise EnvironmentFailure(Problem(Code.BUNDLE_INVALID, message, bundle.name)) from error


def export_network(
    bundle: StrPath, form: str, out: StrPath, *, weights: StrPath | None = None, overwrite: bool = False
) -> dict[str, Any]:
    """Write the network of a bundle, with its own or other `weights`, as "onnx" or "torchscript"; the record of it.

    The file answers as the network does to `networks.export.SAME`, or is not written. In it stands what it was made of.

    Raises
    ------
    UsageError
        USAGE for another form.
    InputRefused
        OUTPUT_EXISTS.
    EnvironmentFailure
        EXPORT_FAILED, ENVIRONMENT_INCOMPLETE, BUNDLE_INVALID, OUTPUT_UNWRITABLE, DISK_FULL, and as `load_weights`.
    """
    target = Path(expanded(out))
    if form not in (ONNX, TORCHSCRIPT):
        raise UsageError(Problem(Code.USAGE, f"--format: expected {ONNX} or {TORCHSCRIPT}, got {form!r}"))
    if target.exists() and not overwrite:
        message = "something is already there; --overwrite replaces it"
        raise InputRefused(Problem(Code.OUTPUT_EXISTS, message, target.name))
    found = find_bundle(expanded(bundle))
    shape = Shape.of(found)
    how = {"device": "cpu", "runtime": "eager", "weights_file": None if weights is None else Path(expanded(weights))}
    network = build_part(found, "network", how, INFERENCE_CONFIG)
    used = build_part(found, "weights", how, INFERENCE_CONFIG)
    notes = {
        "weights": used.name,
        "weights_sha256": used.sha256,
        "bundle": f"{found.name} {found.metadata.get('version', '')}".strip(),
        "scanweave": __version__,
        "notice": RESEARCH_NOTICE,
    }
    content, difference = _checked(network, form, shape, notes, found)
    with disk_refusals(target, what="the file", full="free some space"), whole_file(target) as stream:
        stream.write(content)
    from scanweave.networks.weights import file_sha256

    return {
        "file": str(target),
        "format": form,
        "bytes": len(content),
        "sha256": file_sha256(target),
        "input": ["N", shape.channels, *shape.texts],
        "largest_difference": difference,
        **notes,
    }


def _checked(network: Any, form: str, shape: Shape, notes: dict[str, str], bundle: Bundle) -> tuple[bytes, float]:
    from scanweave.networks.export import check_same, onnx_bytes, onnx_run, torchscript_bytes, torchscript_run

    if form == ONNX:
        content = onnx_bytes(network, shape.channels, shape.sizes, notes)
        run = onnx_run(content)
    else:
        content = torchscript_bytes(network, notes, bundle.metadata)
        run = torchscript_run(content)
    return content, check_same(run, network, shape.channels, shape.sizes)
