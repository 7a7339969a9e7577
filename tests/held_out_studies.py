"""Further studies of the listing behind `labelled_studies`, looked at only after the rules were written."""

from __future__ import annotations

from headers import Study

HELD_OUT = (
    Study(
        "TCGA-06-0119",
        "GE MEDICAL SYSTEMS",
        """
        2    t1    -     SAG T1
        4    t1    -     SAG T1
        5    no    -     AXIAL FSE
        6    t1    -     AXIAL T1
        7    flair none  AxFLAIR-thin for surgery
        8    t1    -     SAG T1
        11   t1    -     AxT1-thin for surgery
        12   t1    -     COR T1
        369  no    -     Apparent Diffusion Coefficien
        """,
        {"flair": (7,), "pre": (6,), "post": (11, 12)},
    ),
    Study(
        "TCGA-06-0187",
        "GE MEDICAL SYSTEMS",
        """
        5    t1    -     SAG T1
        6    no    -     AXIAL FSE
        7    flair none  AxFLAIR-thin for surgery
        9    t1    -     AXIAL T1
        12   t1    -     AxT1-thin for surgery
        13   t1    -     COR T1
        172  no    -     Apparent Diffusion Coefficien
        """,
        {"flair": (7,), "pre": (9,), "post": (12, 13)},
    ),
    Study(
        "TCGA-14-3477",
        "SIEMENS",
        """
        4    flair none  AX FLAIR
        5    no    -     AX T2 GREFIL
        6    t1    none  AX T1
        7    no    -     AX T2 FS
        8    t1    given AX T1 PostFIL
        9    t1    given AX T1 PostFIL
        10   no    -     AX T2 FS
        11   flair given AX FLAIR
        14   no    -     AX DWI_WIPADC
        """,
        {"flair": (4,), "pre": (6,), "post": (8, 9)},
    ),
    Study(
        "TCGA-DU-8165",
        "GE MEDICAL SYSTEMS",
        """
        3    t1    none  SAG T1 FLAIR
        6    flair none  AXIAL FLAIR
        7    flair none  AXIAL FLAIR
        8    no    -     AX T2 FR-FSE RF2 150
        9    t1    none  AX T1 pre gd
        10   no    -     3D DCE T1 MAP
        12   t1    given AX T1 POST GD FLAIR
        13   t1    given COR  T1 POST GD FLAIR
        """,
        {"flair": (6, 7), "pre": (9,), "post": (12,)},
    ),
    Study(
        "TCGA-FG-A87N",
        "SIEMENS",
        """
        2    t1    none  t1mpragetra
        3    no    -     T2 axial
        4    flair none  FLAIR axial
        6    no    -     ep2ddiffmddw20p2_wipADC
        11   t1    given t1mpragetra_Gd
        """,
        {"flair": (4,), "pre": (2,), "post": (11,)},
    ),
    Study(
        "TCGA-HT-7604",
        "GE MEDICAL SYSTEMS",
        """
        1    no    -     3-pl T2 FGRE S
        3    t1    none  SAG T1
        5    t1    none  AX T1
        6    no    -     Prop T2 TRF
        7    flair none  Ax Flair irFSE H
        8    no    -     COR GRE T2
        10   t1    given SAG T1C
        11   t1    given COR T1C
        12   t1    given CAX 3D SPGR
        900  no    -     PROP ADC
        901  no    -     PROP eADC
        """,
        {"flair": (7,), "pre": (5,), "post": (10, 11, 12)},
    ),
    Study(
        "TCGA-02-0060",
        "GE MEDICAL SYSTEMS",
        """
        5    t1    none  FSPGR 3D 25FOV
        6    flair none  T2 FLAIR2MM25FOV
        8    no    -     FSE T2
        9    flair none  T2 FLAIR
        10   t1    none  SE T1
        11   no    -     Axial T2
        14   t1    given 3D AX FSPGR POST
        15   t1    given SE COR T1 POST
        16   t1    given SE SAG T1 POST
        """,
        {"flair": (6, 9), "pre": (5, 10), "post": (14,)},
    ),
    Study(
        "TCGA-FG-A4MU",
        "SIEMENS",
        """
        2    no    -     T2 AX
        3    flair none  FLAIR AX
        6    t1    none  TIR T1 AX
        8    t1    given T1 AXIAL Gd
        9    t1    given T1 COR Gd
        """,
        {"flair": (3,), "pre": (6,), "post": (8,)},
    ),
    Study(
        "TCGA-DU-5849",
        "GE MEDICAL SYSTEMS",
        """
        4    t1    none  SAG T1 FLAIR
        7    no    -     AX T2 FR-FSE RF2 150
        8    flair none  AXIAL FLAIR
        9    t1    none  AX T1 pre gd
        10   no    -     3D DCE T1 MAPPING X 5
        12   t1    given AX T1 POST GD FLAIR
        13   t1    given COR  T1 POST GD FLAIR
        """,
        {"flair": (8,), "pre": (9,), "post": (12,)},
    ),
    Study(
        "TCGA-12-0776 (part)",
        "GE MEDICAL SYSTEMS",
        """
        1    t1    none  Sag T1 FSE S
        2    no    -     Ax T2 FSE H
        3    flair none  Ax Flair irFSE H
        6    t1    given COR T1 FSE +C
        7    t1    given COR T1 FSE +C
        8    t1    given AX T1 FSE H+C
        """,
        {"flair": (3,), "pre": (1,), "post": (8,)},
    ),
    Study(
        "TCGA-19-1390 (part)",
        "SIEMENS",
        """
        3    flair none  MRHG FLAIR AX
        4    t1    none  MRHG T1 AX
        6    no    -     MRHG DIFFADC
        10   t1    given MRHG T1 COR Gd
        """,
        {"flair": (3,), "pre": (4,), "post": (10,)},
    ),
)
