"""Proof that a node loses nothing between a real Orthanc and itself: killed, aborted, its disk full, its PACS down.

    python benchmarks/hospital.py --short                      a minute or two; exit code 0 only if all counts agree
    python benchmarks/hospital.py --studies 2000 --kills 100   an hour and more

A real Orthanc on loopback sends small studies by C-STORE, eight associations at once, and gets the results. Needs what
scripts/install-test-tools installs; for the full disk root. The last lines are the counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from hospital_rooms import Hospital, hospital
from hospital_troubles import TROUBLES, DiskFull
from proof_rooms import small_disk

SENDERS = 8
ENOUGH_MB = 100.0
"""That somebody frees in the end."""


@dataclass
class Counts:
    """What was sent, and what came of it; a study fails whose worker is killed at both attempts."""

    sent: int = 0
    done: int = 0
    refused: int = 0
    failed: int = 0
    results_expected: int = 0
    results_in_orthanc: int = 0
    duplicates: int = 0
    half_files: int = 0
    identifiers_in_logs: int = 0
    times_without_room: int = 0
    kills: int = 0
    seconds: float = 0.0
    troubles: dict[str, int] = field(default_factory=dict)

    @property
    def agree(self) -> bool:
        """Nothing lost, nothing twice, nothing half, nothing told."""
        wrong = (self.duplicates, self.half_files, self.identifiers_in_logs)
        return (
            self.sent == self.done + self.refused + self.failed
            and self.results_expected == self.results_in_orthanc
            and not any(wrong)
        )


def prove(place: Hospital, kills: int, seed: int, patience_s: float) -> Counts:
    """Send everything while troubles come, wait until it is quiet, and count."""
    begin = time.monotonic()
    calm = threading.Event()
    kinds = TROUBLES if place.disk is None else (*TROUBLES, DiskFull)
    troubles = [kind(place, calm, seed) for kind in kinds]
    for trouble in troubles:
        trouble.start()
    place.send_all(SENDERS)
    while place.kills < kills and place.is_busy():
        time.sleep(0.2)
    calm.set()
    for trouble in troubles:
        trouble.join()
    if place.disk is not None:
        place.disk.grow(ENOUGH_MB)
    place.ensure_running()
    place.wait_until_quiet(patience_s)
    exit_code = place.node.stop()
    assert exit_code == 0, f"SIGTERM: exit code {exit_code}"
    counts = Counts(**place.count(), troubles={trouble.name: trouble.times for trouble in troubles})
    counts.kills, counts.seconds = place.kills, round(time.monotonic() - begin, 1)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 0 only if all counts agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="8 studies, 3 kills")
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--disk-mb", type=float, help="of the node's disk, which fills up; needs root")
    options = parser.parse_args(argv)
    studies, kills = (8, 3) if options.short else (options.studies, options.kills)
    patience_s = 120.0 + 4 * studies
    with (
        tempfile.TemporaryDirectory(prefix="hospital-") as folder,
        hospital(Path(folder), studies, options.seed) as place,
    ):
        if options.disk_mb:
            with small_disk(place.node.data, options.disk_mb) as disk:
                place.disk = disk
                counts = prove(place, kills, options.seed, patience_s)
        else:
            counts = prove(place, kills, options.seed, patience_s)
    print(json.dumps(asdict(counts), indent=2))
    print("all counts agree" if counts.agree else "COUNTS DO NOT AGREE")
    return 0 if counts.agree else 1


if __name__ == "__main__":
    sys.exit(main())
