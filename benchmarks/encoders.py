"""BN U-Net, ResNet-34 and EfficientNet-b0 trained equally on one fold: Dice of its held-out patients, time of a study.

`python benchmarks/encoders.py --images LGG --work WORK --device cuda:0 --minutes 25`, again until it prints the table:
each call ends itself after so many minutes and the next goes on where it was (exit code 75 until all is done). One
recipe, seed, order and augmentation for all; only `network_def` differs. `--initial resnet34=FILE` (or `=imagenet`)
adds that network once more, begun with those weights in its encoder. A try of some minutes on a CPU:
`--device cpu --patients 6 --epochs 1 --epoch-slices 8 --coarse --timed 2`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanweave.networks.catalogue import NETWORKS, figures
from scanweave.pipeline.bundle import METADATA_FILE, TRAIN_CONFIG, build_evaluator, find_bundle
from scanweave.transforms.io.find_study import StudyRequest

COMPARED = ("bn_unet", "resnet34", "efficientnet-b0")
FOLDS, FOLD = 5, 0
CONFIGS = ("inference.json", "evaluate.json", "train.json")
EXPORTED = ("onnx", "onnx_int8")
COARSE = {
    "_target_": "scanweave.pipeline.training.recipe.Phase",
    "until": 1.0,
    "size": [64, 64],
    "pixel": 4.0,
    "batch": 4,
}
GRACE_SECONDS = 120
NOT_DONE = 75
"""EX_TEMPFAIL of sysexits.h: the same command goes on."""


@dataclass(frozen=True)
class Contender:
    """A network, and the weights that its encoder begins with."""

    network: str
    initial: str | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.network}-initial" if self.initial else self.network


def prepare(work: Path, contender: Contender, options: argparse.Namespace) -> Path:
    """A bundle whose configurations name the network, and a training folder that shares the preprocessed volumes."""
    root = work / "bundles" / contender.name
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(find_bundle().root / "configs", root / "configs")
    (definition,) = (listed.definition for listed in NETWORKS if listed.name == contender.network)
    for name in CONFIGS:
        config = json.loads((root / "configs" / name).read_text())
        config["network_def"] = definition
        if name == TRAIN_CONFIG.name:
            config |= {"initial": contender.initial, "epochs": options.epochs, "epoch_slices": options.epoch_slices}
            if options.coarse:
                config["recipe"]["phases"] = [COARSE]
        (root / "configs" / name).write_text(json.dumps(config))
    metadata = json.loads((root / METADATA_FILE).read_text())
    (root / METADATA_FILE).write_text(json.dumps({key: metadata[key] for key in metadata if key not in EXPORTED}))
    training, cache = work / contender.name, work / "cache"
    for folder in (training, cache):
        folder.mkdir(parents=True, exist_ok=True)
    if not (training / "cache").exists():
        (training / "cache").symlink_to(cache.resolve())
    return root


def images_of(work: Path, options: argparse.Namespace) -> Path:
    """All patients, or the first few of them."""
    if options.patients is None:
        return Path(options.images).resolve()
    some = work / f"first_{options.patients}"
    some.mkdir(parents=True, exist_ok=True)
    folders = sorted(path for path in Path(options.images).resolve().iterdir() if path.is_dir())
    for folder in folders[: options.patients]:
        if not (some / folder.name).exists():
            (some / folder.name).symlink_to(folder)
    return some


def trained(work: Path, contender: Contender, bundle: Path, images: Path, device: str, end: float) -> bool:
    """Train and measure the fold, as `scanweave train` does; False where the time was over before."""
    command = ["train", "--images", images, "--bundle", bundle, "--out", work / contender.name, "--device", device,
               "--folds", FOLDS, "--fold", FOLD, "--resume"]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "scanweave", *map(str, command)])
    try:
        if process.wait(timeout=max(end - time.monotonic(), 1)):
            sys.exit(f"{contender.name}: the training was refused or failed, see above")
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=GRACE_SECONDS)
        return False
    return True


def timed(bundle: Path, weights: Path, patients: list[Path], device: str) -> dict[str, float]:
    """Seconds of a study, medians: the network alone, and the whole chain, without writing; the first one warms up."""
    data = [{"study": StudyRequest.of(path)} for path in (patients[0], *patients)]
    changes = {"dataset::data": data, "output_dir": None, "device": device, "runtime": "eager", "weights_file": weights}
    studies = build_evaluator(find_bundle(str(bundle)), changes).run()[1:]
    slices = statistics.median(study["image"].array.shape[-1] for study in studies)
    network = statistics.median(study["seconds"]["Infer"] for study in studies)
    whole = statistics.median(sum(study["seconds"].values()) for study in studies)
    return {"studies": len(studies), "slices": slices, "network_seconds": network, "study_seconds": whole}


def measured(
    work: Path, contender: Contender, bundle: Path, images: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """What is known of a network whose training is done, and its time."""
    folder = work / contender.name / f"fold_{FOLD}"
    evaluation = json.loads((folder / "evaluation" / "evaluation.json").read_text())
    record = json.loads((folder / "training.json").read_text())
    patients = [images / name for name in sorted(evaluation["patients"])][: options.timed]
    return {
        "network": contender.network,
        "initial": record["init"],
        **vars(figures()[contender.network]),
        "patients": len(evaluation["patients"]),
        **{key: evaluation[key] for key in ("mean", "mean_interval", "median")},
        "epochs": record["epochs"],
        "training_seconds": record["seconds"],
        **timed(bundle, folder / "model.pt", patients, options.device),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """For the page."""
    lines = ["| network | parameters | GMAC | patients | mean Dice (95 %) | median | network s | study s |",
             "|---|---:|---:|---:|---|---|---:|---:|"]  # fmt: skip
    for row in rows:
        low, high = row["mean_interval"] or (row["mean"], row["mean"])
        name = f"{row['network']}{', initial weights' if row['initial'] else ''}"
        lines.append(
            f"| {name} | {row['parameters'] / 1e6:.1f} M | {row['gmac']:.2f} | {row['patients']} | {row['mean']:.3f} "
            f"({low:.3f} to {high:.3f}) | {row['median']:.3f} | {row['network_seconds']:.2f} "
            f"| {row['study_seconds']:.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    """Go on for so many minutes; the table when all is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", required=True, help="the folder of the training patients")
    parser.add_argument("--work", type=Path, required=True, help="trainings and results; the next call goes on there")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--minutes", type=float, default=25.0, help="after which a call ends (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--epoch-slices", type=int)
    parser.add_argument("--patients", type=int, help="only the first so many")
    parser.add_argument("--coarse", action="store_true", help="quarter resolution in batches of four: for a try")
    parser.add_argument("--timed", type=int, default=10, help="studies whose time is taken (default: %(default)s)")
    parser.add_argument("--initial", metavar="NETWORK=FILE|imagenet", action="append", default=[])
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    contenders = [*map(Contender, COMPARED), *(Contender(*text.split("=", 1)) for text in options.initial)]
    images, results = images_of(options.work, options), options.work / "results.json"
    done: dict[str, Any] = json.loads(results.read_text()) if results.is_file() else {}
    for contender in contenders:
        if contender.name in done:
            continue
        bundle = prepare(options.work, contender, options)
        if time.monotonic() > end or not trained(options.work, contender, bundle, images, options.device, end):
            print(f"{contender.name} is not done yet: the same command goes on", flush=True)
            return NOT_DONE
        done[contender.name] = measured(options.work, contender, bundle, images, options)
        results.write_text(json.dumps(done, indent=1) + "\n")
    print(table([done[contender.name] for contender in contenders]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
