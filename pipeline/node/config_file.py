"""The node's configuration from a YAML file, or one line for each of its mistakes."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from scanweave.errors import Code, Problem, UsageError
from scanweave.pipeline.node.config import NodeConfig


def read_config(path: Path) -> NodeConfig:
    """Read and check `path`; relative paths in it start at its folder.

    Raises
    ------
    UsageError
        CONFIG_INVALID, a problem for each mistake.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(path, f"the file cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8'})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise _invalid(path, f"the file is no YAML{where}") from error
    try:
        return NodeConfig.model_validate(given, context={"folder": path.absolute().parent})
    except ValidationError as error:
        raise UsageError(
            Problem(Code.CONFIG_INVALID, f"{_place(item['loc'])}: {_words(item)}", path.name)
            for item in error.errors(include_url=False, include_input=False)
        ) from None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "the file"


def _words(item: object) -> str:
    assert isinstance(item, dict)
    return str(item["msg"]).removeprefix("Value error, ")


def _invalid(path: Path, message: str) -> UsageError:
    return UsageError(Problem(Code.CONFIG_INVALID, message, path.name))
