"""Single series of many sites, vendors and languages, labelled by hand before the rules were written.

Descriptions (and times, where the source has them) are short technical labels from public material: data set
listings, converters' heuristics, sample headers. No value of any patient is among them.
"""

from __future__ import annotations

from headers import Labelled

_BY_DESCRIPTION = """
# public GE brain protocol table
no    -     3Pl-Locs/Cal
no    -     HiRes Axial DWI   1000b
# PPMI study, public heudiconv heuristic
t1    given AX T1 SE C+
flair -     FLAIR_LongTR SENSE
flair -     Cor FLAIR TI_2800ms
flair -     t2_tirm_tra_dark-fluid NO BLADE
flair -     3D T2  SPC FLAIR C9C1HN007
flair -     SAG CUBE FLAIR
flair -     3D_Brain_VIEW_FLAIR_SAG
t1    -     sT1W_3D_TFE
t1    -     t1_mpr_ns_sag_p2_iso
t1    -     Accelerated Sag IR-FSPGR
t1    -     AX_3D_FSPGR_straight_brain_lab
no    -     sT2W/PD_TSE
no    -     DTI_gated_FA
no    -     MIDLINE_SAG_LOC
no    -     SURVEY
# UPENN-GBM (TCIA), public audit of its series
t1    given T1 MPRAGE SAG ISO post gad: Processed_CaPTk
t1    given POST AX T1  FS FSE: Processed_CaPTk
# NACC study, public loader
t1    none  STRUC FSGPR Pre
t1    given Cor_T1+C_SE_fc_F
t1    given SPGR_post
flair -     Axial_T2-FLAIR
flair -     T2_BLADE_FLAIR_IPAT
no    -     relCBF
# Washington University, public naming registry
t1    given TRANSSET1POSTGD
t1    given CORSET1POST
t1    -     t1_mpr_1mm_p2_pos50
flair -     spc_ir_ns_sag_p2_iso
flair -     t2_flair_blade_tra
flair -     TRANFLAIRT2
no    -     ep2d_perfnocontrast
no    -     Subtraction
no    -     ciss3d
# scitran-apps/dicom-mr-classifier tests/test_classifications.csv
no    -     3DT1_Mprage_MIP_TRA
t1    -     t1_tirm_sag_p2_320
t1    -     t1_tse_dark-fluid_sag_p2
t1    none  t1_tse AXIAL THIN_PRE_vessel
flair -     t2_space_da-fl_sag_p2
flair -     t2_space_dark-fluid_sag_p2_iso
no    -     t2_tse_stir_cor_p2_320
no    -     Corrected MOLLI T1Map GE MOLLI ARC MID
no    -     tfl_b1map
# Swiss clinical series mapping, public converter
t1    given t1_mprage_sag_1mm_ce_fs_dm
t1    given cs_T1W_3D_TFE_km
no    -     t1_cs_mp2rage_1mm_INV1
flair -     flair_space_sag_1mm
# German centre, public heudiconv heuristic
t1    none  CS sag sT1W_3D_TFE nativ
# Russian centre, public study browser
t1    given t1_mprage_sag_p2_iso_KM
# Portuguese clinic, public conversion map
t1    given t1_se_tra_civ
# French multiple sclerosis data, public loader
t1    given T1 MPR3D TRA GADO
# Indian clinic (Philips), public report
t1    none  sT1W_3D_TFE_PRE_GD
flair -     eFLAIR_longTR_SPIR
no    -     eSTIR_longTE
# Philips clinic, public heudiconv heuristic
t1    given sT1W_3D_TFE_32ch_GD
no    -     MPR COR
# Philips scanner, public renaming script
t1    given T1W_SE_GD_CLEAR
# Canadian glioma data set, public loader
t1    given T1 Gado post op
flair -     Flair post op
t1    given Ax 3D T1 Gado
# ReMIND (TCIA)
t1    given 3D_AX_T1_postcontrast
no    -     2D_AX_T2_BLADE
# American centre, public cohort script
t1    given +c Ax T1 Stealth bravo
flair given +c Sag CUBE T2 FLAIR
# BraTS file naming
t1    given BraTS20_Training_001_t1ce
# BraTS 2023 file naming
t1    none  BraTS-GLI-00000-000-t1n
flair -     BraTS-GLI-00000-000-t2f
"""

_SE, _GR, _EP = (
    {"scanning_sequence": ("SE",)},
    {"scanning_sequence": ("GR",)},
    {"scanning_sequence": ("SE", "EP")},
)
_SE_IR, _GR_IR = {"scanning_sequence": ("SE", "IR")}, {"scanning_sequence": ("GR", "IR")}
_GE, _SIEMENS = {"manufacturer": "GE MEDICAL SYSTEMS"}, {"manufacturer": "SIEMENS"}
_PHILIPS, _HITACHI = (
    {"manufacturer": "Philips Medical Systems"},
    {"manufacturer": "Hitachi Medical Corporation"},
)
_2D, _3D = {"acquisition_type": "2D"}, {"acquisition_type": "3D"}
_DERIVED = {"image_type": ("DERIVED", "SECONDARY")}


