"""One slice as PNG, TIFF or JPEG: what its header says, and its pixels, or a reasoned refusal; nothing is guessed.

Pillow reads more than it can represent: of 16-bit colours it keeps the upper byte, of several pages the first, and
it hands on inverted or turned pictures as they are stored. Such files are refused here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from scanweave.errors import Code, InputRefused, Problem

if TYPE_CHECKING:
    from PIL.Image import Image

SLICE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg")
MIN_SIDE, MAX_SIDE = 32, 4096
"""Pixels along an edge: less shows no head, more is no MR slice (and may be a decompression bomb)."""
_FORMATS = ("PNG", "TIFF", "JPEG")
_PHOTOMETRIC, _SAMPLE_FORMAT, _ORIENTATION = 262, 339, 274
"""TIFF 6.0 tags; the orientation is EXIF's too."""
_WHITE_IS_ZERO, _SIGNED, _UPRIGHT = 0, 2, 1
_STDERR = 2
OPAQUE = 255
"""Of an 8-bit alpha channel."""


class Pixels(StrEnum):
    """What a file holds for each pixel."""

    COLOUR = "8-bit RGB"
    GRAY = "8-bit gray"
    BILEVEL = "1-bit"
    DEEP = "16-bit gray"
    INTEGER = "gray integers"
    FLOAT = "gray decimals"


_BY_MODE = {
    **dict.fromkeys(("RGB", "RGBA", "RGBX", "P", "PA"), Pixels.COLOUR),
    **dict.fromkeys(("L", "LA"), Pixels.GRAY),
    **dict.fromkeys(("I;16", "I;16B", "I;16L", "I;16N"), Pixels.DEEP),
    **{"1": Pixels.BILEVEL, "I": Pixels.INTEGER, "F": Pixels.FLOAT},
}
"""Pillow's modes; CMYK, YCbCr as such and Lab are no slices of a scanner."""


@dataclass(frozen=True)
class SliceForm:
    """Rows, columns and kind of pixels of one file, by its header."""

    rows: int
    columns: int
    pixels: Pixels


def is_slice(path: Path) -> bool:
    """Whether the name says PNG, TIFF or JPEG."""
    return path.suffix.lower() in SLICE_SUFFIXES


def slice_form(path: Path) -> SliceForm | Problem:
    """What the header of a file says, without reading its pixels; a `Problem` where it cannot be a slice."""
    try:
        with _opened(path) as image:
            problem = _form_problem(image, path)
            return problem or SliceForm(image.height, image.width, _BY_MODE[image.mode])
    except InputRefused as refusal:
        return refusal.problems[0]


