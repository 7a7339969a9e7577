"""What a new bundle is to be: its name, the shipped bundle it is made like, its roles and its segments."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scanweave.errors import Code, Problem, ScanweaveError, UsageError
from scanweave.pipeline.bundle import DEFAULT_BUNDLE, INFERENCE_CONFIG, Bundle, find_bundle
from scanweave.transforms.segments import ANATOMICAL_STRUCTURE, BRAIN, COLORS, MOST_SEGMENTS, Concept, Segment
from scanweave.transforms.selection.roles import Role, Rule, parse_roles

TEMPLATES = (DEFAULT_BUNDLE, "hippocampus")
"""Shipped bundles whose chains suit others: whole heads of registered series, or a region of one series."""
KNOWN_ROLES = {
    "pre": Rule("t1", "none"),
    "flair": Rule("flair"),
    "post": Rule("t1", "given"),
    "t1": Rule("t1"),
    "t1c": Rule("t1", "given"),
    "t2": Rule("t2"),
}
"""Roles whose name says by which rule the series is found."""
LESION = Concept("52988006", "SCT", "Lesion")
"""Of no tissue and no place in particular."""
REGISTRATION = "RegisterRolesd"
_NAME, _SEGMENT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}"), re.compile(r"[a-z][a-z0-9_]{0,39}")
"""Of a bundle, which is a folder's, and of a segment, which is a key in JSON."""


@dataclass(frozen=True)
class Design:
    """A bundle that is not there yet; on the grid of its `reference` the mask lies.

    `reference` and `features`, the channels of the network's first layer, are the template's where they are None.
    """

    name: str
    template: Bundle
    roles: tuple[Role, ...]
    segments: tuple[Segment, ...]
    reference: str | None
    features: int | None


def design(
    name: str,
    like: str = DEFAULT_BUNDLE,
    roles: Sequence[str] = (),
    segments: Sequence[str] = (),
    features: int | None = None,
) -> Design:
    """A checked design; without `roles` those of the bundle that it is `like`, without `segments` one of its own name.

    The first role is the reference. Each is "NAME" of `KNOWN_ROLES` or "NAME=WEIGHTING" or "NAME=WEIGHTING:CONTRAST".

    Raises
    ------
    UsageError
        USAGE for a name, a template, a role, a segment or a number of features that cannot be.
    """
    if like not in TEMPLATES:
        raise _usage(f"--like: expected {' or '.join(TEMPLATES)}, got {like!r}")
    if features is not None and features < 1:
        raise _usage(f"--features: expected at least 1, got {features}")
    _check_name(name)
    template = find_bundle(like)
    labels = _segments(segments or (name.lower().replace("-", "_"),), template.segments[0].category)
    if not roles:
        return Design(name, template, template.roles, labels, None, features)
    chosen = _roles(roles, template)
    return Design(name, template, chosen, labels, chosen[0].name, features)


def declared(role: Role) -> dict[str, object]:
    """A role as a bundle's metadata have it."""
    rule = {"weighting": role.rule.weighting, "contrast": role.rule.contrast}
    return {"name": role.name, "required": role.required, "substitute": role.substitute, "rule": rule}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _usage(f"NAME: expected 1 to 40 letters, digits, _ and -, a letter first, got {name!r}")
    shipped = find_bundle().root.parent / name
    if shipped.exists():
        raise _usage(f"NAME: {name!r} is the name of a shipped bundle, which --bundle {name} would take")


def _roles(texts: Sequence[str], template: Bundle) -> tuple[Role, ...]:
    """The others may lack where the template's may: its training then replaces them by the reference now and then."""
    if len(texts) > 1 and REGISTRATION not in (template.root / INFERENCE_CONFIG).read_text(encoding="utf-8"):
        raise _usage(f"--role: expected one, for {template.name} registers no series, got {len(texts)}")
    required = all(role.required for role in template.roles)
    try:
        first, *others = (_role(text) for text in texts)
        substitute = None if required else first.name
        made = (first, *(replace(role, required=required, substitute=substitute) for role in others))
        return parse_roles([declared(role) for role in made])
    except UsageError:
        raise
    except ScanweaveError as refusal:
        raise _usage(f"--role: {refusal.problems[0].message}") from refusal


def _role(text: str) -> Role:
    name, equals, said = text.partition("=")
    if not equals and name not in KNOWN_ROLES:
        raise _usage(f"--role: expected NAME=WEIGHTING[:CONTRAST], or of {', '.join(KNOWN_ROLES)}, got {text!r}")
    weighting, colon, contrast = said.partition(":")
    return Role(name, Rule(weighting, contrast if colon else "any") if equals else KNOWN_ROLES[name])


def _segments(names: Sequence[str], category: Concept) -> tuple[Segment, ...]:
    if odd := [name for name in names if not _SEGMENT.fullmatch(name)]:
        raise _usage(f"--segment: expected small letters, digits and _, a letter first, got {json.dumps(odd[0])}")
    if len(set(names)) < len(names) or len(names) > MOST_SEGMENTS:
        raise _usage(f"--segment: expected 1 to {MOST_SEGMENTS} different names, got {', '.join(names)}")
    kind = ANATOMICAL_STRUCTURE if category == ANATOMICAL_STRUCTURE else LESION
    return tuple(
        Segment(name, name.replace("_", " ").capitalize(), category, kind, BRAIN, None, COLORS[number % len(COLORS)])
        for number, name in enumerate(names)
    )


def _usage(message: str) -> UsageError:
    return UsageError(Problem(Code.USAGE, message))