def _ms(tr: float, te: float, ti: float | None = None) -> dict:
    return {"tr_ms": tr, "te_ms": te, "ti_ms": ti}


_WITH_FACTS = (
    # open-dicom/siemens_flair_0 README
    Labelled("flair", "-", "t2_tirm_tra_dark-fluid_FLAIR", _SE_IR | _SIEMENS | _ms(8000, 81, 2370)),
    # fingerprints in the tests of a public classifier of clinical sequences
    Labelled("flair", "-", "t2_flair_tra", _SE_IR | _ms(9000, 109, 2500) | {"sequence_name": "*tir2d1_21"}),
    Labelled("t1", "-", "sag t1 flair", _SE_IR | _ms(2000, 9.8, 900) | {"sequence_name": "*tir2d1_7"}),
    Labelled("t1", "-", "t1_mprage_sag_p2_iso", _GR_IR | _ms(2300, 2.98, 900) | {"sequence_name": "*tfl3d1_16ns"}),
    Labelled("no", "-", "pd+t2_tse_tra", _SE | _ms(3200, 17)),
    Labelled("no", "-", "pd+t2_tse_tra", _SE | _ms(3200, 100)),
    Labelled("no", "-", "swi", _GR | _3D | _ms(28, 20)),
    Labelled("no", "-", "ep2d_diff_3scan_trace_p2_ADC", _EP),
    # public GE brain protocol table
    Labelled("t1", "-", "SAG T1 FLAIR", _GE | _ms(2100, 24, 750)),
    Labelled("flair", "-", "Axial T2   FLAIR", _GE | _ms(8000, 120, 2000)),
    Labelled("no", "-", "Axial T2   FRFSE", _GE | _ms(2717, 85)),
    Labelled("t1", "-", "T1 SPGR   IR PREPPED", _GE | {"ti_ms": 450}),
    # icometrix/dicom2nifti test data, descriptions removed
    Labelled("flair", "-", "", _SE_IR | _SIEMENS | _3D | _ms(6000, 394, 2200)),
    Labelled("flair", "-", "", {"scanning_sequence": ("IR",)} | _PHILIPS | _3D | _ms(4800, 386.754, 1650)),
    Labelled("t1", "-", "", _GR | _GE | _3D | _ms(8.9, 3.164, 900) | {"sequence_variant": ("SS", "SP", "SK")}),
    Labelled("no", "-", "", _SE | _HITACHI | _ms(4000, 12)),
    Labelled("no", "-", "", _SE | _PHILIPS | _ms(3000, 90)),
    # PPMI study, public heudiconv heuristic
    Labelled("no", "-", "2D GRE-NM_MT", _GR | _2D | _ms(337, 4.2)),
    # UPENN-GBM (TCIA), public audit of its series: co-registered and derived
    Labelled("t1", "given", "AX T1  POST : Processed_CaPTk", _DERIVED),
    Labelled("t1", "given", "AXIAL T1 FLOW COMP POST : Processed_CaPTk", _DERIVED),
    Labelled("t1", "given", "t1 axial stealth-post : Processed_CaPTk", _DERIVED),
    # scitran-apps/dicom-mr-classifier tests/test_classifications.csv
    Labelled("no", "-", "3DT1_Mprage-2_MPR_Cor", {"image_type": ("DERIVED", "SECONDARY", "MPR")}),
    # tutorial of an Australian centre
    Labelled("no", "-", "mIP_Images(SW)", {"sequence_name": "*swi3d1r"}),
    Labelled("no", "-", "Pha_Images", {"image_type": ("ORIGINAL", "PRIMARY", "P")}),
    # rordenlab/dcm2niix issue 675
    Labelled("no", "-", "anat-MP2RAGE_T1_Images", {"image_type": ("DERIVED", "PRIMARY", "T1 MAP")}),
    # the headers of a PGBM-style study
    Labelled("t1", "given", "T1post", {"protocol": "B Ax T1 +C"}),
    Labelled("t1", "none", "T1pre_reg", {"protocol": "B Ax T1"}),
)


def _described() -> tuple[Labelled, ...]:
    lines = [line for line in _BY_DESCRIPTION.strip().splitlines() if not line.startswith("#")]
    return tuple(Labelled(*line.split(None, 2)) for line in lines)


SERIES = _described() + _WITH_FACTS
