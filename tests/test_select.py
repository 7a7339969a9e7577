"""Series selection: what a header says, and which series plays which role."""

from __future__ import annotations

import itertools

import pytest
from headers import FLAIR, MISSING_SLICE, ROLES, Labelled, Study, names, refusal, series
from held_out_studies import HELD_OUT
from labelled_series import SERIES
from labelled_studies import STUDIES

from scanweave.errors import Code, InputRefused, UsageError
from scanweave.transforms.selection.select import assign_roles
from scanweave.transforms.selection.series_contrast import Contrast, text_contrast
from scanweave.transforms.selection.series_rules import describe_series, nature_of
from scanweave.transforms.selection.series_timing import Weighting
from scanweave.transforms.selection.series_words import words_of

ALL_STUDIES = (*STUDIES, *HELD_OUT)
ALL_SERIES = (*SERIES, *(row for study in ALL_STUDIES for _, row in study.rows()))
SILENT = "-"


@pytest.mark.parametrize("row", ALL_SERIES, ids=lambda row: row.description or "-")
def test_a_real_series_is_never_taken_for_another(row: Labelled) -> None:
    nature = describe_series(series("1", row.description, **row.facts).facts)
    shows = {Weighting.FLAIR: "flair", Weighting.T1: "t1"}.get(nature.weighting, "no")
    assert shows == row.kind, nature
    contrast = {Contrast.NONE: "none", Contrast.GIVEN: "given"}.get(nature.contrast, SILENT)
    assert shows == "no" or SILENT in (contrast, row.contrast) or contrast == row.contrast, nature


@pytest.mark.parametrize("study", ALL_STUDIES, ids=lambda study: study.source)
def test_a_real_study_gets_the_right_roles_or_is_ambiguous(study: Study) -> None:
    try:
        selection = assign_roles(study.series(), ROLES)
    except InputRefused as refused:
        assert {problem.code for problem in refused.problems} == {Code.AMBIGUOUS_ROLE}
        return
    assert set(names(selection)) == set(study.roles)
    assert all(int(name) in study.roles[role] for role, name in names(selection).items())


def test_most_real_studies_are_assigned() -> None:
    refused = []
    for study in ALL_STUDIES:
        try:
            assign_roles(study.series(), ROLES)
        except InputRefused:
            refused.append(study.source)
    assert len(refused) <= len(ALL_STUDIES) / 3, refused


def test_the_selection_does_not_depend_on_the_order_of_the_series() -> None:
    study = next(study for study in STUDIES if study.source == "TCGA-CS-6667").series()
    results = {tuple(names(assign_roles(order, ROLES)).items()) for order in itertools.permutations(study)}
    assert len(results) == 1


@pytest.mark.parametrize(
    ("text", "contrast"),
    [
        *((text, Contrast.GIVEN) for text in (
            "T1 post", "T1+C", "AX T1 C+", "T1GD", "t1_se_tra_KM", "T1 nach KM", "T1 avec contraste",
            "T1 apr\u00e8s injection", "T1 con contrasto", "T1 mdc", "T1 com contraste", "T1 met contrast",
            "T1 c/contraste", "T1 DOTAREM", "T1W_CLARISCAN", "T1 W CON", "T1 post op gado",
            "T1 W/O FS POST", "T1WI+C", "AXT1POST", "T1 \u589e\u5f3a",
        )),
        *((text, Contrast.NONE) for text in (
            "T1 pre", "T1 pre gd", "T1 w/o", "T1 without contrast", "T1 ohne KM", "T1 nativ",
            "T1 sans injection", "T1 senza mdc", "T1 sin contraste", "T1 sem contraste",
            "T1 zonder contrast", "T1 s/contraste", "T1 -C", "T1 no gd", "T1 ej gd", "T1noGd", "T1 non-contrast",
            "T1 pregadolinium", "t1nocontrast", "T1 kontrasts\u0131z", "T1 vor KM",
        )),
        *((text, Contrast.UNKNOWN) for text in (
            "T1 w/wo contrast", "T1 with and without gad", "T1 pre/post", "T1 vor/nach KM",
            "T1 compression", "T1 postero", "T1 post fossa", "T1 post op", "T1 without fat sat", "T1 25km",
            "T1 phase contrast", "T1 face", "C-SPINE T1", "T1 prep",
        )),
    ],
)  # fmt: skip
def test_words_for_contrast(text: str, contrast: Contrast) -> None:
    assert text_contrast(words_of(text))[0] is contrast


@pytest.mark.parametrize(
    ("facts", "contrast"),
    [
        ({"contrast_agent": "10ml multihance", "contrast_volume_ml": 0}, Contrast.GIVEN),
        ({"contrast_volume_ml": 7.5}, Contrast.GIVEN),
        ({"contrast_agent": "No Contrast"}, Contrast.NONE),
        ({"contrast_agent": "NONE", "description": "T1 post"}, Contrast.GIVEN),
        ({"contrast_agent": "Gadavist", "description": "AX T1 PRE"}, Contrast.UNKNOWN),
        ({"contrast_agent": ""}, Contrast.UNKNOWN),
        ({"description": "T1pre", "protocol": "T1 +C"}, Contrast.NONE),
        ({"description": "1", "protocol": "Ax T1 +C"}, Contrast.GIVEN),
        ({"description": "AX-T1-SE-G"}, Contrast.GIVEN),
        ({"description": "AX FLAIR G"}, Contrast.UNKNOWN),
        ({"protocol": "BRAIN W CONTRAST"}, Contrast.UNKNOWN),
    ],
)
def test_attributes_come_before_text_and_description_before_protocol(facts: dict, contrast: Contrast) -> None:
    assert describe_series(series("1", **{"description": "AX T1"} | facts).facts).contrast is contrast


