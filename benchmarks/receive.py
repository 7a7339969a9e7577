"""Instances a second that a node takes, everything flushed and in the ledger, with and without TCP's waits, in turn.

    python benchmarks/receive.py STUDY [--rounds 5] [--json FILE]

DCMTK's storescu sends the DICOM files of STUDY over one association to a receiver on loopback.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from external_tools import require_tool
from machine import conditions

from scanweave.pipeline.node import receive
from scanweave.pipeline.node.commitment import Commitments
from scanweave.pipeline.node.config import NodeConfig
from scanweave.pipeline.node.inbox import Inbox
from scanweave.pipeline.node.intake import Intake
from scanweave.pipeline.node.metrics import NodeMetrics
from scanweave.pipeline.node.no_delay import PROMPT
from scanweave.pipeline.node.node_ledger import NodeLedger
from scanweave.pipeline.node.node_log import NodeLog
from scanweave.pipeline.node.setback import Setbacks

WAYS = {"as the node does": PROMPT, "with delayed acknowledgements": []}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    files = sorted(path for path in options.study.rglob("*") if path.is_file())
    runs: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(options.rounds):
        for name, handlers in WAYS.items():
            receive.PROMPT = handlers
            runs[name].append(seconds_to_take(files))
    for name, seconds in runs.items():
        median = statistics.median(seconds)
        print(f"{name:<30} {len(files)} files in {median:5.2f} s, {len(files) / median:4.0f} a second")
    if options.json:
        record = {"machine": conditions(Path(__file__).resolve().parent.parent), "files": len(files), "seconds": runs}
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def seconds_to_take(files: list[Path]) -> float:
    """All of them by a fresh receiver, storescu's start included."""
    with tempfile.TemporaryDirectory(prefix="receive-") as folder:
        config = NodeConfig.model_validate({"folder": folder, "receive": {"port": 0, "callers": ["BENCH"]}})
        config.incoming.mkdir()
        ledger, metrics, log = NodeLedger(config.folder), NodeMetrics(), NodeLog(config.folder)
        setbacks = Setbacks(config, ledger, metrics, log)
        intake = Intake(Inbox(config.incoming, ledger, 0.0), metrics, log)
        receiver = receive.Receiver(
            config.receive, intake, Commitments(ledger, setbacks, metrics, log), log, threading.Event()
        )
        receiver.start()
        call = [require_tool("storescu"), "-R", "-aet", "BENCH", "-aec", config.receive.ae_title, "127.0.0.1"]
        begin = time.perf_counter()
        subprocess.run([*call, str(receiver.port), *map(str, files)], check=True)
        seconds = time.perf_counter() - begin
        receiver.stop(10.0)
        found = len(list(config.incoming.glob("*/*.dcm")))
        ledger.close()
    if found != len(files):
        raise SystemExit(f"{found} of {len(files)} files were taken: each must be an instance of its own")
    return seconds


if __name__ == "__main__":
    main()
