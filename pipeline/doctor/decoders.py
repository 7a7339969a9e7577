"""Whether compressed DICOM can be read: a tiny image of each transfer syntax is decoded and looked at."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from scanweave.pipeline.doctor.check import Check, State, reason
from scanweave.pipeline.doctor.decoder_samples import SAMPLES, SIDE, Sample

if TYPE_CHECKING:
    import numpy as np
    from pydicom import Dataset

NOT_PROMISED = frozenset({"JPEG extended (12 bits)"})
"""Only a decoder under the GPL reads it, which scanweave does not bring along."""
_DECOMPRESS = "decompress such files first (dcmdjpeg)"
_LIVE_BITS = 12


def check_decoders() -> list[Check]:
    """Each transfer syntax that `segment` reads, and the one that it cannot promise."""
    try:
        import numpy  # noqa: F401
        import pydicom.pixels  # noqa: F401
    except Exception as error:
        remedy = "mend pydicom and numpy first, see above"
        return [Check("decoders", State.MISSING, f"cannot be examined ({reason(error)})", remedy)]
    checks = [
        _check("deflated", "pydicom", "zlib", _deflated, _LIVE_BITS),
        _check("RLE lossless", "pydicom", _readers("RLELossless"), _rle, _LIVE_BITS),
    ]
    return checks + [check_sample(name, sample) for name, sample in SAMPLES.items()]


def check_sample(name: str, sample: Sample) -> Check:
    """One transfer syntax, read as pydicom reads it: by the first of its plug-ins that can."""
    readers = _readers(sample.syntax)
    return _check(name, sample.package, readers, partial(_decoded, sample), sample.bits, sample.tolerance)


def _check(
    name: str, package: str, readers: str, read: Callable[[], np.ndarray], bits: int, tolerance: int = 0
) -> Check:
    promised = name not in NOT_PROMISED
    state = State.MISSING if promised else State.WARNING
    install = f"pip install --force-reinstall {package}" if promised else f"pip install {package} (GPL)"
    remedy = f"{install}, or {_DECOMPRESS}"
    if not readers:
        return Check(name, state, "no decoder", remedy)
    try:
        wrong = int(abs(read().astype(int) - _ramp(bits)).max())
    except Exception as error:  # decoders raise nearly anything
        return Check(name, state, f"not decoded by {readers} ({type(error).__name__})", remedy)
    if wrong > tolerance:
        return Check(name, state, f"decoded wrongly by {readers}: {wrong} grey values off", remedy)
    return Check(name, State.OK, readers)


def _readers(syntax: str) -> str:
    """The plug-ins that pydicom found for the transfer syntax of that name."""
    from pydicom import uid
    from pydicom.pixels import get_decoder

    return ", ".join(get_decoder(getattr(uid, syntax)).available_plugins)


def _decoded(sample: Sample) -> np.ndarray:
    from pydicom import uid
    from pydicom.encaps import encapsulate

    dataset = _image(sample.bits, encapsulate([sample.frame]))
    dataset.file_meta.TransferSyntaxUID = getattr(uid, sample.syntax)
    dataset["PixelData"].VR = "OB"
    return dataset.pixel_array


def _rle() -> np.ndarray:
    """Written and read by pydicom itself."""
    from pydicom.uid import RLELossless

    dataset = _image(_LIVE_BITS, _ramp(_LIVE_BITS).astype("<u2").tobytes())
    dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    return dataset.pixel_array


def _deflated() -> np.ndarray:
    """Written and read by pydicom itself."""
    from pydicom import dcmread
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    dataset = _image(_LIVE_BITS, _ramp(_LIVE_BITS).astype("<u2").tobytes())
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    stream.seek(0)
    return dcmread(stream).pixel_array


def _image(bits: int, pixels: bytes) -> Dataset:
    """A grey image `SIDE` x `SIDE`, uncompressed unless its transfer syntax is changed."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.Rows = dataset.Columns = SIDE
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated = 8 if bits == 8 else 16
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelData = pixels
    return dataset


def _ramp(bits: int) -> np.ndarray:
    """What every sample shows, (rows, columns) int."""
    import numpy as np

    return np.repeat(np.arange(SIDE)[:, None] * (1 << bits) // SIDE, SIDE, axis=1)
