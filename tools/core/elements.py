"""The elements, and classes of them by name, each from a source that a chemist can look up."""

from __future__ import annotations


def split_words(text: str) -> tuple[str, ...]:
    """The words of a table that is written as running text."""
    return tuple(text.split())


SYMBOLS: tuple[str, ...] = split_words("""
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr
Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir
Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl
Mc Lv Ts Og
""")
"""In order of atomic number."""


def _between(first: str, last: str) -> tuple[str, ...]:
    return SYMBOLS[SYMBOLS.index(first) : SYMBOLS.index(last) + 1]


_LANTHANIDES = _between("La", "Lu")
_RADIOACTIVE = ("Tc", "Pm", *SYMBOLS[83:])

ELEMENT_CLASSES: dict[str, tuple[str, ...]] = {
    # IUPAC, Nomenclature of Inorganic Chemistry (Red Book), 2005, IR-3.5 and IR-3.6.
    "alkali metals": ("Li", "Na", "K", "Rb", "Cs"),
    "alkaline earths": ("Be", "Mg", "Ca", "Sr", "Ba"),
    "pnictogens": ("N", "P", "As", "Sb", "Bi"),
    "halogens": ("F", "Cl", "Br", "I"),
    "noble gases": ("He", "Ne", "Ar", "Kr", "Xe", "Rn", "Og"),
    "lanthanides": _LANTHANIDES,
    "actinides": _between("Ac", "Lr"),
    "rare earths": ("Sc", "Y", *_LANTHANIDES),
    "transition metals": tuple(
        s for s in (*_between("Sc", "Zn"), *_between("Y", "Cd"), "La", *_between("Hf", "Hg")) if s != "Tc"
    ),
    # Oxides are a class of their own in the field's use of the word, so oxygen is not in.
    "chalcogens": ("S", "Se", "Te"),
    "precious metals": ("Ru", "Rh", "Pd", "Ag", "Re", "Os", "Ir", "Pt", "Au"),
    "heavy metals": ("Cd", "Hg", "Tl", "Pb"),
    # No stable isotope; bismuth-209 (half-life 2e19 years) counts as stable. IUPAC, Isotopic Abundances, 2021.
    "radioactive": _RADIOACTIVE,
    # Carcinogenic to humans (IARC group 1: Be, As, Cd), among WHO's ten chemicals of major public health concern
    # (As, Cd, Hg, Pb), or an EPA priority pollutant of high acute toxicity (Tl); and all that is radioactive.
    "toxic": ("Be", "As", "Cd", "Hg", "Tl", "Pb", *_RADIOACTIVE),
    # Less than 0.1 mg in a kilogram of the earth's crust. CRC Handbook of Chemistry and Physics, 97th ed., 14-17.
    "scarce": ("Se", "Ru", "Rh", "Pd", "Ag", "Te", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Bi", *_RADIOACTIVE),
}
"""Classes by name. Sources: see the comment over each block."""

BROAD: tuple[str, ...] = tuple(
    s for s in SYMBOLS[:83] if s not in ELEMENT_CLASSES["noble gases"] and s not in ELEMENT_CLASSES["radioactive"]
)
"""Elements of an open search: hydrogen to bismuth without noble gases and radioactive elements."""

ANION_FORMERS: tuple[str, ...] = ("H", "C", "N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I")
"""Left out of an open search for one class of compounds, unless that class is made of them."""

ELEMENT_CLASSES["metals"] = tuple(s for s in BROAD if s not in (*ANION_FORMERS, "B", "Si", "P", "Ge", "As"))

IUPAC_GROUPS: dict[int, tuple[str, ...]] = {
    1: ("H", "Li", "Na", "K", "Rb", "Cs"),
    2: ELEMENT_CLASSES["alkaline earths"],
    **{
        g: tuple(SYMBOLS[z - 1] for z in (g + 18, g + 36, g + 54 + (14 if g > 3 else 0)) if SYMBOLS[z - 1] != "Tc")
        for g in range(3, 13)
    },
    **{
        g: tuple(
            SYMBOLS[z - 1] for z in (g - 8, g, g + 18, g + 36, g + 68) if z > 2 and SYMBOLS[z - 1] not in _RADIOACTIVE
        )
        for g in range(13, 19)
    },
}
"""Columns of the periodic table without radioactive elements."""
