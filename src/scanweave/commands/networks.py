"""`scanweave networks`: the networks that a bundle may name, and what each costs."""

from __future__ import annotations

import argparse
import json

from scanweave.commands.arguments import add_common

HELP = "list the networks that a bundle's network_def may name, with parameters, multiply-adds and file size"
_EXAMPLE = "resnet34"
_COLUMNS = ("network", "parameters", "GMAC", "MB", "rows, columns", "ImageNet")
_ROW = "{:<16} {:>10} {:>6} {:>6}  {:<13}  {}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No more than every command has."""
    add_common(parser)


def run(options: argparse.Namespace) -> None:
    """A table, or a record."""
    from scanweave.networks.catalogue import networks_record

    record = networks_record()
    if options.json:
        print(json.dumps({"networks": record}, indent=2))
        return
    print(_ROW.format(*_COLUMNS))
    for one in record:
        figures = (f"{one['parameters'] / 1e6:.2f} M", f"{one['gmac']:.2f}", f"{one['float16_bytes'] / 1e6:.1f}")
        print(_ROW.format(one["name"], *figures, one["sizes"], "yes" if one["imagenet"] else "-"))
    print("GMAC: 10^9 multiply-adds for a slice of 256x256, three channels; MB: model.pt, in float16.")
    print("In a bundle's configs (inference, evaluate, train), for example:")
    (example,) = (one["network_def"] for one in record if one["name"] == _EXAMPLE)
    print(f'    "network_def": {json.dumps(example)}')
