"""The words that a request may use: elements, classes of compounds, comparators, units, and what is only filler.

Tables only; what a sentence made of them means is in `chemistry.py`, `quantities.py`, `counts.py` and `goal.py`.
"""

from __future__ import annotations

from typing import Literal


def split_words(text: str) -> list[str]:
    """The words of a table that is written as running text."""
    return text.split()


_ELEMENTS = split_words("""
H hydrogen He helium Li lithium Be beryllium B boron C carbon N nitrogen O oxygen F fluorine Ne neon Na sodium
Mg magnesium Al aluminium Si silicon P phosphorus S sulfur Cl chlorine Ar argon K potassium Ca calcium Sc scandium
Ti titanium V vanadium Cr chromium Mn manganese Fe iron Co cobalt Ni nickel Cu copper Zn zinc Ga gallium Ge germanium
As arsenic Se selenium Br bromine Kr krypton Rb rubidium Sr strontium Y yttrium Zr zirconium Nb niobium
Mo molybdenum Tc technetium Ru ruthenium Rh rhodium Pd palladium Ag silver Cd cadmium In indium Sn tin Sb antimony
Te tellurium I iodine Xe xenon Cs caesium Ba barium La lanthanum Ce cerium Pr praseodymium Nd neodymium
Pm promethium Sm samarium Eu europium Gd gadolinium Tb terbium Dy dysprosium Ho holmium Er erbium Tm thulium
Yb ytterbium Lu lutetium Hf hafnium Ta tantalum W tungsten Re rhenium Os osmium Ir iridium Pt platinum Au gold
Hg mercury Tl thallium Pb lead Bi bismuth Po polonium At astatine Rn radon Fr francium Ra radium Ac actinium
Th thorium Pa protactinium U uranium Np neptunium Pu plutonium Am americium Cm curium Bk berkelium Cf californium
Es einsteinium Fm fermium Md mendelevium No nobelium Lr lawrencium Rf rutherfordium Db dubnium Sg seaborgium
Bh bohrium Hs hassium Mt meitnerium Ds darmstadtium Rg roentgenium Cn copernicium Nh nihonium Fl flerovium
Mc moscovium Lv livermorium Ts tennessine Og oganesson
""")

SYMBOLS: tuple[str, ...] = tuple(_ELEMENTS[0::2])
"""Element symbols in order of atomic number."""

ELEMENT_NAMES: dict[str, str] = {
    **dict(zip(_ELEMENTS[1::2], _ELEMENTS[0::2], strict=True)),
    "aluminum": "Al",
    "sulphur": "S",
    "cesium": "Cs",
    "wolfram": "W",
}

AMBIGUOUS_SYMBOLS = frozenset({"In", "I", "As", "At", "No", "He", "Be", "Am"})
"""Symbols that are also English words with a capital; alone they are elements only among other elements."""

AMBIGUOUS_AFTER_NUMBER = frozenset("KVCWFNSHBJ")
"""Symbols that are also units: `300 K` is a temperature."""

ACRONYMS = frozenset(
    split_words("UV PV OK CPU HPC SOC US UP IF OF NO ON SO BY PH OH PC IC CV PBC USB IS IN HOW WHICH SUCH NOW OUR FOUR")
)
"""Capitals that could be read as formulas of one-letter symbols, and are not meant so."""

TWO_LETTER_WORDS = frozenset(
    split_words("am an as at be by do go he hi if in is it me my no of oh ok on or so to up us we ex vs dr mr ms id uk")
)
"""English words of two letters: with a capital they have the shape of a symbol."""

METHODS = frozenset({"pbe0", "r2scan", "hse06", "hse03", "d3", "mp2", "b3lyp", "g0w0", "m3gnet", "chgnet", "pbesol"})
"""Names of methods that look like formulas with a mistake."""


def _between(first: str, last: str) -> tuple[str, ...]:
    return SYMBOLS[SYMBOLS.index(first) : SYMBOLS.index(last) + 1]


