"""`scanweave export`: a bundle's network as one file for other programs."""

from __future__ import annotations

import argparse
import json

from scanweave import RESEARCH_NOTICE
from scanweave.commands.arguments import add_common, path

HELP = "write a bundle's network with its weights as ONNX or TorchScript"
FORMATS = ("onnx", "torchscript")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What of, in which form, and where to."""
    parser.add_argument("bundle", metavar="BUNDLE", help="a shipped bundle's name, or a bundle's folder")
    parser.add_argument("--format", dest="form", choices=FORMATS, default=FORMATS[0], help="default: %(default)s")
    parser.add_argument("-o", "--output", metavar="FILE", type=path, required=True)
    parser.add_argument("--weights", metavar="FILE", type=path, help="a state dict instead of the bundle's")
    parser.add_argument("--overwrite", action="store_true", help="replace what is at FILE")
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """Export; where it is, what it takes and what it was made of, or a record."""
    from scanweave.pipeline.export import export_network

    record = export_network(
        options.bundle, options.form, options.output, weights=options.weights, overwrite=options.overwrite
    )
    if options.json:
        print(json.dumps(record, indent=2))
        return
    print(f"{record['file']}: {record['bytes'] / 1e6:.1f} MB, SHA-256 {record['sha256']}")
    print(f"    of {record['weights']}, SHA-256 {record['weights_sha256']}")
    apart = f"at most {record['largest_difference']:.1g} from PyTorch's"
    print(f"    takes {' x '.join(map(str, record['input']))}; probabilities {apart}")
    print(f"{RESEARCH_NOTICE}.")
