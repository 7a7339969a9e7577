"""Whole studies as a public listing names their series, labelled by hand before the rules were written.

From the file names of a public processing script over TCGA-LGG and TCGA-GBM (The Cancer Imaging Archive,
CC BY 3.0). The listing drops "+", which GE scanners write before the "C" of a contrast series: put back here.
No value of any patient is among them. A line: the series' number (their order in time), what it is ("flair",
"t1" or "no": neither), contrast as a reader of the listing knows it ("none", "given", "-" not told), and the
description. Last, the series that a reader would take.
"""

from __future__ import annotations

from headers import Study

STUDIES = (
    Study(
        "TCGA-DU-5853",
        "GE MEDICAL SYSTEMS",
        """
        3    t1    none  SAG T1 FLAIR
        6    flair none  AXIAL FLAIR
        7    no    -     AX T2 FR-FSE RF2 150
        8    t1    none  AX T1 pre gd
        9    no    -     3D DCE T1 MAP
        11   t1    given AX T1 POST GD FLAIR
        12   t1    given COR  T1 POST GD FLAIR
        """,
        {"flair": (6,), "pre": (8,), "post": (11,)},
    ),
    Study(
        "TCGA-CS-6186",
        "Philips Medical Systems",
        """
        205  no    -     dadc
        301  t1    none  T1 SAG SE
        401  flair none  T2 AX FLAIR
        501  no    -     T2-WHOLE BRAIN
        801  no    -     T2WFFE bleed
        901  t1    none  T1 SE PRE
        1001 t1    given T1 SE POST
        1201 t1    given T1 COR POST
        1301 t1    given T1 SAG POST
        """,
        {"flair": (401,), "pre": (901,), "post": (1001,)},
    ),
    Study(
        "TCGA-FG-A6J1",
        "SIEMENS",
        """
        10   no    -     DiffusionADC
        12   no    -     ep2ddiffmddw20p2_wipADC
        17   flair -     FLAIR axial
        18   t1    none  T1tiraxial
        19   t1    given T1mprageAx_Gd
        21   t1    given T1 Se  Cor Gd
        """,
        {"flair": (17,), "pre": (18,), "post": (19,)},
    ),
    Study(
        "TCGA-HT-7680",
        "GE MEDICAL SYSTEMS",
        """
        1    no    -     3-pl T2 FGRE S
        4    t1    none  SAG T1
        5    t1    none  AX T1
        6    flair none  Ax Flair irFSE H
        7    no    -     COR GRE T2
        8    no    -     Prop T2 TRF
        10   t1    given SAG T1C
        11   t1    given COR T1C
        12   t1    given CAX 3D SPGR
        300  no    -     Exponential Apparent Diffusion Coefficient
        301  no    -     Apparent Diffusion Coefficient (mm?/s)
        900  no    -     PROP ADC
        901  no    -     PROP eADC
        """,
        {"flair": (6,), "pre": (5,), "post": (10, 11, 12)},
    ),
    Study(
        "TCGA-CS-6667",
        "SIEMENS",
        """
        3    no    -     SAG T1 LOC
        5    t1    none  Ax T1
        7    flair none  AX FLAIR
        9    t1    given Ax T1 FS BRAIN POST
        10   t1    given COR T1 POST GAD
        """,
        {"flair": (7,), "pre": (5,), "post": (9,)},
    ),
    Study(
        "TCGA-19-5960",
        "SIEMENS",
        """
        3    no    -     T2 AX
        6    no    -     DIFFUSIONADC
        7    flair none  FLAIR AX
        8    t1    none  TIR T1 AX
        9    t1    given T1 AXIAL Gd
        10   t1    given T1 COR Gd
        11   t1    given T1 SAG Gd
        """,
        {"flair": (7,), "pre": (8,), "post": (9,)},
    ),
    Study(
        "TCGA-14-1454",
        "GE MEDICAL SYSTEMS",
        """
        3    t1    none  Sag T1 SE
        4    flair none  AX T2FLAIR Prop
        7    t1    none  Ax T1 SE PRE
        8    no    -     Ax FRFSE T2 512 x 512
        9    t1    given Sag T1 POST
        10   t1    given Ax T1 SE POST
        11   t1    given Cor T1 SE POST
        600  no    -     Exponential Apparent Diffusion Coefficient
        601  no    -     Apparent Diffusion Coefficient (mm?/s)
        """,
        {"flair": (4,), "pre": (7,), "post": (10,)},
    ),
    Study(
        "TCGA-HT-A5R7",
        "GE MEDICAL SYSTEMS",
        """
        4    no    -     Sag T2 FSE
        5    flair none  AXIAL T2 FLAIR
        6    no    -     Cor 2D T2GRE
        7    t1    none  Ax T1 MP SPGR
        8    no    -     T2 Propeller
        9    t1    given +C SAG T1 SE
        10   t1    given +C COR T1 SE
        11   t1    given +C Ax T1 MP SPGR
        301  no    -     Apparent Diffusion Coefficient (mm?/s)
        """,
        {"flair": (5,), "pre": (7,), "post": (11,)},
    ),
    Study(
        "TCGA-HT-8114",
        "GE MEDICAL SYSTEMS",
        """
        5    t1    none  AX T1
        7    flair none  Ax Flair irFSE H
        10   t1    given COR T1C
        11   t1    given AX 3D SPGR
        12   t1    given SAG T1C
        """,
        {"flair": (7,), "pre": (5,), "post": (10, 11, 12)},
    ),
    Study(
        "TCGA-06-0178",
        "GE MEDICAL SYSTEMS",
        """
        3    t1    none  SAG T1 FLAIR
        5    no    -     AX T2 FR-FSE RF2 150
        6    flair none  AXIAL T2 FLAIR
        8    t1    none  AX T1 pre gd
        10   t1    given AX T1 POST GD FLAIR
        """,
        {"flair": (6,), "pre": (8,), "post": (10,)},
    ),
    Study(
        "TCGA-19-0963",
        "SIEMENS",
        """
        2    no    -     MRHG T2 AXIALS
        3    flair none  MRHG FLAIR AX
        5    no    -     MRHG DIFFADC
        6    t1    none  MRHG T1 AX
        7    t1    given MRHG T1 AX POST GAD
        8    t1    given MRHG T1 COR POST GAD
        9    t1    given MRHG T1 SAG POST GAD
        """,
        {"flair": (3,), "pre": (6,), "post": (7,)},
    ),
    Study(
        "TCGA-06-1801",
        "GE MEDICAL SYSTEMS",
        """
        3    t1    none  Sag T1 FLAIR
        5    no    -     Ax T2 PROPELLER
        6    flair none  AX T2 FLAIR PROPELLER
        7    t1    none  AX T1 FLAIR PRE
        8    t1    given AX T1 FLAIR +C
        9    t1    given COR T1 FLAIR +C
        400  no    -     Apparent Diffusion Coefficient (mm?/s)
        """,
        {"flair": (6,), "pre": (7,), "post": (8,)},
    ),
    Study(
        "TCGA-08-0529",
        "GE MEDICAL SYSTEMS",
        """
        2    t1    none  FSPGR SAG
        3    flair none  AX FLAIR
        5    no    -     3D FSE AX
        7    t1    -     3D SPGR AX
        814  no    -     Apparent Diffusion Coefficien
        """,
        {"flair": (3,), "pre": (2,), "post": (7,)},
    ),
)
