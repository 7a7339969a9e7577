"""`scanweave node`: receive studies by DICOM, segment them, send the results on."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from importlib.util import find_spec
from types import FrameType

from scanweave.commands.arguments import add_common, path
from scanweave.errors import Code, EnvironmentFailure, Problem, UsageError

HELP = "DICOM node: receives studies, segments them, sends results back"
RESEND = "resend"
EXTRA = ("dicomweb_client", "prometheus_client", "pydantic", "pynetdicom", "requests_toolbelt", "starlette", "uvicorn")
"""Modules of the extra `node`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The configuration, and what is to be done with it."""
    parser.usage = "scanweave node CONFIG.yaml | node --check CONFIG.yaml | node resend CONFIG.yaml [STUDY]"
    parser.add_argument("words", metavar="CONFIG", nargs="+", help="YAML file (docs/hospital.md)")
    parser.add_argument("--check", action="store_true", help="only check the configuration, and echo every peer")
    add_common(parser)


def run(options: argparse.Namespace) -> int:
    """Until SIGTERM or Ctrl-C, after which what has begun may end; a second one ends it at once."""
    _check_extra()
    from scanweave.pipeline.node.config_file import read_config

    words = list(options.words)
    resend = words[0] == RESEND
    if resend:
        words.pop(0)
    if not 1 <= len(words) <= (2 if resend else 1) or (resend and options.check):
        raise UsageError(Problem(Code.USAGE, "expected one CONFIG; see scanweave node --help"))
    config = read_config(path(words[0]))
    if options.check:
        from scanweave.pipeline.node.check import check_peers

        found = check_peers(config)
        lines = (f"{peer}: {how}" for peer, how in found.items())
        print(json.dumps(found, indent=2) if options.json else "\n".join(lines))
        return 0
    if resend:
        from scanweave.pipeline.node.resend import resend_undelivered

        count = resend_undelivered(config, words[1] if len(words) > 1 else None)
        print(json.dumps({"queued": count}) if options.json else f"{count} deliveries are tried again")
        return 0
    from scanweave.pipeline.node.node import run_node

    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    run_node(config, stopping)
    return 0


def _check_extra() -> None:
    if missing := [name for name in EXTRA if find_spec(name) is None]:
        message = f"a node needs {', '.join(missing)}: pip install 'scanweave[node]'"
        raise EnvironmentFailure(Problem(Code.ENVIRONMENT_INCOMPLETE, message))
