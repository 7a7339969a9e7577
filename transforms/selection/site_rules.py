"""A site's own rules for choosing series: they come before what scanweave knows. Plain data, nothing is evaluated.

- role: flair
  where: {SeriesDescription: "t2_space_dark-fluid*", Manufacturer: "SIEMENS*"}
- role: none
  where: {SeriesDescription: "*navigation*", EchoTime: [0, 20]}
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.transforms.io.files import reachable
from scanweave.transforms.io.series import HeaderFacts, Series
from scanweave.transforms.selection.series_rules import facts_of

RULES_VARIABLE = "SCANWEAVE_SERIES_RULES"
"""Names the file; otherwise it is series.yaml beside the site's key, where there is one."""
NO_ROLE = "none"

TEXTS = {
    "Modality": "modality",
    "Manufacturer": "manufacturer",
    "SeriesDescription": "description",
    "ProtocolName": "protocol",
    "SequenceName": "sequence_name",
    "ImageType": "image_type",
    "ScanningSequence": "scanning_sequence",
    "SequenceVariant": "sequence_variant",
    "ScanOptions": "scan_options",
    "MRAcquisitionType": "acquisition_type",
    "ContrastBolusAgent": "contrast_agent",
}
NUMBERS = {
    "SeriesNumber": "series_number",
    "RepetitionTime": "tr_ms",
    "EchoTime": "te_ms",
    "InversionTime": "ti_ms",
    "FlipAngle": "flip_angle",
}
"""DICOM keywords that a rule may name, and the facts they stand for."""

Condition = str | tuple[float, float]


@dataclass(frozen=True)
class SiteRule:
    """A series in which every condition of `where` holds plays `role`, or none ("none").

    A text holds * and ? as file names do, and is compared with the whole value, or with one of several, upper and
    lower case alike; (low, high) is a range of numbers, both ends included.
    """

    role: str
    where: tuple[tuple[str, Condition], ...]

    def holds(self, facts: HeaderFacts) -> bool:
        """Whether a series with these facts is meant."""
        return all(_holds(facts, keyword, condition) for keyword, condition in self.where)


def site_rules() -> tuple[SiteRule, ...]:
    """The site's rules; () where it has none.

    Raises
    ------
    EnvironmentFailure
        RULES_INVALID for a file that cannot be read or holds anything else; one that is named must be there.
    """
    named = os.environ.get(RULES_VARIABLE)
    path = Path(named) if named else _usual_file()
    if path is None or not (named or reachable(path)):
        return ()
    try:
        return parse_rules(path.read_text(encoding="utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"the site's series rules cannot be read ({type(error).__name__})", path.name) from error


def parse_rules(text: str, where: str = "") -> tuple[SiteRule, ...]:
    """The rules of a YAML text; RULES_INVALID names the first thing that is wrong."""
    import yaml

    try:
        items = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _invalid(f"expected YAML, found {' '.join(str(error).split())[:120]}", where) from error
    if items is None:
        return ()
    if not isinstance(items, list):
        raise _invalid("expected a list of rules", where)
    return tuple(_rule(item, f"{where}, rule {number}") for number, item in enumerate(items, 1))


def ruled_roles(series: Sequence[Series], rules: Sequence[SiteRule]) -> dict[str, tuple[str, int]]:
    """By label, the role that the first rule which holds gives a series, and the rule's number (from 1)."""
    found: dict[str, tuple[str, int]] = {}
    for item in series:
        facts = facts_of(item)
        first = next(((rule, number) for number, rule in enumerate(rules, 1) if rule.holds(facts)), None)
        if first:
            found[item.label] = (first[0].role, first[1])
    return found


def _rule(item: Any, where: str) -> SiteRule:
    if not isinstance(item, dict) or set(item) != {"role", "where"}:
        raise _invalid("expected role and where, nothing else", where)
    role, conditions = item["role"], item["where"]
    if role is None:  # an unquoted null, as `role: none` is not
        role = NO_ROLE
    if not isinstance(role, str) or not role:
        raise _invalid(f"expected the name of a role, or {NO_ROLE}", where)
    if not isinstance(conditions, dict) or not conditions:
        raise _invalid("expected at least one condition in where", where)
    return SiteRule(role, tuple((key, _condition(key, value, where)) for key, value in conditions.items()))


def _condition(keyword: Any, value: Any, where: str) -> Condition:
    if keyword in TEXTS:
        if not isinstance(value, str) or not value:
            raise _invalid(f"expected a text for {keyword}, in quotes where YAML takes it for something else", where)
        return value
    if keyword in NUMBERS:
        is_range = isinstance(value, list) and len(value) == 2
        ends = value if is_range else [value, value]
        if not all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends) or ends[0] > ends[1]:
            raise _invalid(f"expected a number or [low, high] for {keyword}", where)
        return float(ends[0]), float(ends[1])
    known = ", ".join((*TEXTS, *NUMBERS))
    raise _invalid(f"expected keywords of {known}, found {str(keyword)[:40]!r}", where)


def _holds(facts: HeaderFacts, keyword: str, condition: Condition) -> bool:
    if isinstance(condition, tuple):
        number = getattr(facts, NUMBERS[keyword])
        return number is not None and condition[0] <= number <= condition[1]
    value = getattr(facts, TEXTS[keyword])
    values = value if isinstance(value, tuple) else (value or "",)
    pattern = condition.lower().replace("[", "[[]")  # a bracket is a letter here
    return any(fnmatchcase(one.lower().strip(), pattern) for one in values)


def _usual_file() -> Path | None:
    base = os.environ.get("XDG_CONFIG_HOME")
    try:
        return (Path(base) if base else Path.home() / ".config") / "scanweave" / "series.yaml"
    except RuntimeError:  # a container's user may have no home
        return None


def _invalid(message: str, where: str) -> EnvironmentFailure:
    return EnvironmentFailure(Problem(Code.RULES_INVALID, message, where))
