"""Ways to spoil a file: blindly, byte by byte, and with some knowledge of what stands in it."""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

import nibabel as nib
import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.tag import BaseTag

Mutation = Callable[[bytes, random.Random], bytes]
HEAD_BYTES = 4096
"""Where headers are: half of the blind changes fall into it."""
_PIXELS = 0x7FE0
NUMBERS = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
TEXTS = (
    "", " ", "0", "-1", "1", "nan", "inf", "-inf", "1e400", "1e-400", "99999999999999999999", "0.5", "-0.0", "abc",
    "\\",
    "1\\2", "1\\2\\3\\4\\5\\6", "1\\0\\0\\0\\1\\0", "0\\0\\0\\0\\0\\0", "..", "../../x", "1.2.840.10008.1.2.4.90",
    "MR", "CT", "MONOCHROME1", "RGB", "PALETTE COLOR", "a" * 300, "\x00", "\x1b[2J", "é", "20000101", "250000",
    "8", "32", "4096", "1000000", "-32768", "1e38", "1e-9\\1e-9", "100000\\100000", "0.01\\100", "1e5\\-1e5\\1e5",
    "0\\1\\0\\1\\0\\0", "0\\1\\0\\0\\0\\-1", "0.6\\0.8\\0\\0\\0\\-1",
)  # fmt: skip
DECIMALS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-9, 1e-30, 1e9, 1e30, float("nan"), float("inf"), float("-inf"), 348.0, 4096.0)
NAMES = (
    "", "/", ".", "..", "../x.dcm", "a/../../x.dcm", "/x.dcm", "C:\\x.dcm", "a\\..\\b.dcm", "a" * 300, "x/" * 200 + "y",
    "DICOMDIR", "._a.dcm", "é脳.dcm", "\x1b[2J.dcm", "a.zip", "a.nii", "a.nii.gz", "a.png", "x.dcm/", "x.dcm/y.dcm",
)  # fmt: skip
_GZIP = b"\x1f\x8b"
_DATE = (2020, 1, 21, 7, 48, 0)


