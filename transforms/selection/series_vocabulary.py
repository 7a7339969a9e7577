"""The words by which series are recognised, in several languages: data only, phrases are joined by "_"."""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in text.split())


FLAIR = _words(
    "flair t2flair t2f dark_fluid darkfluid da_fl dafl fluid_attenuated fluid_attenuation spc_ir spcir space_ir"
)
"""T2-weighted FLAIR, unless T1 or a short echo time says otherwise."""
INVERSION = _words("tirm tir")
"""Turbo inversion recovery: FLAIR, STIR or T1 by its times."""
T1 = _words("t1 t1w t1wi t1c t1ce t1wce t1n")
T1_SEQUENCES = _words("mprage memprage mpr tfl bravo fspgr spgr fsgpr tfe vibe flash isoir")
"""T1-weighted unless the text says T2 or another weighting."""
T2 = _words("t2 t2w t2wi")
OTHER = _words("t2star t2_star stir dir psir fgatir pd pdw dp proton_density ciss fiesta trufi bffe mtc mt")
"""Weightings that fill no role."""

EXCLUDED: Mapping[str, tuple[str, ...]] = {
    "localiser": _words(
        "localizer localiser localizador lokalizer localisateur loc locs locator scout aascout survey scano "
        "topogram 3_plane 3plane 3_pl 3pl planscan plan multiplane reperage smartbrain"
    ),
    "calibration": _words(
        "cal calibration refscan ref_scan sense_ref coil_survey shim b1map b1_map prescan fieldmap field_map "
        "field_mapping"
    ),
    "projection or reformat": _words("mip mips minip mnip projection reformat reformatted curved vrt"),
    "subtraction": _words("sub subtraction subtracted subtr"),
    "diffusion": _words(
        "dwi dti diff diffusion diffuse resolve hardi mddw noddi ivim bvalue adc eadc dadc apparent "
        "exponential trace tracew fa colfa tensor anisotropy"
    ),
    "perfusion": _words("perf perfusion dynamic dyn dsc dce cbf cbv rcbv relcbf relcbv mtt ttp tmax pwi ktrans"),
    "arterial spin labelling": _words("asl pasl pcasl casl"),
    "susceptibility": _words("swi swip swan hemo haemo qsm ven_bold venbold"),
    "angiography": _words(
        "tof mra mrv cemra angio angiography veno venography inhance tricks twist bolus phase_contrast pca"
    ),
    "functional": _words("bold fmri func functional resting rsfmri"),
    "echo-planar": _words("ep2d epi"),
    "spectroscopy": _words("mrs svs csi spectro spectroscopy probe"),
    "quantitative map": _words("map maps mapping molli t1map t2map mp2rage"),
    "not the whole head": _words(
        "smallfield crop cropped spine cspine tspine lspine hws bws lws cervical lumbar thoracic rachis orbit orbits "
        "orbita iac pituitary sella hypophyse hypophysis hipofisis ipofisi"
    ),
    "no image of a head": _words("seg segmentation mask label labels roi screenshot report collage summary phantom"),
}
"""Why a series is no candidate, and the words that say so."""

PLANES: Mapping[str, tuple[str, ...]] = {
    "axial": _words("ax axial axials axiale assiale tra trans tran transverse transversal oax"),
    "sagittal": _words("sag sagittal saggital sagittale sagital osag"),
    "coronal": _words("cor coronal coro coronale ocor"),
}
GRADIENT_ECHO = _words("mprage memprage mpr tfl bravo fspgr spgr fsgpr tfe ffe vibe flash fl2d fl3d gre fgre")
SPIN_ECHO = _words("se tse fse frfse tir tirm space spc cube vista brainview flair")
VOLUMETRIC = _words("3d mprage memprage mpr bravo fspgr vibe space spc cube vista brainview tfe isotropic")
FAT_SUPPRESSED = _words("fs fatsat fat_sat spir spair fat_supp fatsupp")

