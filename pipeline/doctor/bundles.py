"""Whether each shipped bundle is whole: metadata, weights with the recorded bytes, a chain that can be built."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from scanweave.errors import Code, ScanweaveError
from scanweave.pipeline.doctor.check import Check, State, reason

_REINSTALL = "install scanweave again: pip install --force-reinstall --no-deps scanweave"
_MEND = f"mend what is missing above, else {_REINSTALL}"
_REMEDIES = {
    Code.WEIGHTS_MISSING: f"{_REINSTALL}, or segment --weights FILE",
    Code.WEIGHTS_ALTERED: f"{_REINSTALL}, or segment --weights FILE",
    Code.BUNDLE_INVALID: _MEND,
    Code.OUT_OF_MEMORY: "close other programs",
}


def check_bundles(folder: Path | None = None) -> list[Check]:
    """Every bundle in `folder`, the shipped ones by default; the default bundle first, which must be there."""
    from scanweave.pipeline.bundle import DEFAULT_BUNDLE, METADATA_FILE

    folder = folder or Path(str(importlib.resources.files("scanweave.bundles")))
    found = {path.name for path in folder.iterdir() if (path / METADATA_FILE).is_file()}
    others = sorted(found - {DEFAULT_BUNDLE})
    checks = [_check(folder / DEFAULT_BUNDLE, State.MISSING)]
    return checks + [_check(folder / name, State.WARNING) for name in others]


def _check(root: Path, state: State) -> Check:
    """One bundle, built as `segment` builds it but on the CPU; `state` says how bad a broken one is."""
    try:
        from scanweave.pipeline.bundle import build_evaluator, find_bundle

        bundle = find_bundle(str(root))
        build_evaluator(bundle, {"device": "cpu", "dataset::data": []})
        weights = bundle.metadata.get("weights")
    except ScanweaveError as refusal:
        return Check(root.name, state, refusal.problems[0].message, _REMEDIES.get(refusal.code, _REINSTALL))
    except Exception as error:  # a library that it needs is missing or broken
        return Check(root.name, state, f"cannot be built ({reason(error)})", _MEND)
    loaded = f"weights {weights['name']} (SHA-256 {weights['sha256'][:12]}..) load" if weights else "without weights"
    return Check(root.name, State.OK, f"{bundle.metadata.get('version', 'no version')}, {loaded}")
