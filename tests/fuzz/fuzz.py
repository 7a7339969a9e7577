"""Spoils inputs by thousands: each must be read, segmented or refused with a code, in time and within memory.

    python tests/fuzz/fuzz.py readers --inputs 20000
    python tests/fuzz/fuzz.py runs --inputs 200

`readers` does all that `segment` does before its first transform; `runs` is the whole command, with a quick network.
Each input is known by its number: `--first N --inputs 1` makes it again. Real scans are found as by the tests, and
`--without-data` does without. The last line is a JSON document; the exit code is 1 where there was a defect.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from readers import READ, reading
from seeds import make_seeds
from trials import Trial, Trials, figures

EVERY = 20
"""Trials after which the figures are written anew."""


def main() -> int:
    """Fuzz; 0 where every input ended as it must."""
    options = _options()
    started = time.monotonic()
    warnings.simplefilter("ignore")
    os.environ["SCANWEAVE_SITE_KEY"] = "fuzz"
    with tempfile.TemporaryDirectory(prefix="scanweave-fuzz-") as folder:
        Path(folder, "tmp").mkdir()
        trials, well = _trials(options, Path(folder))
        os.environ["TMPDIR"] = tempfile.tempdir = str(Path(folder, "tmp"))
        numbers = range(options.first, options.first + options.inputs)
        bad = [trial for trial in trials.intact(numbers) if trial.outcome != well]
        done: list[Trial] = []
        if not bad:
            for trial in trials.spoiled(numbers):
                done.append(trial)
                if len(done) % EVERY == 0:
                    _note(options.figures, figures(done, trials.left_behind(), time.monotonic() - started))
                if options.seconds and time.monotonic() - started > options.seconds:
                    break
        record = figures(done, trials.left_behind(), time.monotonic() - started)
    record["defects"] = [{**trial.__dict__, "intact": True} for trial in bad] + list(record["defects"])
    _note(options.figures, record)
    print(json.dumps(record))
    return int(bool(record["defects"] or record["left_behind"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("readers", "runs"))
    parser.add_argument("--inputs", type=int, default=20000)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--keep", type=Path, help="a folder for inputs that show a defect")
    parser.add_argument("--figures", type=Path, help="a file for the figures, written anew from time to time")
    parser.add_argument("--study", type=Path, help="for runs: a small study as the tests make it, else made anew")
    parser.add_argument("--bundle", type=Path, help="for runs: a bundle with a quick network, else made anew")
    parser.add_argument("--without-data", action="store_true", help="no real scans")
    return parser.parse_args()


def _trials(options: argparse.Namespace, folder: Path) -> tuple[Trials, str]:
    """How to try, and the word for an input in which nothing is wrong."""
    (folder / "seeds").mkdir()
    if options.what == "runs":
        from whole_runs import DONE, run_seeds, running  # torch, which the readers do without

        seeds, bundle = run_seeds(folder / "seeds", options.study, options.bundle)
        return Trials(seeds, lambda: running(bundle), folder, options.keep), DONE
    data = Path(os.environ.get("SCANWEAVE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    seeds = make_seeds(folder / "seeds", data if data.is_dir() and not options.without_data else None)
    return Trials(seeds, reading, folder, options.keep), READ


def _note(path: Path | None, record: dict[str, object]) -> None:
    if path is not None:
        beside = path.with_suffix(".part")
        beside.write_text(json.dumps(record, indent=1) + "\n")
        beside.replace(path)


if __name__ == "__main__":
    sys.exit(main())