def read_slice(path: Path) -> npt.NDArray[Any]:
    """The pixels (row, column), of RGB and palette files (row, column, 3), in the type they are stored in.

    Raises
    ------
    InputRefused
        As `slice_form`; TRUNCATED for damaged pixels, UNSUPPORTED_FORM for transparent ones.
    """
    with _opened(path) as image:
        problem = _form_problem(image, path)
        if problem:
            raise InputRefused(problem)
        png = image.format == "PNG"
    try:
        if png:  # the decoder lets damaged and missing bytes pass that the checksums of the chunks tell
            with _opened(path) as image:
                image.verify()
        with _opened(path) as image, _without_libtiff_remarks(image):
            image.load()
            pixels = np.asarray(_opaque(image, path))
    except (InputRefused, MemoryError):
        raise
    except Exception as error:  # Pillow raises nearly anything on damaged bytes
        message = f"the pixels end early or are damaged ({type(error).__name__})"
        raise InputRefused(Problem(Code.TRUNCATED, message, path.name)) from error
    return pixels


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image]:
    from PIL import Image

    try:
        if path.stat().st_size == 0:
            raise InputRefused(Problem(Code.TRUNCATED, "the file is empty", path.name))
        opened = Image.open(path, formats=_FORMATS)
    except (InputRefused, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise InputRefused(_too_large("more pixels", path)) from error
    except Exception as error:
        reason = (isinstance(error, OSError) and error.strerror) or "damaged, or of a kind that is not read"
        problem = Problem(Code.UNREADABLE, f"expected a PNG, TIFF or JPEG picture ({reason})", path.name)
        raise InputRefused(problem) from error
    with opened as image:
        yield image


def _form_problem(image: Image, path: Path) -> Problem | None:
    """Why the picture cannot be taken as it is, by its header."""
    if max(image.size) > MAX_SIDE:
        return _too_large(f"{image.height} x {image.width}", path)
    if min(image.size) < MIN_SIDE:
        message = f"expected at least {MIN_SIDE} pixels along an edge, found {image.height} x {image.width}"
        return Problem(Code.WRONG_SHAPE, message, path.name)
    try:
        found = _unsupported(image)
    except Exception as error:  # Pillow raises nearly anything on damaged bytes
        message = f"the header is damaged ({type(error).__name__})"
        return Problem(Code.UNREADABLE, message, path.name)
    return Problem(Code.UNSUPPORTED_FORM, f"expected RGB or gray pixels, found {found}", path.name) if found else None


def _unsupported(image: Image) -> str:
    count = getattr(image, "n_frames", 1)
    if count > 1:
        return f"{count} pages in one file"
    if image.mode not in _BY_MODE:
        return f"the colours {image.mode}"
    if _BY_MODE[image.mode] in (Pixels.COLOUR, Pixels.GRAY) and any(";16" in str(tile.args) for tile in _tiles(image)):
        return "16 bits a colour, or 16 bits with transparency"
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and _BY_MODE[image.mode] not in (Pixels.GRAY, Pixels.BILEVEL):
        return "more than 8 bits with white as zero"
    if _BY_MODE[image.mode] in (Pixels.GRAY, Pixels.COLOUR) and _SIGNED in _listed(tags.get(_SAMPLE_FORMAT)):
        return "signed 8-bit pixels"
    return "a tag that turns the picture" if _orientation(image) != _UPRIGHT else ""


def _orientation(image: Image) -> object:
    """The tag's value; `Image.getexif` would decode the whole of a PNG for it."""
    from PIL.Image import Exif

    if image.format == "TIFF":
        return getattr(image, "tag_v2", {}).get(_ORIENTATION, _UPRIGHT)
    exif = Exif()
    exif.load(image.info.get("exif", b""))
    return exif.get(_ORIENTATION, _UPRIGHT)


def _tiles(image: Image) -> Sequence[Any]:
    """How the parts of the picture are stored: codec and raw mode."""
    return getattr(image, "tile", ())


def _listed(value: object) -> tuple[object, ...]:
    return value if isinstance(value, tuple) else (value,)


def _too_large(found: str, path: Path) -> Problem:
    message = f"expected slices of at most {MAX_SIDE} x {MAX_SIDE} pixels, found {found}"
    return Problem(Code.TOO_LARGE, message, path.name)


def _opaque(image: Image, path: Path) -> Image:
    """The picture as gray or RGB: palettes resolved, an alpha channel that hides nothing left out."""
    colour = _BY_MODE[image.mode] is Pixels.COLOUR
    if image.has_transparency_data:
        image = image.convert("RGBA" if colour else "LA")
        if np.asarray(image.getchannel("A")).min() < OPAQUE:
            message = "expected opaque pixels, found transparent ones"
            raise InputRefused(Problem(Code.UNSUPPORTED_FORM, message, path.name))
    if colour:
        return image.convert("RGB")
    return image.convert("L") if image.mode in ("LA", "1") else image


@contextlib.contextmanager
def _without_libtiff_remarks(image: Image) -> Iterator[None]:
    """libtiff writes its errors to the process's stderr, where each line is one of ours; Pillow raises them too."""
    if not any(tile.codec_name == "libtiff" for tile in _tiles(image)):
        yield
        return
    try:
        kept = os.dup(_STDERR)
    except OSError:  # there is no stderr
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), _STDERR)
        yield
    finally:
        os.dup2(kept, _STDERR)
        os.close(kept)
