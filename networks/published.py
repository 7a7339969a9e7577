"""Weights that others have published for the networks here, and where each is to be had."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

_HASH_IN_NAME = re.compile(r"-([0-9a-f]{8,64})\.")
"""torch.hub's custom: the first digits of the SHA-256, eight at least, between the last hyphen and the suffix."""


@dataclass(frozen=True)
class Published:
    """A state dict at `url`; the file's name carries the first digits of its SHA-256.

    `origin` says whose it is and on what terms, `by_file` how to name a file that was brought by hand.

    Raises
    ------
    ValueError
        For a URL whose file name has no such digits: nothing could be verified.
    """

    name: str
    url: str
    origin: str
    by_file: str = "segment --weights FILE"

    def __post_init__(self) -> None:
        if not _HASH_IN_NAME.search(self.file):
            raise ValueError(f"expected a file name like unet-0123abcd.pt, got {self.file!r}")

    @property
    def file(self) -> str:
        """The file's name, in the URL and in the cache."""
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def sha256_start(self) -> str:
        """The first hexadecimal digits of the file's SHA-256; more of it was not published."""
        return _HASH_IN_NAME.findall(self.file)[0]


PUBLISHED: Mapping[str, Published] = {
    "buda": Published(
        "buda",
        "https://github.com/mateuszbuda/brain-segmentation-pytorch/releases/download/v1.0/unet-e012d006.pt",
        "M. Buda, mateuszbuda/brain-segmentation-pytorch v1.0 (MIT), trained on the LGG Segmentation Dataset "
        "(CC BY-NC-SA 4.0)",
    ),
}
"""Of `BNUNet()`, by name."""
