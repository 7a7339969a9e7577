"""`scanweave weights list`, `fetch NAME`, `install TRAINING`: which there are, others' published ones, one's own."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from typing import TYPE_CHECKING

from scanweave import RESEARCH_NOTICE
from scanweave.commands.arguments import add_common, path
from scanweave.networks.imagenet import IMAGENET
from scanweave.networks.published import PUBLISHED, Published

if TYPE_CHECKING:
    from scanweave.networks.fetch_weights import Fetched

HELP = "list weights, fetch published ones (for segment --weights, or an encoder to train), or install a training's"
LIST_HELP = "the bundles' weights and published ones: SHA-256, place, fetched or not"
FETCH_HELP = "download published weights into torch.hub's cache and verify them; from the cache without network"
INSTALL_HELP = "put the weights of a training into its bundle, with split, input reference and held-out figures"
DIGITS_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do. The common options may stand before or after it."""
    add_common(parser)
    actions = parser.add_subparsers(dest="action", metavar="list | fetch NAME | install TRAINING", required=True)
    listing = actions.add_parser("list", help=LIST_HELP, description=LIST_HELP, argument_default=argparse.SUPPRESS)
    add_common(listing)
    fetching = actions.add_parser("fetch", help=FETCH_HELP, description=FETCH_HELP, argument_default=argparse.SUPPRESS)
    names = (*PUBLISHED, *IMAGENET)
    fetching.add_argument("name", metavar="NAME", choices=names, help=f"of {', '.join(names)}")
    add_common(fetching)
    installing = actions.add_parser(
        "install", help=INSTALL_HELP, description=INSTALL_HELP, argument_default=argparse.SUPPRESS
    )
    installing.add_argument("training", metavar="TRAINING", type=path, help="the folder that scanweave train wrote")
    installing.add_argument("--bundle", metavar="DIR", type=path, required=True, help="the bundle that was trained")
    installing.add_argument("--onnx", action="store_true", default=False,
                            help="also as ONNX, which a CPU computes faster (needs scanweave[export])")  # fmt: skip
    installing.add_argument("--overwrite", action="store_true", default=False, help="replace the bundle's weights")
    add_common(installing)


def run(options: argparse.Namespace) -> None:
    """List, fetch or install; a few lines, or a record."""
    if options.action == "list":
        _list(options.json)
    elif options.action == "fetch":
        _fetch(options.name, options.json)
    else:
        _install(options)


def _install(options: argparse.Namespace) -> None:
    from scanweave.pipeline.new_bundle.install_weights import install_weights

    record = install_weights(options.training, options.bundle, onnx=options.onnx, overwrite=options.overwrite)
    if options.json:
        print(json.dumps(record, indent=2))
        return
    weights = record["weights"]
    print(f"{weights['name']}: SHA-256 {weights['sha256'][:DIGITS_SHOWN]}.., in {options.bundle}")
    print(f"    written  {', '.join(record['files'])}")
    for name, figure in record["eval_metrics"].items():
        print(f"    {name} {figure:.3f}")
    if not record["eval_metrics"]:
        print("    no figures: the training held nobody out")
    print(f"scanweave segment INPUT -o OUT --bundle {shlex.quote(str(options.bundle))}")
    print(f"{RESEARCH_NOTICE}.")


def _list(as_json: bool) -> None:
    from scanweave.pipeline.known_weights import State, known_weights

    known = known_weights()
    if as_json:
        print(json.dumps({"weights": [weights.record for weights in known]}, indent=2))
        return
    later = [weights.name for weights in known if weights.name in IMAGENET and weights.state is State.NOT_FETCHED]
    for weights in (weights for weights in known if weights.name not in later):
        print(f"{weights.name}: {weights.state}")
        print(f"    from     {weights.source}")
        print(f"    SHA-256  {weights.sha256}{'' if len(weights.sha256) == 64 else '..'}")
        print(f"    file     {weights.path}")
    if later:
        print(f"of ImageNet, not fetched: {', '.join(later)}")


def _fetch(name: str, as_json: bool) -> None:
    published, fetched = _fetched(name, not as_json and sys.stderr.isatty())
    path, sha256 = fetched.weights.path, fetched.weights.sha256
    if as_json:
        record = {"name": name, "path": str(path), "sha256": sha256, "downloaded": fetched.downloaded}
        print(json.dumps(record | {"url": published.url, "origin": published.origin}, indent=2))
        return
    came = "downloaded" if fetched.downloaded else "already there"
    print(f"{name}: {came}, SHA-256 {sha256[:DIGITS_SHOWN]}.., every parameter fits")
    print(f"    {path}")
    print(f"    {published.origin}")
    if name in PUBLISHED:
        print(f"scanweave segment STUDY -o OUT --weights {shlex.quote(str(path))}")
    else:
        print('in a bundle\'s train.json: "initial": "imagenet", for a network_def with this encoder')
    print(f"{RESEARCH_NOTICE}.")


def _fetched(name: str, progress: bool) -> tuple[Published, Fetched]:
    if name in PUBLISHED:
        from scanweave.networks.fetch_weights import fetch_weights

        return PUBLISHED[name], fetch_weights(PUBLISHED[name], progress=progress)
    from scanweave.networks.encoder_weights import fetch_encoder

    return IMAGENET[name], fetch_encoder(name, progress=progress)