NOBLE_GASES = ("He", "Ne", "Ar", "Kr", "Xe", "Rn", "Og")
HALOGENS = ("F", "Cl", "Br", "I")
CHALCOGENS = ("S", "Se", "Te")
PNICTOGENS = ("N", "P", "As", "Sb", "Bi")
LANTHANIDES = _between("La", "Lu")
RARE_EARTHS = ("Sc", "Y", *LANTHANIDES)
ALKALI = ("Li", "Na", "K", "Rb", "Cs")
ALKALINE_EARTH = ("Be", "Mg", "Ca", "Sr", "Ba")
TRANSITION_METALS = tuple(
    s for s in (*_between("Sc", "Zn"), *_between("Y", "Cd"), "La", *_between("Hf", "Hg")) if s != "Tc"
)
PRECIOUS = ("Ru", "Rh", "Pd", "Ag", "Re", "Os", "Ir", "Pt", "Au")

RADIOACTIVE = ("Tc", "Pm", *SYMBOLS[83:])
"""No stable isotope (bismuth-209, half-life 2e19 years, counts as stable): Tc, Pm, and all from polonium on."""

TOXIC = ("Be", "As", "Cd", "Hg", "Tl", "Pb")
"""What `non-toxic` rules out beside the radioactive elements: carcinogenic to humans (IARC group 1: Be, As, Cd),
among WHO's ten chemicals of major public health concern (As, Cd, Hg, Pb), or on the US EPA list of priority
pollutants with acute toxicity at milligrams per kilogram (Tl)."""

BROAD = tuple(s for s in SYMBOLS[:83] if s not in (*NOBLE_GASES, *RADIOACTIVE))
"""Elements of an open search: hydrogen to bismuth without noble gases and radioactive elements."""

ANION_FORMERS = ("H", "C", "N", "O", "F", "S", "Cl", "Se", "Br", "Te", "I")
"""Left out of an open search for one class of compounds, unless that class is made of them."""

METALS = tuple(s for s in BROAD if s not in (*ANION_FORMERS, "B", "Si", "P", "Ge", "As"))

GROUPS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("rare", "earth"): RARE_EARTHS,
    ("rare", "earths"): RARE_EARTHS,
    ("lanthanides",): LANTHANIDES,
    ("lanthanide",): LANTHANIDES,
    ("actinides",): _between("Ac", "Lr"),
    ("halogens",): HALOGENS,
    ("halogen",): HALOGENS,
    ("chalcogens",): CHALCOGENS,
    ("pnictogens",): PNICTOGENS,
    ("noble", "gases"): NOBLE_GASES,
    ("transition", "metals"): TRANSITION_METALS,
    ("transition", "metal"): TRANSITION_METALS,
    ("alkali",): ALKALI,
    ("alkali", "metals"): ALKALI,
    ("alkali", "metal"): ALKALI,
    ("alkaline", "earths"): ALKALINE_EARTH,
    ("alkaline", "earth"): ALKALINE_EARTH,
    ("precious", "metals"): PRECIOUS,
    ("noble", "metals"): PRECIOUS,
    ("radioactive",): RADIOACTIVE,
    ("toxic",): (*TOXIC, *RADIOACTIVE),
    ("heavy", "metals"): ("Cd", "Hg", "Tl", "Pb"),
}
"""Groups of elements by name, one word a place."""

NON_GROUPS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("non", "toxic"): (*TOXIC, *RADIOACTIVE),
    ("nontoxic",): (*TOXIC, *RADIOACTIVE),
    ("non", "radioactive"): RADIOACTIVE,
    ("nonradioactive",): RADIOACTIVE,
}

