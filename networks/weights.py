"""Weights from a file into a network: the right bytes, only tensors, every key, or a refusal."""

from __future__ import annotations

import errno
import hashlib
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from scanweave.errors import Code, EnvironmentFailure, Problem

if TYPE_CHECKING:
    import torch

Network = TypeVar("Network", bound="torch.nn.Module")

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Weights:
    """A weights file, what it is called in results, and the SHA-256 that its bytes must have."""

    name: str
    path: Path
    sha256: str

    @classmethod
    def of_bundle(cls, bundle_root: str | Path, record: Mapping[str, str] | None) -> Weights:
        """The file that a bundle's metadata records as `{"name", "file", "sha256"}`, relative to its root.

        None, that of a new bundle, are weights that are `still_to_be_made`.
        """
        if record is None:
            return cls("none yet", Path(bundle_root).resolve() / "models" / "model.pt", "")
        return cls(record["name"], Path(bundle_root) / record["file"], record["sha256"])

    @property
    def still_to_be_made(self) -> bool:
        """Whether there is no file."""
        return not self.sha256

    @classmethod
    def of_file(cls, path: str | Path) -> Weights:
        """A file of the user's own, known only by its content; WEIGHTS_MISSING where there is none."""
        return cls(Path(path).name, Path(path), file_sha256(path))


def no_weights_yet(bundle: str) -> EnvironmentFailure:
    """WEIGHTS_MISSING of a new bundle."""
    message = "this bundle has no weights yet: scanweave train makes them, --weights FILE uses them"
    return EnvironmentFailure(Problem(Code.WEIGHTS_MISSING, message, bundle))


def load_weights(network: Network, weights: Weights) -> Network:
    """Load a plain state dict strictly into `network`, which is returned in evaluation mode.

    Raises
    ------
    EnvironmentFailure
        WEIGHTS_MISSING; WEIGHTS_ALTERED where the bytes are not the recorded ones; WEIGHTS_INVALID for a pickle of
        anything but tensors, and for missing, superfluous or differently shaped entries.
    """

    def fill(state: Mapping[str, torch.Tensor]) -> None:
        network.load_state_dict(state, strict=True)

    use_state(weights, f"a state dict of {type(network).__name__} and nothing else", fill)
    return network.eval()


def use_state(weights: Weights, expected: str, fill: Callable[[Mapping[str, torch.Tensor]], object]) -> None:
    """Read a plain state dict and call `fill` with it; what that raises says that it is not what was `expected`.

    Raises
    ------
    EnvironmentFailure
        As `load_weights`.
    """
    import torch

    check_bytes(weights)
    path = weights.path
    state = None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        fill(state)
    except Exception as error:  # unpickling refuses with many types; each means the same here
        message = f"expected {expected}: {_reason(error, state)}"
        raise EnvironmentFailure(Problem(Code.WEIGHTS_INVALID, message, path.name)) from error


def check_bytes(weights: Weights) -> None:
    """WEIGHTS_MISSING, or WEIGHTS_ALTERED where the file's bytes are not the recorded ones."""
    found = file_sha256(weights.path)
    if found != weights.sha256:
        message = f"expected SHA-256 {weights.sha256[:12]}.., found {found[:12]}..: restore the bundle's file"
        raise EnvironmentFailure(Problem(Code.WEIGHTS_ALTERED, message, weights.path.name))


def file_sha256(path: str | Path) -> str:
    """The hexadecimal SHA-256 of a weights file; WEIGHTS_MISSING where there is none."""
    digest = hashlib.sha256()
    try:
        if Path(path).exists() and not Path(path).is_file():  # to open a pipe is to wait for its writer
            raise OSError(errno.EINVAL, "not a regular file")
        with Path(path).open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        message = f"expected a weights file ({error.strerror or type(error).__name__})"
        raise EnvironmentFailure(Problem(Code.WEIGHTS_MISSING, message, Path(path).name)) from error
    return digest.hexdigest()


def _reason(error: Exception, state: object) -> str:
    """What is wrong, without the advice to unpickle what a stranger sent, which torch adds."""
    if isinstance(error, pickle.UnpicklingError):
        return "it is not a file of plain tensors, and another kind is not opened"
    if isinstance(state, Mapping) and "learner" in state and "epoch" in state:
        return "this is the state of a training; its weights are in model.pt beside it"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200] if lines else type(error).__name__
