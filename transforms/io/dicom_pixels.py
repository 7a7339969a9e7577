"""Headers and stored pixels of the files of a series: plain ones are read here, compressed ones by a process beside."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from scanweave.errors import Code, InputRefused, Problem, ScanweaveError
from scanweave.transforms.io.dicom_facts import number
from scanweave.transforms.io.dicom_file import NATIVE_SYNTAXES, read_dataset, transfer_syntax
from scanweave.transforms.io.dicom_instance import frame_count
from scanweave.transforms.io.pixel_decoder import CompressedFile, PixelDecoder, Pixels
from scanweave.transforms.io.series import Series

if TYPE_CHECKING:
    import pydicom


def read_pixels(
    series: Series, decoder: PixelDecoder | None = None
) -> tuple[tuple[pydicom.Dataset, ...], list[Pixels]]:
    """The headers of a series' files, without pixels, and the pixels of each.

    Raises
    ------
    InputRefused
        UNSUPPORTED_FORM, TRUNCATED; as `PixelDecoder.decode`.
    EnvironmentFailure
        As `PixelDecoder.decode`.
    """
    headers, pixels = [], []
    with nullcontext(decoder) if decoder else PixelDecoder() as process:
        for path in series.files:
            header, found = _read(path, process, f"file {path.name} of series {series.label}")
            headers.append(header)
            pixels.append(found)
    return tuple(headers), pixels


def _read(path: Path, decoder: PixelDecoder, where: str) -> tuple[pydicom.Dataset, Pixels]:
    try:
        dataset = read_dataset(path)
        if "PixelData" not in dataset:
            message = "expected whole numbers as pixels (PixelData), found none"
            raise InputRefused(Problem(Code.UNSUPPORTED_FORM, message, where))
        rows, columns = int(number(dataset, "Rows") or 0), int(number(dataset, "Columns") or 0)
        frames = frame_count(dataset)
        if transfer_syntax(dataset) in NATIVE_SYNTAXES:
            pixels = dataset.pixel_array.reshape(frames, rows, columns)
        else:
            pixels = decoder.decode(CompressedFile(path, frames, rows, columns, where))
        del dataset.PixelData
    except (ScanweaveError, MemoryError):
        raise
    except Exception as error:  # pydicom raises nearly anything on damaged bytes
        problem = Problem(Code.TRUNCATED, f"the pixels cannot be decoded ({type(error).__name__})", where)
        raise InputRefused(problem) from error
    return dataset, pixels
