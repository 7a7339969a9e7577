#!/usr/bin/env python3
"""How many slices of a study the network sees after cropping and resampling: prints a number. Argument: its folder."""

from __future__ import annotations

import sys

from scanweave.pipeline.bundle import DEFAULT_BUNDLE, build_evaluator, find_bundle
from scanweave.transforms.io.find_study import StudyRequest


def network_slices(folder: str) -> int:
    """Of the shipped bundle's chain up to the network, which is not run; nothing is written."""
    request = StudyRequest.of(folder)
    evaluator = build_evaluator(
        find_bundle(DEFAULT_BUNDLE), {"dataset::data": [{"study": request}], "output_dir": None}
    )
    return int(evaluator.dataset[0]["image"].array.shape[-1])


if __name__ == "__main__":
    sys.stdout.write(str(network_slices(sys.argv[1])))
