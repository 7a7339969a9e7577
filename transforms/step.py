"""What the steps share that work on entries of the study's dictionary."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

Keys = Hashable | Sequence[Hashable]
"""One key or several, as in MONAI's dictionary transforms."""


class DictionaryStep:
    """A step on `keys`, in their order; a key that is not there is an error unless `allow_missing_keys`."""

    def __init__(self, keys: Keys, allow_missing_keys: bool = False) -> None:
        several = isinstance(keys, Sequence) and not isinstance(keys, str)
        self.keys: tuple[Hashable, ...] = tuple(keys) if several else (keys,)  # type: ignore[arg-type]
        self.allow_missing_keys = allow_missing_keys

    def present(self, data: Mapping[Hashable, Any]) -> Iterator[Hashable]:
        """The keys that `data` has.

        Raises
        ------
        KeyError
            For one that it lacks and that may not be missing.
        """
        for key in self.keys:
            if key in data:
                yield key
            elif not self.allow_missing_keys:
                raise KeyError(f"{type(self).__name__} expects {key!r}, found {', '.join(map(str, data))}")