_SINGULAR_CLASSES = {
    name: tuple(elements.split("-"))
    for name, _, elements in (
        row.partition(":")
        for row in split_words("""
    oxide:O nitride:N sulfide:S sulphide:S carbide:C fluoride:F chloride:Cl bromide:Br iodide:I phosphide:P
    selenide:Se telluride:Te hydride:H boride:B silicide:Si arsenide:As antimonide:Sb germanide:Ge hydroxide:O-H
    silicate:Si-O phosphate:P-O sulfate:S-O carbonate:C-O nitrate:N-O borate:B-O titanate:Ti-O aluminate:Al-O
    niobate:Nb-O vanadate:V-O tungstate:W-O molybdate:Mo-O thiophosphate:P-S oxynitride:O-N oxyfluoride:O-F
    """)
    )
}

CLASSES: dict[str, tuple[str, ...]] = {
    **_SINGULAR_CLASSES,
    **{f"{name}s": elements for name, elements in _SINGULAR_CLASSES.items()},
}
"""Class of compounds to the elements that each member holds."""

ANY_OF_CLASSES: dict[str, tuple[str, ...]] = {
    "halide": HALOGENS,
    "halides": HALOGENS,
    "chalcogenide": CHALCOGENS,
    "chalcogenides": CHALCOGENS,
    "pnictide": PNICTOGENS,
    "pnictides": PNICTOGENS,
}
"""Class of compounds to the elements of which each member holds one or more."""

STRUCTURE_TYPES: tuple[tuple[str, ...], ...] = (
    ("zinc", "blende"),
    ("zincblende",),
    ("rock", "salt"),
    ("rocksalt",),
    *((word + end,) for word in ("perovskite", "spinel", "garnet", "argyrodite") for end in ("", "s")),
    *((word,) for word in ("wurtzite", "fluorite", "olivine", "rutile", "anatase", "elpasolite", "delafossite")),
)
"""Structure types: no goal can fix one yet; they must not be read as elements either."""

Kind = Literal["lower", "upper", "target"]

_LOWER = (
    ">=,≥,at least,not less than,no less than,no lower than,not below,not under,no smaller than,no fewer than,"
    "a minimum of,minimum of,minimum,min"
)
_LOWER_STRICT = (
    ">,above,over,more than,greater than,larger than,higher than,bigger than,wider than,exceeding,exceeds,beyond"
)
_UPPER = (
    "<=,≤,at most,up to,not more than,no more than,no higher than,no greater than,no larger than,not above,not over,"
    "not exceeding,no wider than,a maximum of,maximum of,maximum,max,within"
)
_UPPER_STRICT = "<,below,under,less than,lower than,smaller than,fewer than,narrower than"
_TARGET = "of,around,about,near,close to,approximately,roughly,~,≈,=,==,equal to,equals,exactly"

_COMPARATOR_ROWS: tuple[tuple[str, Kind, bool], ...] = (
    (_LOWER, "lower", False),
    (_LOWER_STRICT, "lower", True),
    (_UPPER, "upper", False),
    (_UPPER_STRICT, "upper", True),
    (_TARGET, "target", False),
)

COMPARATORS: dict[tuple[str, ...], tuple[Kind, bool]] = {
    tuple(phrase.split()): (kind, strict) for phrases, kind, strict in _COMPARATOR_ROWS for phrase in phrases.split(",")
}
"""Words that compare, to the kind of bound and whether the number itself is left out."""

DIRECTIONS: dict[tuple[str, ...], tuple[Literal["minimise", "maximise", "improve"], bool]] = {
    **dict.fromkeys(
        [(w,) for w in split_words("maximise maximize maximising highest largest greatest widest maximum max")],
        ("maximise", False),
    ),
    **dict.fromkeys(
        [(w,) for w in split_words("minimise minimize minimising lowest smallest least minimum minimal min")],
        ("minimise", False),
    ),
    ("most", "negative"): ("minimise", False),
    **dict.fromkeys([(w,) for w in split_words("high large wide great big higher larger wider")], ("maximise", True)),
    **dict.fromkeys([(w,) for w in split_words("low small narrow lower smaller")], ("minimise", True)),
    **dict.fromkeys([(w,) for w in split_words("optimise optimize improve best")], ("improve", False)),
}  # type: ignore[assignment]
"""Words that ask for an extremum, and whether they leave open how far to go."""

