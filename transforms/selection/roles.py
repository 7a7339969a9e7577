"""The roles that a bundle declares: which series it needs, and by which rule each is found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scanweave.errors import Code, EnvironmentFailure, Problem

WEIGHTINGS = ("flair", "t1", "t2", "none")
CONTRASTS = ("none", "given", "any")
SHORT_OPTIONS = ("pre", "flair", "post")
"""Roles that have a command-line option of their own; the others are given as --input ROLE=UID."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ROLE_KEYS = {"name", "required", "substitute", "rule"}
_RULE_KEYS = {"weighting", "contrast"}


@dataclass(frozen=True)
class Rule:
    """What a series must show: "flair", "t1" or "t2"; contrast agent "none", "given" or "any".

    The weighting "none" is what no MR series shows: such a role is a picture, or given by hand.
    """

    weighting: str
    contrast: str = "any"

    def __post_init__(self) -> None:
        _check(self.weighting in WEIGHTINGS, f"expected a weighting of {WEIGHTINGS}, found {self.weighting!r}")
        _check(self.contrast in CONTRASTS, f"expected a contrast of {CONTRASTS}, found {self.contrast!r}")


@dataclass(frozen=True)
class Role:
    """One input of a network. Where an optional role has no series, that of its `substitute` stands in."""

    name: str
    rule: Rule
    required: bool = True
    substitute: str | None = None

    def __post_init__(self) -> None:
        named = isinstance(self.name, str) and _NAME.fullmatch(self.name)
        _check(bool(named), f"expected a role's name of lower-case letters, found {self.name!r}")
        _check(isinstance(self.required, bool), f"expected required: true or false, found {self.required!r}")
        _check(self.substitute != self.name, f"role {self.name!r} cannot stand in for itself")
        _check(not (self.required and self.substitute), f"role {self.name!r} is required and has a substitute")
        _check(self.required or bool(self.substitute), f"role {self.name!r} is optional and has no substitute")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Role:
        """A role from a bundle's configuration: {name, required, substitute, rule: {weighting, contrast}}.

        Raises
        ------
        EnvironmentFailure
            BUNDLE_INVALID: a key or value is unknown or missing.
        """
        _check(isinstance(config, Mapping), f"expected a role as a mapping, found {config!r}")
        _check_keys(config, _ROLE_KEYS, {"name", "rule"}, "a role")
        rule = config["rule"]
        _check(isinstance(rule, Mapping), f"expected a rule as a mapping, found {rule!r}")
        _check_keys(rule, _RULE_KEYS, {"weighting"}, f"the rule of role {config['name']!r}")
        return cls(config["name"], Rule(**rule), config.get("required", True), config.get("substitute"))

    def option(self, value: str = "UID") -> str:
        """The command-line option that gives this role by hand."""
        return f"--{self.name} {value}" if self.name in SHORT_OPTIONS else f"--input {self.name}={value}"


def parse_roles(configs: Sequence[Mapping[str, Any]]) -> tuple[Role, ...]:
    """The roles of a bundle, in the order of the network's channels.

    Raises
    ------
    EnvironmentFailure
        BUNDLE_INVALID: as `Role.from_config`; a name twice; a substitute that is not required; no role.
    """
    roles = tuple(Role.from_config(config) for config in configs)
    _check(bool(roles), "expected at least one role")
    names = [role.name for role in roles]
    _check(len(set(names)) == len(names), f"expected each role once, found {', '.join(names)}")
    required = [role.name for role in roles if role.required]
    for role in roles:
        known = role.substitute is None or role.substitute in required
        _check(known, f"expected a required role as substitute of {role.name!r}, found {role.substitute!r}")
    return roles


def _check_keys(config: Mapping[str, Any], allowed: set[str], needed: set[str], what: str) -> None:
    _check(set(config) <= allowed, f"{what} has unknown keys: {_list(set(config) - allowed)}")
    _check(needed <= set(config), f"{what} lacks {_list(needed - set(config))}")


def _list(names: Iterable[object]) -> str:
    return ", ".join(sorted(map(str, names)))


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise EnvironmentFailure(Problem(Code.BUNDLE_INVALID, message))
