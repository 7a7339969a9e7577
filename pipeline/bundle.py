"""Finding a bundle and building the chain that its configuration names."""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scanweave.errors import Code, EnvironmentFailure, Problem, ScanweaveError
from scanweave.pipeline.plain_config import PlainConfig, is_plain
from scanweave.transforms.segments import Segment, parse_segments
from scanweave.transforms.selection.roles import Role, parse_roles

if TYPE_CHECKING:
    from scanweave.pipeline.evaluator import StudyEvaluator

DEFAULT_BUNDLE = "flair_abnormality"
INFERENCE_CONFIG, TRAIN_CONFIG = Path("configs", "inference.json"), Path("configs", "train.json")
METADATA_FILE = Path("configs", "metadata.json")


@dataclass(frozen=True)
class Bundle:
    """A MONAI bundle on disk and what its metadata declares."""

    root: Path
    metadata: Mapping[str, Any]
    roles: tuple[Role, ...]
    segments: tuple[Segment, ...]

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.name


def find_bundle(name_or_folder: str = DEFAULT_BUNDLE) -> Bundle:
    """The shipped bundle of that name, or the one in that folder.

    Raises
    ------
    EnvironmentFailure
        BUNDLE_INVALID where there is none or its metadata cannot be used.
    """
    shipped = Path(str(importlib.resources.files("scanweave.bundles"))) / name_or_folder
    root = shipped if (shipped / METADATA_FILE).is_file() else Path(name_or_folder).resolve()
    try:
        metadata = json.loads((root / METADATA_FILE).read_text())
        roles = parse_roles(metadata["roles"])
        segments = parse_segments(metadata["segments"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = (
            f"expected a bundle with {METADATA_FILE} that declares roles and segments ({type(error).__name__}: {error})"
        )
        raise EnvironmentFailure(Problem(Code.BUNDLE_INVALID, message, root.name)) from error
    return Bundle(root, metadata, roles, segments)


def build_evaluator(
    bundle: Bundle, overrides: Mapping[str, Any], config_file: Path = INFERENCE_CONFIG
) -> StudyEvaluator:
    """The bundle's engine, with its configuration's entries replaced by `overrides`; refusals as `build_part`."""
    evaluator: StudyEvaluator = build_part(bundle, "evaluator", overrides, config_file)
    return evaluator


def build_part(bundle: Bundle, part: str, overrides: Mapping[str, Any], config_file: Path) -> Any:
    """What a configuration of the bundle names `part`, with its entries replaced by `overrides`.

    The configuration may run code of its own, as any MONAI bundle's may: a bundle is trusted like a program.

    Raises
    ------
    ScanweaveError
        What the parts refuse while they are built (weights, device), as they raised it; WEIGHTS_MISSING, before any is,
        for a bundle that has none yet.
    EnvironmentFailure
        BUNDLE_INVALID for a configuration that cannot be read or built.
    """
    changes = {"bundle_root": bundle.root, **overrides}
    if config_file != TRAIN_CONFIG:
        _check_weights(bundle, changes)
    try:
        config = json.loads((bundle.root / config_file).read_text())
        if is_plain(config):
            return PlainConfig(config, bundle.metadata, changes)[part]
        return _built_by_monai(bundle, config, changes, part)
    except Exception as error:  # MONAI wraps what a part raises while it is built
        refusal = refusal_within(error)
        if refusal is not None:
            raise refusal from error
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        message = f"{config_file} cannot be built ({type(cause).__name__}: {' '.join(str(cause).split())[:200]})"
        raise EnvironmentFailure(Problem(Code.BUNDLE_INVALID, message, bundle.name)) from error


def _check_weights(bundle: Bundle, changes: Mapping[str, Any]) -> None:
    """Before a study is read; MONAI's own commands find out when the network is asked."""
    given = changes.get("weights_file") is not None or "network" in changes
    if not given and bundle.metadata.get("weights", {}) is None:
        from scanweave.networks.weights import no_weights_yet

        raise no_weights_yet(bundle.name)


def _built_by_monai(bundle: Bundle, config: Mapping[str, Any], changes: Mapping[str, Any], part: str) -> Any:
    from monai.bundle import ConfigParser

    parser = ConfigParser(dict(config))
    parser.read_meta(dict(bundle.metadata))
    parser.update(dict(changes))
    return parser.get_parsed_content(part)


def refusal_within(error: BaseException | None) -> ScanweaveError | None:
    """The refusal that `error` is, or that a library has wrapped into it."""
    while error is not None and not isinstance(error, ScanweaveError):
        error = error.__cause__ or error.__context__
    return error
