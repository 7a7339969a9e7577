"""Headers and stored pixels of the files of a series: plain ones are read here, compressed ones by a process beside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from scanweave.errors import Code, InputRefused, Problem
from scanweave.transforms.io.dicom_facts import number
from scanweave.transforms.io.dicom_file import NATIVE_SYNTAXES, read_dataset, transfer_syntax
from scanweave.transforms.io.dicom_instance import frame_count
from scanweave.transforms.io.pixel_decoder import CompressedFile, PixelDecoder
from scanweave.transforms.io.series import Series

if TYPE_CHECKING:
    import pydicom

Pixels = npt.NDArray[Any]
"""(frame, row, column) as stored, without unused bits."""


def read_pixels(
    series: Series, decoder: PixelDecoder | None = None
) -> tuple[tuple[pydicom.Dataset, ...], list[Pixels]]:
    """The headers of a series' files, without pixels, and the pixels of each.

    Raises
    ------
    InputRefused
        TRUNCATED, UNSUPPORTED_SYNTAX, UNSUPPORTED_FORM or DECODING_LIMIT for pixels that cannot be decoded.
    EnvironmentFailure
        As `PixelDecoder.decode`.
    """
    headers: list[pydicom.Dataset] = []
    plain: dict[int, Pixels] = {}

    def compressed() -> Iterator[CompressedFile]:
        """Reads one header after another while the process decodes the files before it."""
        for n, path in enumerate(series.files):
            where = f"file {path.name} of series {series.label}"
            header, found = _opened(path, where)
            headers.append(header)
            if isinstance(found, CompressedFile):
                yield found
            else:
                plain[n] = found

    with nullcontext(decoder) if decoder else PixelDecoder() as process:
        decoded = list(process.decode(compressed()))
    return tuple(headers), [plain[n] if n in plain else decoded.pop(0) for n in range(len(headers))]


def _opened(path: Path, where: str) -> tuple[pydicom.Dataset, Pixels | CompressedFile]:
    """A header without its pixels, and these, or what the process must know to decode them."""
    try:
        dataset = read_dataset(path)
        if "PixelData" not in dataset:
            message = "expected whole numbers as pixels (PixelData), found none"
            raise InputRefused(Problem(Code.UNSUPPORTED_FORM, message, where))
        found = _compressed_file(path, dataset, where)
        if transfer_syntax(dataset) not in NATIVE_SYNTAXES:
            del dataset.PixelData
            return dataset, found
        pixels = dataset.pixel_array.reshape(found.frames, found.rows, found.columns)
        del dataset.PixelData
    except (InputRefused, MemoryError):
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged bytes
        problem = Problem(Code.TRUNCATED, f"the pixels cannot be decoded ({type(error).__name__})", where)
        raise InputRefused(problem) from error
    return dataset, pixels


def _compressed_file(path: Path, header: pydicom.Dataset, where: str) -> CompressedFile:
    rows, columns = int(number(header, "Rows") or 0), int(number(header, "Columns") or 0)
    return CompressedFile(path, frame_count(header), rows, columns, where)
