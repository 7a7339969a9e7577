"""A bundle's configuration, built without MONAI where it names nothing of MONAI's but its containers.

The language is that of `monai.bundle.ConfigParser` (docs.monai.io, "Config syntax"): `_target_`, `@reference`,
`$expression`, `imports`. To import any part of MONAI takes longer than to segment a study takes without it. What a
configuration uses beyond that, MONAI builds, with the same result.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from typing import Any

from scanweave.pipeline.containers import Compose, Dataset, SliceInferer

SEPARATOR = "::"
TARGET, IMPORTS, METADATA = "_target_", "imports", "_meta_"
REFERENCE, EXPRESSION, MACRO = "@", "$", "%"
OWN = "scanweave."
CONTAINERS = {kind.__name__: kind for kind in (Compose, Dataset, SliceInferer)}
_REFERENCE = re.compile(rf"@(\w+(?:{SEPARATOR}\w+)*)")
_FOUND = "_found_"
"""The name of what is resolved, within an expression."""


def is_plain(config: object) -> bool:
    """Whether `PlainConfig` can build `config`: targets of scanweave's own, containers, references, expressions."""
    if isinstance(config, Mapping):
        target = config.get(TARGET)
        known = target is None or target in CONTAINERS or str(target).startswith(OWN)
        special = any(str(key).startswith("_") and key not in (TARGET, METADATA) for key in config)
        return known and not special and all(is_plain(value) for key, value in config.items() if key != METADATA)
    if isinstance(config, list):
        return all(map(is_plain, config))
    if isinstance(config, str):
        return not config.startswith(MACRO) and "@" not in _REFERENCE.sub("", config)
    return True


class PlainConfig:
    """One configuration: its entries with those of `overrides`, by "id" or "id::within", in their place.

    An expression is evaluated when something refers to it, a reference in a `lambda` when that is called.
    """

    def __init__(self, config: Mapping[str, Any], metadata: Mapping[str, Any], overrides: Mapping[str, Any]) -> None:
        self._config: dict[str, Any] = {**config, METADATA: dict(metadata)}
        for name, value in overrides.items():
            self._config = _with(self._config, name.split(SEPARATOR), value)
        self._done: dict[str, Any] = {}
        self._names: dict[str, Any] = {_FOUND: self}
        for line in self._config.get(IMPORTS, []):
            exec(line.removeprefix(EXPRESSION), self._names)

    def __getitem__(self, name: str) -> Any:
        """What `name` ("id" or "id::within") stands for, made once.

        Raises
        ------
        KeyError
            Where there is no such entry.
        """
        if name not in self._done:
            entry: Any = self._config
            for key in name.split(SEPARATOR):
                entry = entry[int(key)] if isinstance(entry, list) else entry[key]
            self._done[name] = entry if name.split(SEPARATOR)[0] == METADATA else self._made(entry, name)
        return self._done[name]

    def _made(self, entry: Any, name: str) -> Any:
        if isinstance(entry, dict):
            within = {key: self[f"{name}{SEPARATOR}{key}"] for key in entry if key != TARGET}
            return _class(entry[TARGET])(**within) if TARGET in entry else within
        if isinstance(entry, list):
            return [self[f"{name}{SEPARATOR}{number}"] for number in range(len(entry))]
        if isinstance(entry, str) and entry.startswith(EXPRESSION):
            code = _REFERENCE.sub(lambda match: f"{_FOUND}[{match[1]!r}]", entry.removeprefix(EXPRESSION))
            return eval(code, self._names)
        if isinstance(entry, str) and entry.startswith(REFERENCE):
            return self[entry.removeprefix(REFERENCE)]
        return entry


def _with(entry: Any, path: list[str], value: Any) -> Any:
    """A copy of `entry` as far as it changes."""
    if not path:
        return value
    copy = list(entry) if isinstance(entry, list) else dict(entry)
    key: Any = int(path[0]) if isinstance(copy, list) else path[0]
    copy[key] = _with(copy[key] if len(path) > 1 else None, path[1:], value)
    return copy


def _class(target: str) -> Any:
    if target in CONTAINERS:
        return CONTAINERS[target]
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)
