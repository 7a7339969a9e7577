"""A site's own rules: they come before everything else, are plain data, and what is wrong in them is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from headers import AXIAL, FLAIR, ROLES, names, refusal, series

from scanweave.errors import Code, EnvironmentFailure, InputRefused
from scanweave.transforms.selection.select import assign_roles
from scanweave.transforms.selection.site_rules import RULES_VARIABLE, parse_rules, site_rules

STUDY = (
    FLAIR,
    series("1", "AX T1", normal_ras=AXIAL, te_ms=10.0, scanning_sequence=("SE",)),
    series("2", "AX T1 GD", normal_ras=AXIAL, te_ms=10.0),
    series("3", "Ax [Neuro] Plan 7", normal_ras=AXIAL, te_ms=4.0),
)


def assigned(text: str) -> dict[str, str]:
    return names(assign_roles(STUDY, ROLES, rules=parse_rules(text)))


def test_without_rules_the_words_decide() -> None:
    assert assigned("") == {"flair": "F", "pre": "1", "post": "2"}


@pytest.mark.parametrize(
    ("where", "post"),
    [
        ('{SeriesDescription: "ax [neuro] plan*"}', "3"),
        ('{SeriesDescription: "*PLAN ?", EchoTime: [3, 5]}', "3"),
        ("{EchoTime: 4}", "3"),
        ('{SeriesDescription: "*PLAN ?", EchoTime: [5, 9]}', "2"),
        ('{SeriesDescription: "plan"}', "2"),
        ("{InversionTime: [0, 5000]}", "2"),
        ('{ScanningSequence: "G*"}', "2"),
    ],
)
def test_a_rule_comes_before_the_words(where: str, post: str) -> None:
    """All conditions hold, of the whole value; what a header does not say fits no range."""
    assert assigned(f"- {{role: post, where: {where}}}") == {"flair": "F", "pre": "1", "post": post}


def test_a_ruled_series_plays_no_other_role() -> None:
    assert assigned('[{role: none, where: {SeriesDescription: "AX T1"}}]') == {"flair": "F", "post": "2"}
    assert assigned('[{role: post, where: {SeriesDescription: "AX T1"}}]') == {"flair": "F", "post": "1"}


def test_the_first_rule_that_holds_decides() -> None:
    text = '- {role: none, where: {EchoTime: [0, 5]}}\n- {role: post, where: {SeriesDescription: "*plan*"}}'
    assert assigned(text)["post"] == "2"


def test_a_rule_is_evidence() -> None:
    rules = parse_rules('- {role: none, where: {EchoTime: 99}}\n- {role: pre, where: {ScanningSequence: "se"}}')
    assert "the site's rule 2 says so" in assign_roles(STUDY, ROLES, rules=rules).assigned["pre"].evidence


def test_two_that_a_rule_means_alike_are_ambiguous() -> None:
    alike = [FLAIR, *(series(name, "T1", normal_ras=AXIAL, te_ms=10.0) for name in "AB")]
    with pytest.raises(InputRefused) as refused:
        assign_roles(alike, ROLES, rules=parse_rules('- {role: pre, where: {SeriesDescription: "T1"}}'))
    assert refused.value.code is Code.AMBIGUOUS_ROLE
    assert refusal(alike).code is Code.AMBIGUOUS_ROLE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("role: post", "a list of rules"),
        ("- [post", "expected YAML"),
        ("- post", "rule 1"),
        ("- {role: post}", "role and where"),
        ("- {role: post, where: {SeriesDescription: a}, name: b}", "role and where"),
        ("- {role: post, where: {}}", "at least one condition"),
        ("- {role: 3, where: {SeriesDescription: a}}", "name of a role"),
        ("- {role: post, where: {PatientName: a}}", "PatientName"),
        ("- {role: post, where: {SeriesDescription: 7}}", "in quotes"),
        ("- {role: post, where: {EchoTime: long}}", "[low, high]"),
        ("- {role: post, where: {EchoTime: [9, 5]}}", "[low, high]"),
        ("- {role: post, where: {EchoTime: true}}", "[low, high]"),
        ("- {role: none, where: {EchoTime: 4}}\n- {role: post, where: 3}", "rule 2"),
        ("- !!python/object/apply:os.getcwd []", "expected YAML"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(EnvironmentFailure) as refused:
        parse_rules(text, "series.yaml")
    assert refused.value.code is Code.RULES_INVALID
    assert said in str(refused.value) and "series.yaml" in str(refused.value)


def test_where_the_rules_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(RULES_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert site_rules() == ()
    (tmp_path / "scanweave").mkdir()
    (tmp_path / "scanweave" / "series.yaml").write_text("- {role: none, where: {EchoTime: 4}}")
    assert [rule.role for rule in site_rules()] == ["none"]
    monkeypatch.setenv("XDG_CONFIG_HOME", "a" * 300)  # cannot be looked at, as another user's home cannot
    assert site_rules() == ()
    monkeypatch.setenv(RULES_VARIABLE, str(tmp_path / "gone.yaml"))
    with pytest.raises(EnvironmentFailure, match=r"gone\.yaml"):
        site_rules()