@pytest.mark.parametrize(
    ("facts", "weighting"),
    [
        ({"tr_ms": 9000, "te_ms": 120, "ti_ms": 2500, "manufacturer": "SIEMENS"}, Weighting.FLAIR),
        ({"tr_ms": 7000, "te_ms": 120, "ti_ms": 2500, "manufacturer": "SIEMENS"}, Weighting.OTHER),
        ({"tr_ms": 7000, "te_ms": 120, "ti_ms": 2500, "manufacturer": "Philips"}, Weighting.FLAIR),
        ({"tr_ms": 8000, "te_ms": 90, "ti_ms": 1600, "manufacturer": "GE MEDICAL SYSTEMS"}, Weighting.FLAIR),
        ({"tr_ms": 8000, "te_ms": 90, "ti_ms": 1600, "manufacturer": "Philips"}, Weighting.OTHER),
        ({"tr_ms": 5000, "te_ms": 60, "ti_ms": 150, "description": "tirm"}, Weighting.OTHER),
        ({"tr_ms": 5000, "te_ms": 60, "ti_ms": 150, "description": "FLAIR"}, Weighting.OTHER),
        ({"tr_ms": 2000, "te_ms": 20, "ti_ms": 800, "description": "FLAIR"}, Weighting.T1),
        ({"tr_ms": 4000, "te_ms": 100, "description": "T1"}, Weighting.OTHER),
        ({"tr_ms": 600, "te_ms": 12, "scanning_sequence": ("SE",)}, Weighting.T1),
        ({"tr_ms": 25, "te_ms": 4, "scanning_sequence": ("GR",), "acquisition_type": "3D"}, Weighting.OTHER),
        ({"image_type": ("ORIGINAL", "PRIMARY", "FLUID_ATTENUATED", "NONE")}, Weighting.FLAIR),
        ({"description": "FLAIR", "slice_count": 3}, Weighting.EXCLUDED),
        ({"description": "T1", "b_value": 1000}, Weighting.EXCLUDED),
        ({"description": "T1", "b_value": 0}, Weighting.T1),
        ({"description": "FLAIR", "modality": "CT"}, Weighting.EXCLUDED),
    ],
)
def test_times_of_each_vendor(facts: dict, weighting: Weighting) -> None:
    nature = describe_series(series("1", **facts).facts)
    assert nature.weighting is weighting, nature
    assert str(weighting) in nature.summary


def test_evidence_quotes_no_more_of_a_header_than_the_word() -> None:
    nature = describe_series(series("1", "Doe^Jane T1 post", contrast_agent="Dr Smith gave 7 ml").facts)
    assert nature.evidence == (
        "description says 't1'",
        "ContrastBolusAgent is filled",
        "description says 'post'",
    )


def test_a_volume_too_small_for_a_head_is_no_candidate() -> None:
    assert nature_of(series("1", "T1", shape=(34, 50, 40), spacing=(1, 1, 1))).weighting is Weighting.EXCLUDED
    assert nature_of(series("1", "T1", shape=(320, 280, 22), spacing=(0.7, 0.7, 6))).weighting is Weighting.T1


def test_a_nifti_file_is_described_by_its_name() -> None:
    found = [series(f"case_{kind}.nii.gz", source="nifti", modality="") for kind in ("t1", "t1ce", "t2", "flair")]
    expected = {"pre": "case_t1.nii.gz", "flair": "case_flair.nii.gz", "post": "case_t1ce.nii.gz"}
    assert names(assign_roles(found, ROLES)) == expected
    found = [series(f"{kind}.nii", source="nifti", modality="") for kind in ("pre", "flair", "post", "mask")]
    expected = {"pre": "pre.nii", "flair": "flair.nii", "post": "post.nii"}
    assert names(assign_roles(found, ROLES)) == expected


def test_roles_given_by_hand_are_not_judged_nor_given_twice() -> None:
    other = series("X", "AX T2")
    selection = assign_roles([FLAIR, other], ROLES, {"post": other})
    assert names(selection) == {"flair": "F", "post": "X"}
    assert selection.assigned["post"].evidence == ("given by hand",)
    assert names(assign_roles([], ROLES, {"flair": FLAIR})) == {"flair": "F"}
    enhanced = series("E", "AX T1 post")
    assert names(assign_roles([FLAIR, enhanced], ROLES, {"pre": enhanced})) == {"pre": "E", "flair": "F"}
    with pytest.raises(UsageError):
        assign_roles([FLAIR], ROLES, {"swi": other})
    assert refusal([FLAIR], {"pre": series("P", problems=(MISSING_SLICE,))}).code is Code.MISSING_SLICE