ADJECTIVES: dict[str, tuple[str, Literal["minimise", "maximise"]]] = {
    "incompressible": ("bulk_modulus", "maximise"),
    "stiffest": ("bulk_modulus", "maximise"),
    "densest": ("density", "maximise"),
    "lightest": ("density", "minimise"),
    "lightweight": ("density", "minimise"),
}

EXTRA_SYNONYMS: dict[str, tuple[str, ...]] = {
    "energy_above_hull": (
        "of the hull",
        "of the convex hull",
        "from the hull",
        "from the convex hull",
        "above the convex hull",
        "above hull",
        "e above hull",
        "e above the hull",
        "of hull",
        "energy above the convex hull",
        "energy above convex hull",
        "distance to the hull",
        "distance from the hull",
        "hull energy",
    ),
    "density": ("densities",),
    "bulk_modulus": ("bulk moduli",),
}
"""How a sentence says a property where the catalogue's own synonyms do not reach."""

UNITS: tuple[tuple[str, str], ...] = (
    (r"MeV(?![A-Za-z/])", "MeV"),
    (r"(?i:meV|millielectron[- ]?volts?)(?i: ?/ ?atom| per atom)?", "meV"),
    (r"(?i:eV|electron[- ]?volts?)(?i: ?/ ?atom| per atom)?", "eV"),
    (r"(?i:kJ) ?(?:/ ?mol|mol-1|mol⁻¹|per mol(?:e)?)(?:e)?", "kJ/mol"),
    (r"(?i:kcal) ?(?:/ ?mol|per mol(?:e)?)", "kcal/mol"),
    (r"(?i:Ry|rydbergs?)(?i: ?/ ?atom| per atom)?", "rydberg"),
    (r"(?i:hartrees?)(?i: ?/ ?atom| per atom)?", "hartree"),
    (r"(?i:TPa)", "TPa"),
    (r"(?i:GPa|gigapascals?)", "GPa"),
    (r"(?i:MPa|megapascals?)", "MPa"),
    (r"(?i:kbar)", "kbar"),
    (r"(?i:Mbar)", "Mbar"),
    (r"(?i:bar)", "bar"),
    (r"(?i:Pa)", "Pa"),
    (r"(?i:kg) ?(?:/ ?m(?:\^3|\*\*3|3|³)| m-3| m\^-3| m⁻³)", "kg/m^3"),
    (r"(?i:g) ?(?:/ ?(?:cm(?:\^3|\*\*3|3|³)|cc|ml|mL)| ?·?cm-3| ?·?cm\^-3| ?·?cm⁻³| per cubic cent\w+)", "g/cm^3"),
    (r"(?:Å|Å|A|(?i:angstroms?|ang)) ?(?:\^3|\*\*3|3|³)(?i: ?/ ?atom| per atom)?", "angstrom^3"),
    (r"(?i:cubic (?:angstroms?|Å))(?i: ?/ ?atom| per atom)?", "angstrom^3"),
    (r"(?i:nm) ?(?:\^3|\*\*3|3|³)(?i: ?/ ?atom| per atom)?", "nm^3"),
    (r"K|V|J|(?i:volts?|kelvin|joules?|nm|cm|kg|Hz|THz)|°C|Å|A", "other"),
)
"""Patterns of units as people write them, to pint's spelling (`/atom` apart); `other` is a unit of no property here."""

TIME_HOURS: dict[str, float] = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1 / 3600),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 1 / 60),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 1.0),
    **dict.fromkeys(("d", "day", "days"), 24.0),
    **dict.fromkeys(("week", "weeks"), 168.0),
}

COUNT_NOUNS: dict[str, str] = {
    **dict.fromkeys(
        split_words(
            "evaluation evaluations evals eval run runs calculation calculations calcs simulation simulations "
            "measurement measurements experiment experiments job jobs"
        ),
        "evaluations",
    ),
    **dict.fromkeys(split_words("round rounds iteration iterations cycle cycles"), "rounds"),
    **dict.fromkeys(split_words("atom atoms site sites"), "atoms"),
    **dict.fromkeys(split_words("element elements component components species"), "elements"),
    **dict.fromkeys(
        split_words(
            "hit hits crystal crystals material materials compound compounds candidate candidates structure structures "
            "phase phases polymorph polymorphs example examples"
        ),
        "hits",
    ),
    **dict.fromkeys(TIME_HOURS, "time"),
}

