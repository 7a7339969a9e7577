"""A training's weights into its bundle, with the record of whom they have seen and how good they are."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.errors import Code, InputRefused, Problem, UsageError
from scanweave.networks.weights import Weights, check_bytes, file_sha256
from scanweave.pipeline.bundle import INFERENCE_CONFIG, METADATA_FILE, Bundle, build_part, find_bundle
from scanweave.pipeline.disk_refusals import disk_refusals
from scanweave.pipeline.export import ONNX, export_network
from scanweave.pipeline.json_text import json_text
from scanweave.pipeline.network_settings import StrPath, expanded
from scanweave.pipeline.new_bundle.card import CARD_FILE, with_figures
from scanweave.pipeline.new_bundle.configs import CONFIGS, OF_THE_WEIGHTS
from scanweave.pipeline.new_bundle.held_out import held_out_figures
from scanweave.pipeline.training.train_record import TRAINING_FILE
from scanweave.pipeline.whole_file import whole_file
from scanweave.transforms.input_distance import InputReference

MODEL, EXPORTED = Path("models", "model.pt"), Path("models", "model.onnx")
DIGITS = 8
_EXPORTS = ("onnx", "onnx_int8")
"""What the metadata call files that were made from the weights."""


@dataclass(frozen=True)
class _Training:
    """A training that is done: its folder, its weights as the bundle will call them, its record."""

    folder: Path
    weights: Weights
    record: Mapping[str, Any]


def install_weights(
    training: StrPath, bundle: StrPath, *, onnx: bool = False, overwrite: bool = False
) -> dict[str, Any]:
    """Put the weights of the folder `training` into `bundle`; the record of it.

    The bundle gets models/model.pt, configs/split.json and configs/input_reference.json (where the training has one),
    and in its metadata and card the weights' name and SHA-256 and the figures of the held-out patients. With `onnx`
    also models/model.onnx, which a CPU computes faster. metadata.json comes last: before, nothing of it counts in a
    bundle without weights.

    Raises
    ------
    UsageError
        TRAINING_MISMATCH for the training of another bundle.
    InputRefused
        INPUT_NOT_FOUND for a folder without a finished training; OUTPUT_EXISTS where the bundle has weights and they
        are not to be replaced.
    EnvironmentFailure
        BUNDLE_INVALID; as `load_weights`, for what does not fit the network; as `export_network`; OUTPUT_UNWRITABLE,
        DISK_FULL.
    """
    found = find_bundle(expanded(bundle))
    done = _read(Path(expanded(training)), found)
    if found.metadata.get("weights") is not None and not overwrite:
        message = "the bundle has weights; --overwrite replaces them"
        raise InputRefused(Problem(Code.OUTPUT_EXISTS, message, found.name))
    figures = held_out_figures(done.folder, done.weights.sha256)
    with tempfile.TemporaryDirectory() as stage:
        files = _files(done, found, Path(stage), onnx=onnx)
        metadata = _metadata(found.metadata, done.weights, files.get(EXPORTED), figures)
        card = found.root / CARD_FILE
        texts = {METADATA_FILE: json_text(metadata)}
        if card.is_file():
            texts = {CARD_FILE: with_figures(card.read_text(encoding="utf-8"), metadata["weights"], figures), **texts}
        _write(found, files, texts)
    written = sorted(str(path) for path in (*files, *texts))
    return {"bundle": str(found.root), "weights": metadata["weights"], "eval_metrics": figures, "files": written}


def _read(folder: Path, bundle: Bundle) -> _Training:
    try:
        record = json.loads((folder / TRAINING_FILE).read_text(encoding="utf-8"))
        file, sha256, name = record["weights"]["file"], record["weights"]["sha256"], record["bundle"]["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = (
            f"expected a finished training with {TRAINING_FILE}, of a cross-validation one of its fold_<n>/ "
            f"({type(error).__name__})"
        )
        raise InputRefused(Problem(Code.INPUT_NOT_FOUND, message, folder.name)) from error
    if name != bundle.name:
        message = f"expected a training of the bundle {bundle.name}, found one of {name}"
        raise UsageError(Problem(Code.TRAINING_MISMATCH, message, folder.name))
    check_bytes(Weights(file, folder / file, sha256))
    return _Training(folder, Weights(f"{bundle.name}-{sha256[:DIGITS]}", folder / file, sha256), record)


def _files(done: _Training, bundle: Bundle, stage: Path, *, onnx: bool) -> dict[Path, Path]:
    """By their places in the bundle the files that it gets, all of which fit."""
    how = {"device": "cpu", "runtime": "eager", "weights_file": done.weights.path}
    build_part(bundle, "network", how, INFERENCE_CONFIG)
    files = {MODEL: done.weights.path}
    for name in OF_THE_WEIGHTS:
        if (done.folder / name).is_file():
            files[CONFIGS / name] = done.folder / name
            if name == "input_reference.json":
                _check_reference(done.folder / name, bundle)
    if onnx:
        named = stage / done.weights.name  # the export notes what its weights are called
        shutil.copyfile(done.weights.path, named)
        export_network(bundle.root, ONNX, stage / EXPORTED.name, weights=named)
        files[EXPORTED] = stage / EXPORTED.name
    return files


def _check_reference(path: Path, bundle: Bundle) -> None:
    theirs, own = set(InputReference.read(path).quantiles), {role.name for role in bundle.roles}
    if theirs != own:
        message = f"expected a training on {', '.join(sorted(own))}, found one on {', '.join(sorted(theirs))}"
        raise UsageError(Problem(Code.TRAINING_MISMATCH, message, path.parent.name))


def _metadata(
    old: Mapping[str, Any], weights: Weights, exported: Path | None, figures: Mapping[str, float]
) -> dict[str, Any]:
    """`old` with these weights; what was exported from others is not named any more."""
    made = {key: value for key, value in old.items() if key not in _EXPORTS}
    made["weights"] = {"name": weights.name, "file": MODEL.as_posix(), "sha256": weights.sha256}
    made["eval_metrics"] = dict(figures)
    if exported is not None:
        sha256 = file_sha256(exported)
        made["onnx"] = {"file": EXPORTED.as_posix(), "sha256": sha256, "weights_sha256": weights.sha256}
    return made


def _write(bundle: Bundle, files: Mapping[Path, Path], texts: Mapping[Path, str]) -> None:
    """The files, then the texts, each whole; of the weights before, nothing stays that would be taken for these'."""
    kept = "the bundle may be half changed: the same command with --overwrite goes on"
    with disk_refusals(bundle.root, what="the bundle", full=kept):
        for place, source in files.items():
            (bundle.root / place).parent.mkdir(parents=True, exist_ok=True)
            with source.open("rb") as stream, whole_file(bundle.root / place) as target:
                shutil.copyfileobj(stream, target)
        stale = [CONFIGS / name for name in OF_THE_WEIGHTS]
        stale += [Path(record["file"]) for key in _EXPORTS if (record := bundle.metadata.get(key))]
        for place in stale:
            if place not in files:
                (bundle.root / place).unlink(missing_ok=True)
        for place, text in texts.items():
            with whole_file(bundle.root / place) as target:
                target.write(text.encode())