def spoil(content: bytes, chance: random.Random) -> bytes:
    """One to four changes."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(BLIND)(content, chance)
    return content


def spoil_dicom(content: bytes, chance: random.Random) -> bytes:
    """As `spoil`, or one to three values of the header changed so that the file stays well formed."""
    if chance.random() < 0.4:
        return spoil(content, chance)
    try:
        return _other_values(content, chance)
    except Exception:  # a value that pydicom does not write
        return spoil(content, chance)


def spoil_nifti(content: bytes, chance: random.Random) -> bytes:
    """As `spoil`, or one to three fields of the header with other numbers; of a gzipped file what is packed in it."""
    if chance.random() < 0.3:
        return spoil(content, chance)
    if content.startswith(_GZIP):
        try:
            inside = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):  # spoiled before
            return spoil(content, chance)
        return gzip.compress(spoil_nifti(inside, chance), mtime=0)
    kind = nib.Nifti2Header if content.startswith(struct.pack("<i", nib.Nifti2Header.sizeof_hdr)) else nib.Nifti1Header
    fields = kind.template_dtype.fields or {}
    for _ in range(chance.choice((1, 1, 2, 3))):
        one, start = fields[chance.choice(list(fields))][:2]
        item = one.base.itemsize
        at = start + item * chance.randrange(one.itemsize // item)
        content = content[:at] + _field(one.base, chance) + content[at + item :]
    return content


def _field(kind: np.dtype, chance: random.Random) -> bytes:
    if kind.kind == "f":
        return np.array(chance.choice(DECIMALS), kind).tobytes()
    if kind.kind in "iu":
        return (chance.choice(NUMBERS) % (1 << 8 * kind.itemsize)).to_bytes(kind.itemsize, "little")
    return chance.randbytes(kind.itemsize)


def spoil_zip(content: bytes, chance: random.Random) -> bytes:
    """As `spoil`, or a whole archive in which one member has another name, or was spoiled before it was packed."""
    if chance.random() < 0.4:
        return spoil(content, chance)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:  # spoiled before
        return spoil(content, chance)
    at = chance.randrange(len(members))
    name, body = members[at]
    members[at] = (chance.choice(NAMES), body) if chance.random() < 0.4 else (name, spoil_dicom(body, chance))
    return zipped(members, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)))


def zipped(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive, the same bytes whenever it is made."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, body in members:
            archive.writestr(zipfile.ZipInfo(name, _DATE), body, compress_type=method)
    return out.getvalue()


def _place(content: bytes, chance: random.Random) -> int:
    end = len(content) if chance.random() < 0.5 else min(len(content), HEAD_BYTES)
    return chance.randrange(max(end, 1))


def _flip(content: bytes, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[_place(content, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, chance: random.Random) -> bytes:
    at, length = _place(content, chance), chance.choice((1, 2, 4, 8, 32, 500))
    noise = chance.choice((bytes(length), b"\xff" * length, chance.randbytes(length)))
    return content[:at] + noise[: max(len(content) - at, 0)] + content[at + length :]


def _number(content: bytes, chance: random.Random) -> bytes:
    """A 16- or 32-bit number, at an even place: lengths, counts and offsets are such."""
    at = _place(content, chance) & ~1
    width, order = chance.choice(("H", "I")), chance.choice("<>")
    value = struct.pack(f"{order}{width}", chance.choice(NUMBERS) & (0xFFFF if width == "H" else 0xFFFFFFFF))
    return content[:at] + value + content[at + len(value) :]


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def _remove(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + content[at + chance.choice((1, 2, 8, 100)) :]


def _insert(content: bytes, chance: random.Random) -> bytes:
    at = _place(content, chance)
    return content[:at] + chance.randbytes(chance.choice((1, 2, 8, 100))) + content[at:]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    """A piece of the file again, elsewhere."""
    start, at = _place(content, chance), _place(content, chance)
    return content[:at] + content[start : start + chance.choice((8, 64, 1000))] + content[at:]


BLIND: tuple[Mutation, ...] = (_flip, _flip, _overwrite, _number, _number, _cut, _remove, _insert, _repeat)


def _other_values(content: bytes, chance: random.Random) -> bytes:
    """Values replaced by their bytes, not by what they mean: any bytes may stand in a header."""
    dataset = pydicom.dcmread(io.BytesIO(content), force=True)
    implicit, little = dataset.original_encoding
    for _ in range(chance.choice((1, 1, 2, 3))):
        place = chance.choice(_places(dataset))
        tag = chance.choice([tag for tag in _tags(place) if tag.group != _PIXELS or chance.random() < 0.3])
        element = place.get_item(tag)
        if chance.random() < 0.15:
            del place[tag]
        elif isinstance(element.value, pydicom.Sequence):
            place[tag].value = list(element.value)[: chance.randrange(3)] * chance.choice((0, 1, 2))
        else:
            old = element.value if isinstance(element.value, bytes) else str(element.value).encode("utf-8", "replace")
            new = _value(old, chance)
            place[tag] = RawDataElement(tag, element.VR, len(new), new, 0, bool(implicit), bool(little))
    out = io.BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def _places(dataset: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The dataset, twice, and the items of its sequences."""
    sequences = [dataset[tag].value for tag in _tags(dataset) if dataset.get_item(tag).VR == "SQ"]
    return [dataset, dataset, *(item for sequence in sequences for item in sequence if len(item))]


def _tags(dataset: pydicom.Dataset) -> list[BaseTag]:
    """Without decoding an element, as iterating over the dataset would."""
    return list(dataset.keys())


def _value(value: bytes, chance: random.Random) -> bytes:
    kind = chance.randrange(4)
    if kind == 0:
        changed = chance.choice(TEXTS).encode("utf-8")
    elif kind == 1:
        changed = struct.pack(chance.choice(("<H", "<I")), chance.choice(NUMBERS) & 0xFFFF)
    elif kind == 2:
        changed = spoil(value, chance)
    else:
        changed = chance.randbytes(chance.choice((0, 1, 2, 4, 16)))
    return changed + b" " * (len(changed) % 2)
