"""One study of a batch: where it lies, what it is called, and what a run of it came to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from scanweave.errors import Code
from scanweave.transforms.io.find_study import StudyRequest


class State(StrEnum):
    """Of a study in the ledger."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class Entry:
    """A study as the index found it.

    Attributes
    ----------
    name
        Of its folder below OUT, unique in a ledger; of DICOM the keyed hash of the StudyInstanceUID.
    path
        The folder, archive or file that holds it, absolute; "" where every role is given by hand.
    files
        Those that belong to it, relative to `path`; () where all do.
    inputs
        Roles given by hand, as `segment` takes them.
    study
        Of 2-D slices the name by which --study chooses them, of a worklist's row its UID; "" where all is one.
    derivative
        Where its mask goes in a BIDS derivative, relative and without suffix ("sub-01/anat/sub-01"); "" elsewhere.
    fingerprint
        Of the names, sizes and times of the files: what is different was changed.
    """

    name: str
    path: str
    files: tuple[str, ...] = ()
    inputs: Mapping[str, str] = field(default_factory=dict)
    study: str = ""
    derivative: str = ""
    fingerprint: str = ""

    @property
    def request(self) -> StudyRequest:
        """As the chain takes it."""
        path = Path(self.path) if self.path else None
        return StudyRequest(path, dict(self.inputs), self.study or None, files=self.files)

    def to_json(self) -> str:
        """Everything but the name and the fingerprint, which the ledger has in columns of their own."""
        source = {"path": self.path, "files": self.files, "inputs": dict(self.inputs), "study": self.study}
        return json.dumps({**source, "derivative": self.derivative})

    @classmethod
    def from_json(cls, name: str, fingerprint: str, text: str) -> Entry:
        """What `to_json` wrote."""
        source: dict[str, Any] = json.loads(text)
        return cls(name=name, fingerprint=fingerprint, **{**source, "files": tuple(source["files"])})


@dataclass(frozen=True)
class Outcome:
    """How one attempt at a study ended: `state` is done, refused or failed; of what is done `result` says how.

    `fatal` is no judgement on the study: the machine lacks something that every study needs.
    """

    state: State
    code: Code | None = None
    message: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    fatal: bool = False
