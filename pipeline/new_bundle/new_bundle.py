"""A complete bundle without weights, made like a shipped one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from scanweave.errors import Code, InputRefused, Problem
from scanweave.pipeline.bundle import DEFAULT_BUNDLE, Bundle, find_bundle
from scanweave.pipeline.network_settings import StrPath, expanded
from scanweave.pipeline.new_bundle.card import new_texts
from scanweave.pipeline.new_bundle.configs import new_configs
from scanweave.pipeline.new_bundle.design import design
from scanweave.pipeline.result_folder import staged


def new_bundle(
    name: str,
    folder: StrPath = ".",
    *,
    like: str = DEFAULT_BUNDLE,
    roles: Sequence[str] = (),
    segments: Sequence[str] = (),
    features: int | None = None,
) -> Bundle:
    """Make the bundle `folder`/`name`, whole or not at all, from the configurations of a shipped one.

    Parameters
    ----------
    name
        Letters, digits, _ and -; no shipped bundle's.
    folder
        Where it is made; made too where it is missing.
    like
        "flair_abnormality" (whole heads, series registered to the first role's) or "hippocampus" (one series of a
        region of 64 mm).
    roles
        The network's inputs, the reference first: "pre", "flair", "post", "t1", "t1c", "t2", or
        "NAME=WEIGHTING[:CONTRAST]" (t1, t2, flair; none, given, any). Without any those of the bundle that it is like.
    segments
        Names of the labels 1, 2, ... of its masks; without any a single one of the bundle's own name.
    features
        Channels of the network's first layer, None for the template's 32 or 16; each next one has twice as many.

    Raises
    ------
    UsageError
        USAGE for a name, a role, a segment or a number of features that cannot be.
    InputRefused
        OUTPUT_EXISTS.
    EnvironmentFailure
        OUTPUT_UNWRITABLE, DISK_FULL.
    """
    wanted = design(name, like, roles, segments, features)
    root = Path(expanded(folder)) / name
    if os.path.lexists(root):
        message = "something of that name is already there: choose another NAME or another -o"
        raise InputRefused(Problem(Code.OUTPUT_EXISTS, message, name))
    texts = {**new_configs(wanted), **new_texts(wanted)}
    with staged(root, overwrite=False) as stage:
        for path, text in texts.items():
            (stage / path).parent.mkdir(parents=True, exist_ok=True)
            (stage / path).write_text(text, encoding="utf-8")
    return find_bundle(str(root.absolute()))
