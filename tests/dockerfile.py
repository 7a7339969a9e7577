"""Reading a Dockerfile and a .dockerignore, as far as this project's own go; anything else is an error."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

KNOWN = {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "HEALTHCHECK", "LABEL", "RUN", "USER", "WORKDIR"}
_FROM = re.compile(r"(?P<base>\S+)(?:\s+AS\s+(?P<name>\S+))?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


@dataclass(frozen=True)
class Instruction:
    """One instruction with its continuation lines joined."""

    keyword: str
    text: str

    @property
    def pairs(self) -> dict[str, str]:
        """`name=value ..` of ARG, ENV and LABEL; an ARG without a value is empty."""
        return dict(word.partition("=")[::2] for word in shlex.split(self.text))

    @property
    def words(self) -> list[str]:
        """The list of ENTRYPOINT and CMD in their exec form: the shell form swallows signals."""
        return json.loads(self.text)

    @property
    def copied(self) -> tuple[str | None, list[str], str]:
        """The stage (None is the build context), the sources and the destination of a COPY."""
        words = shlex.split(self.text)
        stage = words.pop(0).removeprefix("--from=") if words[0].startswith("--from=") else None
        if any(word.startswith("--") for word in words):
            raise ValueError(f"COPY {self.text}: unknown option")
        return stage, words[:-1], words[-1]


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def texts(self, keyword: str) -> list[str]:
        """What follows each `keyword`."""
        return [instruction.text for instruction in self.instructions if instruction.keyword == keyword]


@dataclass(frozen=True)
class Dockerfile:
    """The build arguments before the first FROM, with their defaults, and the stages in order."""

    arguments: Mapping[str, str]
    stages: tuple[Stage, ...]


def parse(text: str) -> Dockerfile:
    """Read a Dockerfile; ValueError for an instruction that is not in KNOWN."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    arguments: dict[str, str] = {}
    stages: list[tuple[re.Match[str], list[Instruction]]] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        keyword, _, rest = line.strip().partition(" ")
        instruction = Instruction(keyword.upper(), " ".join(rest.split()))
        if instruction.keyword not in KNOWN:
            raise ValueError(f"{keyword}: not an instruction that the tests can follow")
        if instruction.keyword == "FROM":
            match = _FROM.fullmatch(instruction.text)
            if match is None:
                raise ValueError(f"FROM {instruction.text}: expected IMAGE [AS NAME]")
            stages.append((match, []))
        elif stages:
            stages[-1][1].append(instruction)
        else:
            arguments.update(instruction.pairs)
    return Dockerfile(arguments, tuple(Stage(m["base"], m["name"] or "", tuple(found)) for m, found in stages))


def expand(text: str, values: Mapping[str, str]) -> str:
    """`text` with $NAME and ${NAME} replaced; KeyError for a name that has no value there."""
    return _VARIABLE.sub(lambda match: values[match[1] or match[2]], text)


def sent(path: str, ignore: str) -> bool:
    """Whether a file of the checkout is in the build context, by the text of .dockerignore: the last match decides."""
    kept = True
    for line in ignore.splitlines():
        pattern = line.strip().removeprefix("!").strip("/")
        if pattern and not pattern.startswith("#") and re.fullmatch(_regex(pattern), path):
            kept = line.strip().startswith("!")
    return kept


def _regex(pattern: str) -> str:
    """Of a path that the pattern matches, or that lies below a folder that it matches."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", pattern)
    return "".join(parts.get(token, re.escape(token)) for token in tokens) + "(?:/.*)?"