COUNT_FILLERS = frozenset(split_words("more different distinct chemical new novel paid dft gpaw sevennet espresso"))

ARITY: dict[str, int] = {
    **dict.fromkeys(("unary", "elemental"), 1),
    **dict.fromkeys(("binary", "binaries"), 2),
    **dict.fromkeys(("ternary", "ternaries"), 3),
    **dict.fromkeys(("quaternary", "quaternaries"), 4),
    **dict.fromkeys(("quinary", "quinaries"), 5),
}

EVALUATORS: dict[tuple[str, ...], str] = {
    ("gpaw",): "gpaw",
    ("quantum", "espresso"): "espresso",
    ("espresso",): "espresso",
    ("qe",): "espresso",
    ("sevennet",): "sevennet",
    ("7net",): "sevennet",
    ("dft",): "dft",
}
"""Evaluator words to names; `dft` is any density-functional code that is installed."""

NUMBER_WORDS: dict[str, float] = {
    word: float(value)
    for value, word in enumerate(
        split_words(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
            "sixteen seventeen eighteen nineteen twenty"
        )
    )
} | {"thirty": 30.0, "forty": 40.0, "fifty": 50.0, "sixty": 60.0, "hundred": 100.0, "dozen": 12.0}

FIND_VERBS = frozenset(
    split_words("find discover propose give identify suggest get want need show seek search predict list return design")
)

STOP_WORDS = frozenset(
    split_words("""a an the and or but of for to in on at by with from as that which is are be been being am it
    its this these those there must should shall can could would will may might do does have has having had
    please me my we us our i you
    your find discover propose give identify suggest get want need show seek search look looking predict list return
    design explore investigate study screen let lets make run use using try via through per each all any some one
    new novel then also so such than kind kinds type types class system systems crystal crystals crystalline material
    materials compound compounds structure structures phase phases candidate candidates inorganic
    chemistry chemical space composition compositions formula budget time total overall hour limit cap maximum minimum
    value range most best good possible thermodynamically property properties where whose when if hello hi thanks thank
    stop after spend polymorph polymorphs element elements containing including cell unit primitive atoms atom""")
)
"""Words that may stay unread without a remark."""

_IGNORED = "so it does not steer the search"
UNMODELLED: dict[str, str] = {
    word: remark
    for row, remark in (
        (
            "electrolyte electrolytes conductor conductors ionic superionic conductivity",
            f"nothing here models ionic or electronic conduction, {_IGNORED}",
        ),
        (
            "cathode cathodes anode anodes battery batteries electrode",
            f"nothing here models battery voltages or cycling, {_IGNORED}",
        ),
        (
            "magnet magnets magnetic ferromagnetic antiferromagnetic ferromagnet",
            f"nothing here models magnetism, {_IGNORED}",
        ),
        (
            "superconductor superconductors superconducting",
            f"nothing here models superconductivity, {_IGNORED}",
        ),
        ("thermoelectric thermoelectrics", f"nothing here models thermoelectric transport, {_IGNORED}"),
        (
            "photovoltaic photovoltaics solar transparent absorber semiconductor semiconductors insulator",
            "say it as a band gap, for instance 'gap between 1 and 2 eV'",
        ),
        ("hard hardest superhard", "hardness is not modelled; say 'highest bulk modulus' if that will do"),
        ("cheap cheapest abundant", "prices and abundance are not known here; exclude elements by name"),
        ("catalyst catalysts catalytic", f"nothing here models catalysis, {_IGNORED}"),
    )
    for word in split_words(row)
}
"""Words of wishes that no property of the catalogue covers, to what to say about them."""
