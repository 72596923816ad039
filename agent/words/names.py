"""English names of the elements, and capitals that only look like symbols."""

from __future__ import annotations

from ...tools.core.elements import SYMBOLS, split_words

_NAMES = split_words("""
hydrogen helium lithium beryllium boron carbon nitrogen oxygen fluorine neon sodium magnesium aluminium silicon
phosphorus sulfur chlorine argon potassium calcium scandium titanium vanadium chromium manganese iron cobalt nickel
copper zinc gallium germanium arsenic selenium bromine krypton rubidium strontium yttrium zirconium niobium
molybdenum technetium ruthenium rhodium palladium silver cadmium indium tin antimony tellurium iodine xenon caesium
barium lanthanum cerium praseodymium neodymium promethium samarium europium gadolinium terbium dysprosium holmium
erbium thulium ytterbium lutetium hafnium tantalum tungsten rhenium osmium iridium platinum gold mercury thallium
lead bismuth polonium astatine radon francium radium actinium thorium protactinium uranium neptunium plutonium
americium curium berkelium californium einsteinium fermium mendelevium nobelium lawrencium rutherfordium dubnium
seaborgium bohrium hassium meitnerium darmstadtium roentgenium copernicium nihonium flerovium moscovium livermorium
tennessine oganesson
""")

ENGLISH_NAMES: dict[str, str] = {
    **dict(zip(_NAMES, SYMBOLS, strict=True)),
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

METHODS = frozenset(split_words("pbe0 r2scan hse06 hse03 d3 mp2 b3lyp g0w0 m3gnet chgnet pbesol"))
"""Names of methods that look like formulas with a mistake."""

PROTOTYPE_FORMULAS = {
    "NaCl": "rocksalt", "CsCl": "cesium chloride", "ZnS": "zincblende", "CaF2": "fluorite", "CaTiO3": "perovskite",
    "MgAl2O4": "spinel", "FeS2": "pyrite", "Al2O3": "corundum", "CuFeS2": "chalcopyrite",
}  # fmt: skip
"""Minerals whose formula names a structure type: `NaCl-type`."""
