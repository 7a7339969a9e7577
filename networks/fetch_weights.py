"""Published weights into the user's cache by torch.hub: whole, verified and strictly loaded, or not at all."""

from __future__ import annotations

import io
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TypeAlias
from urllib.error import HTTPError, URLError

import torch

from scanweave.errors import FULL_DISK, Code, EnvironmentFailure, Problem
from scanweave.networks.bn_unet import BNUNet
from scanweave.networks.published import Published
from scanweave.networks.weights import Weights, load_weights

SILENCE_SECONDS = 30.0
"""How long a server or proxy may say nothing before it is given up; torch.hub itself would wait for ever."""
Fits: TypeAlias = Callable[[Weights], object]
"""Raises WEIGHTS_INVALID for a file that does not fit the network that it is for."""


@dataclass(frozen=True)
class Fetched:
    """Verified weights in the cache, and whether they came over the network just now."""

    weights: Weights
    downloaded: bool


def published_path(published: Published) -> Path:
    """Where the file lies once fetched: torch.hub's own place, which TORCH_HOME or XDG_CACHE_HOME moves."""
    return Path(torch.hub.get_dir(), "checkpoints", published.file).absolute()


def fetch_weights(
    published: Published, fits: Fits | None = None, *, silence: float = SILENCE_SECONDS, progress: bool = False
) -> Fetched:
    """The weights from the cache, verified again and without network, or else from their URL.

    `fits` tries them, by default in `BNUNet()`. urllib's environment variables for proxies are obeyed. `silence` is in
    seconds; `progress` shows torch.hub's bar on stderr. The time limit is set for the whole process while the download
    lasts, as torch.hub has no parameter for it.

    Raises
    ------
    EnvironmentFailure
        DOWNLOAD_FAILED; WEIGHTS_ALTERED for other bytes, cached or downloaded; WEIGHTS_INVALID where the bytes do
        not fit; OUTPUT_UNWRITABLE and DISK_FULL for the cache. Nothing is left of a download then.
    """
    path, fits = published_path(published), fits or _fits_bn_unet
    try:
        if path.exists():
            return Fetched(_verified(path, published, fits, "remove the file and fetch it again"), downloaded=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".scanweave-", dir=path.parent) as temporary:
            candidate = Path(temporary, published.file)
            _download(published, candidate, path, silence, progress)
            sha256 = _verified(candidate, published, fits, _by_hand(path, published)).sha256
            candidate.replace(path)
    except OSError as error:
        full = error.errno in FULL_DISK
        message = "the disk is full" if full else f"expected a cache for weights ({_reason(error)}): set TORCH_HOME"
        code = Code.DISK_FULL if full else Code.OUTPUT_UNWRITABLE
        raise EnvironmentFailure(Problem(code, message, str(path.parent))) from error
    return Fetched(Weights(path.name, path, sha256), downloaded=True)


def _download(published: Published, candidate: Path, path: Path, silence: float, progress: bool) -> None:
    try:
        with _impatient(silence), redirect_stdout(io.StringIO()):  # torch.hub prints on stdout, which is for results
            torch.hub.load_state_dict_from_url(
                published.url,
                model_dir=str(candidate.parent),
                map_location="cpu",
                progress=progress,
                check_hash=True,
                weights_only=True,
            )
    except Exception as error:
        if candidate.exists():
            return  # it came with the right digest, and is no state dict: loading it strictly says so
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise
        by_hand = _by_hand(path, published)
        if not isinstance(error, OSError | HTTPException | ValueError):  # torch.hub's RuntimeError: another digest
            found = "other bytes came (cut short, or put there by a proxy) and were not kept"
            message = f"expected SHA-256 {published.sha256_start}.., {found}: {by_hand}"
            raise EnvironmentFailure(Problem(Code.WEIGHTS_ALTERED, message, published.url)) from error
        message = f"expected {published.file} from the network ({_reason(error)}): {by_hand}"
        raise EnvironmentFailure(Problem(Code.DOWNLOAD_FAILED, message, published.url)) from error


def _verified(path: Path, published: Published, fits: Fits, remedy: str) -> Weights:
    weights = Weights.of_file(path)
    if not weights.sha256.startswith(published.sha256_start):
        found = weights.sha256[: len(published.sha256_start)]
        message = f"expected SHA-256 {published.sha256_start}.., found {found}..: {remedy}"
        raise EnvironmentFailure(Problem(Code.WEIGHTS_ALTERED, message, str(path)))
    fits(weights)
    return weights


def _fits_bn_unet(weights: Weights) -> None:
    load_weights(BNUNet(), weights)


def _by_hand(path: Path, published: Published) -> str:
    return f"try again, or download it elsewhere and put it at {path}, or name it by {published.by_file}"


def _reason(error: BaseException) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, URLError) and isinstance(error.reason, BaseException):
        return _reason(error.reason)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


@contextmanager
def _impatient(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
