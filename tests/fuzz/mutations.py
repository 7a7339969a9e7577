"""Ways to spoil a file: blindly, byte by byte, and with some knowledge of what stands in it."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable

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
)  # fmt: skip


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
