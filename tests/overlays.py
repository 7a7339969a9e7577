"""Overlay series of invented masks, for the tests of pictures and of their files."""

from dataclasses import replace

import numpy as np
import pydicom
from dicom_series import SETTINGS

from scanweave import RESEARCH_NOTICE
from scanweave.pipeline.overlay_pictures import Scene, Words, overlay_pictures
from scanweave.transforms.io.dicom_sc import sc_sources, write_dicom_sc
from scanweave.transforms.io.dicom_seg_grid import as_source_stack

WORDS = Words("FLAIR abnormality: 1.23 ml, 2 parts", (), (), RESEARCH_NOTICE)
DOUBTED = replace(
    WORDS,
    flags=("registration of pre: a flag that is a little longer than one line of such a picture can be",),
    remarks=("No post series: flair stands in",),
)


def scene(mask, headers, gray=60):
    """Even gray under the mask, in the order of the sources."""
    sources = sc_sources(headers)
    first = sources[0].header
    stack = as_source_stack(mask, (int(first.Rows), int(first.Columns)), [source.plane for source in sources])
    return Scene(stack.array > 0, np.full(stack.array.shape, gray, np.uint8), (1, 1, 1)), sources


def write(folder, mask, headers, further=(), settings=SETTINGS, words=WORDS):
    """The series, read back by rank."""
    drawn, sources = scene(mask, headers)
    pictures = overlay_pictures(drawn, words, [f"source image {source.number}" for source in sources])
    write_dicom_sc(folder, pictures, sources, list(further), settings)
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


def is_colour(pixels, colour):
    return (pixels == np.array(colour, np.uint8)).all(axis=-1)
