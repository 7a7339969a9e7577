"""Series selection: choosing among several, pairing before and after contrast, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from headers import AXIAL, CORONAL, FLAIR, MISSING_SLICE, ROLES, SAGITTAL, at, names, refusal, series

from scanweave.errors import Code, EnvironmentFailure, Problem
from scanweave.transforms.io.dicom_index import index_dicom
from scanweave.transforms.selection.select import assign_roles, parse_roles


def test_flair_in_the_networks_own_plane_is_preferred() -> None:
    volume = at(1, "SAG", "3D FLAIR", normal_ras=SAGITTAL, acquisition_type="3D")
    assert names(assign_roles([volume, FLAIR], ROLES)) == {"flair": "F"}
    assert (
        f"preferred to {volume.label} for its plane" in assign_roles([volume, FLAIR], ROLES).assigned["flair"].evidence
    )
    assert names(assign_roles([volume, at(2, "COR", "FLAIR", normal_ras=CORONAL)], ROLES)) == {"flair": "SAG"}


def test_original_flair_without_contrast_is_preferred() -> None:
    derived = at(0, "D", "AX FLAIR", normal_ras=AXIAL, image_type=("DERIVED", "SECONDARY"))
    given = at(9, "G", "AX FLAIR post", normal_ras=AXIAL)
    assert names(assign_roles([derived, given, FLAIR], ROLES)) == {"flair": "F"}
    assert names(assign_roles([derived], ROLES)) == {"flair": "D"}
    post = at(5, "P", "AX T1 post", normal_ras=AXIAL)
    later = at(9, "L", "AX FLAIR", normal_ras=AXIAL)
    assert names(assign_roles([later, post, FLAIR], ROLES)) == {"flair": "F", "post": "P"}


def test_repeated_flair_is_refused_and_normalised_forms_of_one_are_not() -> None:
    again = at(5, "F2", "AX FLAIR", normal_ras=AXIAL)
    problem = refusal([FLAIR, again]).problems[0]
    assert problem.code is Code.AMBIGUOUS_ROLE
    assert "F, F2" in problem.message and "--flair UID" in problem.message
    plain = at(1, "ND", "FLAIR", image_type=("ORIGINAL", "PRIMARY", "M", "ND"))
    better = at(1, "N", "FLAIR", image_type=("ORIGINAL", "PRIMARY", "M", "NORM", "DIS2D"))
    assert names(assign_roles([plain, better], ROLES)) == {"flair": "N"}


def test_unknown_contrast_is_told_by_time() -> None:
    before, after, post = (
        at(1, "A", "AX T1"),
        at(9, "C", "AX T1"),
        at(5, "B", "AX T1", contrast_agent="Dotarem"),
    )
    assert names(assign_roles([before, post, FLAIR], ROLES)) == {"pre": "A", "flair": "F", "post": "B"}
    only_after = assign_roles([post, after, FLAIR], ROLES)
    assert names(only_after) == {"flair": "F", "post": "B"}
    assert only_after.assigned["pre"].substituted_by == "flair"
    assert only_after.warnings == ("no series found for pre: flair stands in for it",)
    perfusion = at(3, "P", "ep2d_perf")
    assert "pre" not in names(assign_roles([perfusion, after, FLAIR], ROLES))


def test_a_single_t1_of_unknown_contrast_is_pre_with_a_warning() -> None:
    selection = assign_roles([FLAIR, at(1, "A", "AX T1")], ROLES)
    assert names(selection) == {"pre": "A", "flair": "F"}
    assert any("PS3.3 C.7.6.4" in item for item in selection.assigned["pre"].evidence)
    assert any("none is recorded in the study" in item for item in selection.warnings)


def test_several_t1_of_unknown_contrast() -> None:
    axial, again = at(-2, "A", "AX T1", normal_ras=AXIAL), at(9, "B", "AX T1", normal_ras=AXIAL)
    sagittal = at(-5, "S", "SAG T1", normal_ras=SAGITTAL)
    assert refusal([FLAIR, axial, again]).code is Code.AMBIGUOUS_ROLE
    assert names(assign_roles([FLAIR, sagittal, axial], ROLES)) == {"pre": "A", "flair": "F"}
    assert refusal([FLAIR, sagittal, again]).code is Code.AMBIGUOUS_ROLE, "the axial one may have contrast"


def test_pre_is_the_one_that_post_repeats() -> None:
    thick = {"normal_ras": AXIAL, "acquisition_type": "2D", "tr_ms": 500, "te_ms": 10}
    volume = {"normal_ras": AXIAL, "acquisition_type": "3D", "tr_ms": 8, "te_ms": 3}
    found = [FLAIR, at(1, "A", "T1", **volume), at(2, "B", "T1", **thick), at(5, "P", "T1 post", **thick)]
    assert names(assign_roles(found, ROLES)) == {"pre": "B", "flair": "F", "post": "P"}
    both = [*found[:3], at(5, "P", "T1 post", **volume)]
    assert names(assign_roles(both, ROLES))["pre"] == "A"
    assert refusal([*found, at(3, "C", "T1", **thick)]).problems[0].message.startswith("2 series could be pre")


def test_of_several_post_the_one_in_the_flairs_plane_is_taken() -> None:
    cor, ax = at(5, "C", "T1 post", normal_ras=CORONAL), at(6, "A", "T1 post", normal_ras=AXIAL)
    assert names(assign_roles([FLAIR, cor, ax], ROLES))["post"] == "A"
    assert refusal([FLAIR, ax, at(7, "B", "T1 post", normal_ras=AXIAL)]).code is Code.AMBIGUOUS_ROLE
    filled = at(1, "E", "T1", normal_ras=AXIAL, contrast_agent="planned")
    assert names(assign_roles([FLAIR, filled, cor], ROLES))["post"] == "C", "the attribute was filled too early"


def test_a_broken_series_is_warned_of_beside_a_good_one_and_refused_alone() -> None:
    broken = at(1, "X", "AX T1 pre", problems=(MISSING_SLICE,))
    good = at(2, "A", "AX T1 pre")
    selection = assign_roles([FLAIR, broken, good], ROLES)
    assert names(selection) == {"pre": "A", "flair": "F"}
    assert "series X could be pre too but is not used: MISSING_SLICE" in selection.warnings
    assert refusal([FLAIR, broken]).problems == (MISSING_SLICE,)
    flair = series("Y", "FLAIR", problems=(Problem(Code.TILT, "tilted", "series Y"),))
    assert [problem.code for problem in refusal([flair, broken]).problems] == [Code.TILT, Code.MISSING_SLICE]


def test_nothing_to_segment() -> None:
    problem = refusal([series("1", "AX T1"), series("2", "AX T2"), series("3", "LOCALIZER")]).problems[0]
    assert problem.code is Code.NO_FLAIR
    assert "3 series looked at" in problem.message and "excluded: localiser" in problem.message
    assert refusal([]).code is Code.NO_FLAIR
    assert refusal([series("1", modality="CT")]).code is Code.NOT_MR
    tilted = (Problem(Code.NOT_MR, "CT", "1"), Problem(Code.TILT, "tilted", "1"))
    assert [p.code for p in refusal([series("1", modality="CT", problems=tilted)]).problems] == [
        Code.TILT,
        Code.NOT_MR,
    ]
    assert refusal([series("1", "AX FLAIR", slice_count=4)]).code is Code.TOO_FEW_SLICES
    required = parse_roles([{"name": "image", "rule": {"weighting": "t1"}}])
    with pytest.raises(Exception, match=r"MISSING_ROLE.*--input image=UID"):
        assign_roles([FLAIR], required)


@pytest.mark.parametrize(
    "configs",
    [
        [],
        [{"name": "flair"}],
        [{"name": "flair", "rule": {"weighting": "swi"}}],
        [{"name": "flair", "rule": {"weighting": "flair", "contrast": "some"}}],
        [{"name": "flair", "rule": {"weighting": "flair", "plane": "axial"}}],
        [{"name": "flair", "rule": {"weighting": "flair"}, "optional": True}],
        [{"name": "Flair", "rule": {"weighting": "flair"}}],
        [{"name": "flair", "rule": {"weighting": "flair"}}] * 2,
        [{"name": "pre", "required": False, "substitute": "flair", "rule": {"weighting": "t1"}}],
        [{"name": "pre", "required": "no", "rule": {"weighting": "t1"}}],
        [{"name": "pre", "required": False, "substitute": "pre", "rule": {"weighting": "t1"}}],
        ["flair"],
    ],
)
def test_an_invalid_bundle_is_refused(configs: list) -> None:
    with pytest.raises(EnvironmentFailure) as caught:
        parse_roles(configs)
    assert caught.value.code is Code.BUNDLE_INVALID


def test_a_real_study_by_its_dicom_headers(data_dir: Path) -> None:
    found = index_dicom(path for path in (data_dir / "study-siemens").rglob("*") if path.is_file()).series
    selection = assign_roles(found, ROLES)
    taken = {role: choice.series.facts.description for role, choice in selection.assigned.items() if choice.series}
    assert taken == {"pre": "T1pre_reg", "flair": "FLAIR_reg", "post": "T1post"}
    assert selection.warnings == ()
