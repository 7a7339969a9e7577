"""What a client calls an image, as something on the disk that scanweave reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.interfaces.datastore import Datastore

from lib.dicomweb import fetch_study, is_uid
from lib.refusal import Refusal


@dataclass(frozen=True)
class Source:
    """A file, folder or zip; `series` is the UID of the one that the client shows, or empty."""

    path: Path
    series: str = ""


@contextmanager
def source_of(image: str, datastore: Datastore, studies: str) -> Iterator[Source]:
    """The image `image`; what was fetched for it is gone when the block ends.

    DICOMweb: the UID of a series or a study. A folder of studies: an image that MONAI Label lists there, or the name
    of a file, folder or zip below it.

    Raises
    ------
    Refusal
        404: there is none; 502: the DICOMweb server failed.
    """
    if isinstance(datastore, DICOMWebDatastore):
        if not is_uid(image):
            raise Refusal(404, "UNKNOWN_IMAGE", "expected the UID of a series or study of the DICOMweb server")
        with TemporaryDirectory(prefix="study-") as folder:
            fetch_study(datastore._client, image, Path(folder))
            yield Source(Path(folder), image)
        return
    listed = datastore.get_image_uri(image)
    root = Path(studies).resolve()
    path = Path(listed) if listed else (root / image).resolve()
    if not image or not path.exists() or not (listed or path.is_relative_to(root)):
        raise Refusal(404, "UNKNOWN_IMAGE", "no such file or folder among the studies of this server")
    yield Source(path)


def roles_by_hand(source: Source, inputs: Any, only_flair: bool) -> list[str]:
    """The words that tell the command what to read: the source, or each role by hand.

    `inputs` is None or {role: SeriesInstanceUID, or a name of something in the source}; `only_flair` says that the
    source is a single volume, and a FLAIR.

    Raises
    ------
    Refusal
        400: another form, or a name that is not in the source.
    """
    if only_flair:
        return ["--flair", str(_only_file(source.path))]
    if not inputs:
        return [str(source.path)]
    if not isinstance(inputs, dict) or not all(isinstance(value, str) and value for value in inputs.values()):
        raise Refusal(400, "USAGE", 'inputs: {"role": "SeriesInstanceUID or file name"}')
    root = source.path.resolve()
    words, uids = [], 0
    for role, name in inputs.items():
        if not str(role).isidentifier():
            raise Refusal(400, "USAGE", "inputs: the name of a role has letters, digits and _")
        if not is_uid(name):
            path = (root / name).resolve()
            if not path.is_relative_to(root) or not path.exists():
                raise Refusal(400, "USAGE", f"inputs: nothing of the name given for {role} was sent")
            name = str(path)
        else:
            uids += 1
        words += ["--input", f"{role}={name}"]
    return [*words, str(source.path)] if uids else words


def _only_file(path: Path) -> Path:
    files = [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]
    if len(files) != 1:
        raise Refusal(400, "USAGE", f"single_volume_is_flair: expected one file, {len(files)} were sent")
    return files[0]
