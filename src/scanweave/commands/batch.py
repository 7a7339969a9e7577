"""`scanweave batch`: every study below a folder, with a ledger."""

from __future__ import annotations

import argparse
import json

from scanweave.batch_display import batch_shown
from scanweave.commands.arguments import add_common, add_network, network_arguments, path

HELP = "segment all studies below a folder; killed at any moment, the same command goes on"
ROOT_HELP = "folder of studies in any mix (folders, zips, files), BIDS data set, or worklist (.csv)"
OUT_HELP = "results go to OUT/<study>/, with ledger.sqlite, summary.csv and index.html beside"
SOME_REFUSED = 4
"""The exit code where not every study is done."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which studies, where to, how, and by whom."""
    parser.add_argument("root", metavar="ROOT", type=path, help=ROOT_HELP)
    parser.add_argument("-o", "--out", metavar="OUT", type=path, required=True, help=OUT_HELP)
    parser.add_argument("--executor", choices=("local", "dask"), default="local")
    parser.add_argument("--workers", metavar="N", type=int, help="processes that read, register and write")
    parser.add_argument("--scheduler", metavar="ADDR", help="of an existing Dask cluster: tcp://.. or tls://..")
    for name, what in (("ca", "authority"), ("cert", "certificate"), ("key", "private key")):
        parser.add_argument(f"--tls-{name}", metavar="FILE", type=path, help=f"the {what} for tls:// (PEM)")
    parser.add_argument("--timeout", metavar="MINUTES", type=float, default=30.0,
                        help="that one study may take (default: %(default)g)")  # fmt: skip
    parser.add_argument("--memory", metavar="GB", type=float, help="that one process may hold; default: an equal share")
    parser.add_argument("--retry-failed", action="store_true", help="try again what has failed")
    parser.add_argument("--retry-refused", action="store_true", help="try again what was refused")
    parser.add_argument("--bundle", metavar="NAME|DIR", default="flair_abnormality", help="default: %(default)s")
    add_network(parser)
    parser.add_argument("--outputs", metavar="LIST", help="as of segment")
    parser.add_argument("--overwrite", action="store_true", help="replace results that no batch wrote")
    parser.add_argument("--phi", action="store_true", help="allow identifiers (UIDs) in names and results")
    add_common(parser)


def run(options: argparse.Namespace) -> int:
    """Segment; a few lines or a record, and 4 where not every study is done."""
    from scanweave.pipeline.batch.settings import BatchSettings
    from scanweave.pipeline.segment_settings import SegmentSettings

    settings = BatchSettings(
        segment=SegmentSettings(**network_arguments(options), outputs=options.outputs, phi=options.phi),
        executor=options.executor,
        workers=options.workers,
        scheduler=options.scheduler,
        tls_ca=options.tls_ca,
        tls_cert=options.tls_cert,
        tls_key=options.tls_key,
        timeout_minutes=options.timeout,
        memory_gb=options.memory,
        retry_failed=options.retry_failed,
        retry_refused=options.retry_refused,
    )
    with batch_shown(wanted=not options.json) as shown:
        from scanweave.pipeline.batch.batch import batch

        done = batch(options.root, options.out, settings=settings, progress=shown.looking, told=shown.counted)
    print(json.dumps(done.record, indent=2) if options.json else "\n".join(done.lines))
    return 0 if done.complete else SOME_REFUSED
