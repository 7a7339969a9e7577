"""A tiny image in each compressed transfer syntax: what a decoder is tried on.

All show the same ramp, `SIDE` x `SIDE`: row r is r * 2^(bits - 5) throughout. Made once by dcmtk's dcmcjpeg and
dcmcjpls (JPEG, JPEG-LS) and by OpenJPEG.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

SIDE = 32


@dataclass(frozen=True)
class Sample:
    """One compressed frame.

    `syntax` is pydicom's name of the UID, `package` what brings a decoder for it, `tolerance` by how many grey values
    a lossy one may be off.
    """

    syntax: str
    package: str
    bits: int
    tolerance: int
    text: str

    @property
    def frame(self) -> bytes:
        """The compressed bytes."""
        return base64.b64decode(self.text)


_BASELINE = Sample(
    "JPEGBaseline8Bit",
    "pillow",
    8,
    1,
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoK"
    "BggLDAsKDAkKCgr/wAALCAAgACABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAAn/xAAXEAADAQAAAAAAAAAAAAAAAAAAGGSi/9oACAEB"
    "AAA/AI3rbBkLbBkLbBkLbBkoAtsGQtsGQtsGQtsGSgC2wZC2wZC2wZC2wZKALbBkLbBkLbBkLbBk///Z",
)

SAMPLES = {
    "JPEG baseline": _BASELINE,
    "JPEG extended (8 bits)": replace(_BASELINE, syntax="JPEGExtended12Bit"),
    "JPEG extended (12 bits)": Sample(
        "JPEGExtended12Bit",
        "pylibjpeg-libjpeg",
        12,
        1,
        "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoK"
        "BggLDAsKDAkKCgr/wQALDAAgACABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAAAA3/xAAYEAACAwAAAAAAAAAAAAAAAAAAHGim4v/aAAgB"
        "AQAAPwCN/rcUC63gLcUC63gLcUC63gLcUC63goAC3FAut4C3FAut4C3FAut4C3FAut4KAAtxQLreAtxQLreAtxQLreAtxQLreCgALcUC"
        "63gLcUC63gLcUC63gLcUC63g/9k=",
    ),
    "JPEG lossless": Sample(
        "JPEGLossless",
        "python-gdcm",
        12,
        0,
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAgACABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAAAAgQ/9oACAEBAAQAAMAAAAAoAAAAABQA"
        "AAAACgAAAAAFAAAAAAKAAAAAAUAAAAAAoAAAAABQAAAAACgAAAAAFAAAAAAKAAAAAAUAAAAAAoAAAAABQAAAAACgAAAAAFAAAAAAKAAA"
        "AAAUAAAAAAoAAAAABQAAAAACgAAAAAFAAAAAAKAAAAAAUAAAAAAoAAAAABQAAAAACgAAAAAFAAAAAAKAAAAAAUAAAAAAoAAAAAB////Z",
    ),
    "JPEG lossless (first order)": Sample(
        "JPEGLosslessSV1",
        "python-gdcm",
        12,
        0,
        "/9j/4AAQSkZJRgABAQAAAQABAAD/wwALEAAgACABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAAAAgQ/9oACAEBAAEAAMAAAAAoAAAAABQA"
        "AAAACgAAAAAFAAAAAAKAAAAAAUAAAAAAoAAAAABQAAAAACgAAAAAFAAAAAAKAAAAAAUAAAAAAoAAAAABQAAAAACgAAAAAFAAAAAAKAAA"
        "AAAUAAAAAAoAAAAABQAAAAACgAAAAAFAAAAAAKAAAAAAUAAAAAAoAAAAABQAAAAACgAAAAAFAAAAAAKAAAAAAUAAAAAAoAAAAAB////Z",
    ),
    "JPEG-LS lossless": Sample(
        "JPEGLSLossless",
        "pyjpegls",
        12,
        0,
        "/9j/9wALEAAgACABAREA//gADQH//wASAEMBFABA/9oACAEBAAAAAP98J/wAgCAIBAIBAICAgICAgICAgQIECBAgQIECBAgQIECgEEEE"
        "EEEEEEEEEEEEEEEEEEEEEEEEEEEE/oIQhCEIQhCEIQhCEIQhCEIQhCEL8hCIiIiIiIiIiIiIiIiIiIvqIiSSSSSSSSSSSSSS+JJKqqqq"
        "qqqqr2qr/3//fp//f/9/l/9//3/h/3//f/d//3//fZ//f/9/V/9//3/R/3//f/N//3//fJ//f/9/F/9//3/B/3//f+9//3//e5//f/9+"
        "1/9//3+x/3//f+t//3//ep//f/9+l/9//3+h/3//f+d//3//eZ//f/9+V/9//3+R/3//f+N//3//QP/Z",
    ),
    "JPEG-LS near-lossless": Sample(
        "JPEGLSNearLossless",
        "pyjpegls",
        12,
        3,
        "/9j/9wALDAAgACABAREA/9oACAEBAAMAAP98CcIkqv9//xb/f/9/lP9//3+U/3//f5T/f/9/ov9//3+k/3//f6L/f/9/pP9//3+i/3//"
        "f6L/f/9/ov9//3+g/3//f6L/f/9/oP9//3+i/3//f6D/f/9/oP9//3+g/3//f/3/f/9/Qf9//3/7/3//foP/f/9/9/9//3/v/3//f9//"
        "f/9/P/9//39//3//fP9//3/9/3//f/P/f/9+/9kA",
    ),
    "JPEG 2000 lossless": Sample(
        "JPEG2000Lossless",
        "pylibjpeg-openjpeg",
        12,
        0,
        "/0//UQApAAAAAAAgAAAAIAAAAAAAAAAAAAAAIAAAACAAAAAAAAAAAAABCwEB/1IADAAAAAEABQQEAAH/XAATQGBoaHBoaHBoaHBoaHBo"
        "aHD/ZAAlAAFDcmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjL/kAAKAAAAAABDAAH/k8fsBAgVp/gDAARif6P5BAALPYUWofsD"
        "AAN/3VIzvaD8wgA9pjRbENxcaaB+AOCdrClBB/9//9k=",
    ),
    "JPEG 2000": Sample(
        "JPEG2000",
        "pylibjpeg-openjpeg",
        12,
        1,
        "/0//UQApAAAAAAAgAAAAIAAAAAAAAAAAAAAAIAAAACAAAAAAAAAAAAABCwEB/1IADAAAAAEABQQEAAD/XAAjQpcglvCW8JbAjwCPAI7g"
        "h1CHUIdocAVwBXBHd9N303di/2QAJQABQ3JlYXRlZCBieSBPcGVuSlBFRyB2ZXJzaW9uIDIuNS4y/5AACgAAAAAAiQAB/5PD/wUBgAiJ"
        "36H/QoDAAFpvof9BAgALPhnlAq0qx6B/AkADfiaNxd6TB1JpEvRs3Z9pWqWgfkQAPaYuiGbZZNqgAABFEeTPhXCUPrlOIP42HLF6iLkA"
        "AH+gH2EAnawpWXg7iKM0MJBUra/S42lytKSCwlAYFqBNWIYFqB//2Q==",
    ),
}
"""By the name that people know, in the order of the report."""
