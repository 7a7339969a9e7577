"""Studies of a BIDS data set (bids-specification.readthedocs.io 1.10), and masks as its derivatives."""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scanweave import __version__
from scanweave.pipeline.batch.batch_file import batch_file, batch_refusals
from scanweave.pipeline.batch.entry import Entry
from scanweave.pipeline.batch.studies import Seen, fingerprint_of, named_apart
from scanweave.pipeline.outputs import OUTPUTS
from scanweave.transforms.io.files import is_nifti, nifti_stem

DESCRIPTION_FILE = "dataset_description.json"
DERIVATIVE = Path("derivatives", "scanweave")
"""Below OUT: a data set of its own, which may be copied into the raw one's `derivatives/`."""
BIDS_VERSION = "1.10.0"
ANATOMY = "anat"
SUFFIXES = ("FLAIR", "T1w")
CONTRAST_ENTITY = "ce-"
MASK_NAME = "label-lesion_desc-scanweave_mask"
_README = """Lesion masks (0 background, 1 lesion) on the FLAIR's own grid, by scanweave.
Reports, registrations and warnings lie in the batch's folders, one a session.

Research use only, not a medical device.
"""


def is_bids(root: Path) -> bool:
    """Whether a folder is a raw data set by its own description."""
    try:
        description = json.loads((root / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        return "BIDSVersion" in description and description.get("DatasetType", "raw") == "raw"
    except (OSError, ValueError, AttributeError, TypeError):
        return False


def bids_studies(files: Sequence[Seen], root: Path, roles: Sequence[str]) -> list[Entry]:
    """One study for each subject and session with anatomical images; other folders (derivatives, code) are no input.

    Roles follow from suffix and entities: FLAIR; T1w; T1w with `ce-`. Where two images would fill one role, names
    decide no longer, and the study is segmented (or refused) as any folder.
    """
    sessions: dict[Path, list[Seen]] = defaultdict(list)
    for seen in files:
        parts = seen.path.relative_to(root).parts
        in_session = len(parts) in (3, 4) and parts[0].startswith("sub-") and parts[-2] == ANATOMY
        if in_session and is_nifti(seen.path) and nifti_stem(seen.path).rpartition("_")[2] in SUFFIXES:
            sessions[seen.path.parent].append(seen)
    return named_apart(_entry(folder, items, root, roles) for folder, items in sorted(sessions.items()))


def _entry(folder: Path, items: Sequence[Seen], root: Path, roles: Sequence[str]) -> Entry:
    by_role: dict[str, list[Path]] = defaultdict(list)
    for seen in items:
        by_role[_role(seen.path)].append(seen.path)
    session = folder.parent.relative_to(root)
    flair = by_role["flair"][0] if by_role["flair"] else None
    prefix = nifti_stem(flair).rpartition("_")[0] if flair else "_".join(session.parts)
    entry = Entry(
        name="_".join(session.parts),
        path=str(folder),
        files=tuple(sorted(seen.path.name for seen in items)),
        derivative=str(folder.relative_to(root) / prefix),
        fingerprint=fingerprint_of(f"{seen.path.name} {seen.stamp}" for seen in items),
    )
    if flair is None or any(len(paths) > 1 for paths in by_role.values()):
        return entry
    inputs = {role: str(paths[0]) for role, paths in by_role.items() if paths and role in roles}
    return replace(entry, path="", files=(), inputs=inputs)


def _role(path: Path) -> str:
    stem = nifti_stem(path)
    if stem.endswith("_FLAIR"):
        return "flair"
    return "post" if any(part.startswith(CONTRAST_ENTITY) for part in stem.split("_")) else "pre"


def describe_derivative(out: Path, source: str) -> None:
    """Write the derivative's dataset_description.json, which makes it a data set."""
    document = {
        "Name": "scanweave segmentations (research use, not a medical device)",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "scanweave", "Version": __version__}],
        "DatasetLinks": {"raw": source},
    }
    _write_json(out / DERIVATIVE / DESCRIPTION_FILE, document)
    with batch_file(out / DERIVATIVE / "README", "the derivative") as stream:
        stream.write(_README.encode())


def publish_mask(out: Path, entry: Entry, result: Mapping[str, Any]) -> None:
    """Put the mask of a study that is whole below OUT into the derivative, as often as one likes.

    Without a second copy of the voxels where the disk knows hard links.
    """
    mask = out / entry.name / OUTPUTS["nifti"].file
    if not entry.derivative or not mask.is_file():
        return
    target = out / DERIVATIVE / f"{entry.derivative}_{MASK_NAME}.nii.gz"
    with batch_refusals(target, "the derivative"):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f".{target.name}.part")
        beside.unlink(missing_ok=True)
        try:
            os.link(mask, beside)
        except OSError:
            shutil.copyfile(mask, beside)
        beside.replace(target)
    sources = [f"bids:raw:{name}" for name in sorted(_sources(entry))]
    reference = next((name for name in sources if "FLAIR" in name), sources[0])
    document = {
        "Description": "Lesion found on the FLAIR by a network; research use only, not a medical device",
        "Type": "Lesion",
        "Sources": sources,
        "SpatialReference": reference,
        "Manual": False,
        "VolumeMl": result.get("volume_ml"),
        "Warnings": result.get("warnings", []),
        "Weights": result.get("weights", {}),
    }
    _write_json(target.with_name(f"{target.name.removesuffix('.nii.gz')}.json"), document)


def _sources(entry: Entry) -> Iterator[str]:
    """The images that were read, relative to the raw data set."""
    folder = Path(entry.derivative).parent.as_posix()
    names = entry.files or [Path(path).name for path in entry.inputs.values()]
    yield from (f"{folder}/{name}" for name in names)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    with batch_file(path, "the derivative") as stream:
        stream.write(json.dumps(document, indent=2).encode() + b"\n")
