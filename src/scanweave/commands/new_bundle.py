"""`scanweave new-bundle`: a complete bundle, to be trained."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

from scanweave import RESEARCH_NOTICE
from scanweave.commands.arguments import add_common, path

HELP = "make a bundle of your own, ready to train, from a shipped one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What it is called, what goes in and what comes out."""
    parser.add_argument("name", metavar="NAME", help="letters, digits, _ and -; the folder's name")
    parser.add_argument("-o", "--out", metavar="DIR", type=path, default=Path(),
                        help="where NAME/ is made; default: the working directory")  # fmt: skip
    parser.add_argument("--like", metavar="BUNDLE", default="flair_abnormality",
                        help="flair_abnormality: whole heads, several series (the default); hippocampus: one series "
                        "of a region of 64 mm")  # fmt: skip
    parser.add_argument("--role", dest="roles", metavar="ROLE", action="append", default=[],
                        help="an input of the network, the first one's grid is the mask's: pre, flair, post, t1, t1c, "
                        "t2, or NAME=WEIGHTING[:CONTRAST]; default: the roles of --like")  # fmt: skip
    parser.add_argument("--segment", dest="segments", metavar="NAME", action="append", default=[],
                        help="a label of the masks, the first is 1; default: one, called NAME")  # fmt: skip
    parser.add_argument("--features", metavar="N", type=int,
                        help="channels of the network's first layer; default: those of --like")  # fmt: skip
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Make it; where it is and what to do next, or a record."""
    from scanweave.pipeline.new_bundle.new_bundle import new_bundle

    made = new_bundle(
        options.name,
        options.out,
        like=options.like,
        roles=options.roles,
        segments=options.segments,
        features=options.features,
    )
    root = options.out / options.name
    if options.json:
        record = {
            "bundle": str(root),
            "like": options.like,
            "roles": [role.name for role in made.roles],
            "segments": [segment.name for segment in made.segments],
            "files": sorted(str(file.relative_to(made.root)) for file in made.root.rglob("*") if file.is_file()),
        }
        print(json.dumps(record, indent=2))
        return
    told = shlex.quote(str(root))
    print(f"{root}: roles {', '.join(role.name for role in made.roles)}; "
          f"labels {', '.join(f'{n} {segment.name}' for n, segment in enumerate(made.segments, start=1))}")  # fmt: skip
    print(f"train it: scanweave train --images CASES --out TRAINING --bundle {told}")
    print(f"then:     scanweave weights install TRAINING --bundle {told}")
    print("yours to fill in: docs/README.md, LICENSE, and under segments in configs/metadata.json the DICOM codes")
    print(f"{RESEARCH_NOTICE}.")