GIVEN = _words(
    "+c t1c t1ce t1wce ce contrast contraste contrasto kontrast kontrastmittel gd gad gado km mdc civ cte "
    "inj injection injecte injected post postcontrast postcon postgad postgd postkm postgado apres dopo nach "
    "despues enhanced enh kontraszt"
)
"""Contrast agent has been given."""
AGENTS = _words(
    "gado gadavist gadovist magnevi dotarem dotagraf clariscan multihance prohance omniscan optimark "
    "elucirem vueway artirem primovist eovist ablavar vasovist pixxoscan cyclolux magnograf"
)
"""Contrast agents: a word that begins with one of them is one."""
BEFORE = _words(
    "pre precontrast pregad pregd prekm pregado prae pra vor avant prima antes native nativ nativa nativo "
    "basale noncontrast noncon nocontrast precon nogd nogad nongd unenhanced kontrastsiz t1n -c"
)
"""Before or without contrast agent; the agent's name may follow."""
WITHOUT = _words("without wo ohne sans senza sin sem zonder utan uden bez")
NOT_ANY = _words("no non not o ej inte ikke")
"""Negative only right before a word for the agent."""
WITH = _words("with w mit avec con com met med c")
AND = _words("and or und et e y en")
LINKS = _words("iv i v de di m the any")
"""May stand between a negation and the agent: "sans injection de gadolinium"."""
OF_THE_AGENT = _words(
    "contrast contraste contrasto kontrast kontraszt kontrastmittel con cont gd gad gado km mdc civ cte inj "
    "injection injecte injected enhanced enh +c c"
)
"""Words for the agent or its injection, which belong to a negation before them."""
NOT_OF_THE_AGENT = _words(
    "op operative operativ operatoire operatorio surgery surgical resection biopsy rt xrt radiation therapy "
    "treatment tx chemo scan norm normalize pulse fs fat fatsat sat supp suppression sense grappa ipat blade "
    "mt motion mc filter angle gap flow fc comp sedation interp fossa fosse frontal"
)
"""After "pre", "post" or "without": then these are not about contrast agent."""
WITH_SHORT = _words("con cont c dye")
"""After "with": the agent."""
NOT_AFTER = _words("fs fat fatsat sat supp suppression")
"""Of those, what may follow "post" when it is about contrast agent: fat is suppressed after it, not before."""
NOT_AGENT_CONTRAST = _words("phase high low transfer tissue soft enhanced enchanced improved")
"""Before "contrast": then it is not about contrast agent."""
NO_AGENT = _words("no none non not n na nil null 0 00 without ohne kein keine nein nativ nessuno nenhum aucun")
"""First word of a ContrastBolusAgent that says there was none."""

COMPOUND = _words(
    "t1 t1w t2 t2w t2star flair mprage memprage mpr fspgr spgr bravo tfe ffe vibe fl2d fl3d tirm tir space "
    "spc cube ir se tse fse gre 3d 2d iso fs reg ax axial tra trans tran sag cor post pre gd gad gado km ce "
    "map diffusion diff adc trace dti dwi swi tof"
)
"""Words that sites write together without a separator."""
WHOLE = _words("postop preop prep postprocessed")
"""Words that must not be taken apart."""
INSIDE = _words("flair mprage fspgr localiz localis kontraszt kontrast contrast gadolin gadovist gadavist")
"""Distinctive enough to be found within an unknown word."""
NEGATING = _words("non no un pre wo without ohne sans sin sem bez")
"""At the beginning of an unknown word that holds one for the agent: "pregadolinium"."""
OTHER_SCRIPTS: Mapping[str, str] = {
    "\u5e73\u626b": " native ",  # Chinese, plain scan
    "\u5358\u7d14": " native ",  # Japanese, plain
    "\u9020\u5f71\u524d": " precontrast ",
    "\u589e\u5f3a": " contrast ",  # Chinese, enhanced
    "\u589e\u5f37": " contrast ",
    "\u9020\u5f71": " contrast ",  # Japanese
    "\uc870\uc601": " contrast ",  # Korean
    "\u0431\u0435\u0437": " bez ",  # Russian, without
    "\u0434\u043e": " pre ",  # before
    "\u043f\u043e\u0441\u043b\u0435": " post ",
    "\u043a\u043e\u043d\u0442\u0440\u0430\u0441\u0442": " contrast ",
    "\u0131": "i",  # Turkish
}
BEGINNING = _words("ep2d dti dwi diff perf")
"""Distinctive at the beginning of an unknown word."""
