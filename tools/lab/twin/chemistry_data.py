"""The solids of the laboratory's twin: enthalpy and entropy, density, melting point, and where each number comes from.

A row whose source is `estimate` is a statement about the twin, not about the world: it was set near calorimetry or
between its neighbours, so that the phases that are known to compete do compete. What is not here: what powders do with
these numbers (`chemistry.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import Final

from ...core.errors import ToolError
from ..recipes.formulas import amounts_of

SOURCES: Final = {
    "crc": "CRC Handbook of Chemistry and Physics, 97th ed. (2016), section 5, standard thermodynamic properties",
    "robie": "Robie & Hemingway, Thermodynamic Properties of Minerals, U.S. Geological Survey Bulletin 2131 (1995)",
    "kubaschewski": "Kubaschewski, Alcock & Spencer, Materials Thermochemistry, 6th ed. (1993)",
    "wang": "Wang & Navrotsky, Solid State Ionics 166, 167 (2004) and J. Solid State Chem. 178, 1230 (2005)",
    "iyer": "Iyer, Delacourt, Masquelier, Tarascon & Navrotsky, Electrochem. Solid-State Lett. 9, A46 (2006)",
    "estimate": "set for the twin",
}

_TABLE: Final = """
# formula       kJ/mol    J/mol/K g/cm3  K     source
BaO             -548.0    72.1    5.72   2246  crc
BaO2            -634.3    -       4.96   -     crc
BaCO3           -1213.0   112.1   4.29   1828  crc
Ba(OH)2         -944.7    -       4.50   681   crc
Ba(NO3)2        -988.0    214.0   3.24   863   crc
SrO             -592.0    54.4    5.10   2804  crc
SrCO3           -1220.1   97.1    3.50   1767  crc
Sr(OH)2         -959.0    -       3.63   808   crc
Sr(NO3)2        -978.2    194.6   2.99   843   crc
CaO             -634.9    38.1    3.34   2886  crc
CaCO3           -1207.6   91.7    2.71   1603  crc
Ca(OH)2         -985.2    83.4    2.20   -     crc
Ca(NO3)2        -938.2    193.2   2.50   834   crc
TiO2            -944.0    50.6    4.23   2116  crc
BaTiO3          -1659.8   107.9   6.02   1898  kubaschewski
Ba2TiO4         -2243.0   196.6   5.20   2133  kubaschewski
BaTi2O5         -2612.0   -       5.15   1595  estimate
BaTi4O9         -4514.0   -       4.55   1701  estimate
SrTiO3          -1672.4   108.4   5.12   2353  kubaschewski
Sr2TiO4         -2287.4   159.0   5.00   2133  kubaschewski
Sr3Ti2O7        -3968.0   -       5.04   -     estimate
CaTiO3          -1660.6   93.6    3.98   2253  robie
Ca3Ti2O7        -3963.0   -       3.70   2028  estimate
Li2O            -597.9    37.6    2.01   1711  crc
Li2CO3          -1215.9   90.4    2.11   1005  crc
LiOH            -487.5    42.8    1.45   746   crc
LiNO3           -483.1    90.0    2.38   526   crc
CoO             -237.9    53.0    6.44   2103  crc
Co3O4           -891.0    102.5   6.11   -     crc
CoCO3           -713.0    -       4.20   -     crc
Co(OH)2         -539.7    79.0    3.60   -     crc
LiCoO2          -679.4    52.5    5.06   -     wang
MnO             -385.2    59.7    5.37   2112  crc
MnO2            -520.0    53.1    5.08   -     crc
Mn2O3           -959.0    110.5   4.90   -     crc
Mn3O4           -1387.8   155.6   4.86   1840  crc
MnCO3           -894.1    85.8    3.70   -     crc
LiMnO2          -839.0    -       4.30   -     estimate
LiMn2O4         -1381.0   -       4.28   -     estimate
Li2MnO3         -1250.0   -       3.90   -     estimate
Na2O            -414.2    75.1    2.27   1407  crc
Na2O2           -510.9    95.0    2.81   948   crc
Na2CO3          -1130.7   135.0   2.54   1129  crc
NaOH            -425.8    64.4    2.13   596   crc
NaNO3           -467.9    116.5   2.26   580   crc
FeO             -272.0    60.8    6.00   1650  crc
Fe2O3           -824.2    87.4    5.25   1838  crc
Fe3O4           -1118.4   146.4   5.17   1870  crc
FeCO3           -740.6    92.9    3.94   -     crc
FeO(OH)         -560.7    60.4    4.26   -     robie
Fe              0.0       27.3    7.87   1811  crc
NaFeO2          -698.2    88.3    4.30   1620  kubaschewski
Na3Fe5O9        -2929.0   -       4.50   -     estimate
Na3FeO3         -1190.0   -       3.20   -     estimate
K2O             -361.5    94.1    2.35   1013  estimate
K2CO3           -1151.0   155.5   2.29   1172  crc
KOH             -424.6    81.2    2.04   679   crc
KNO3            -494.6    133.1   2.11   607   crc
Nb2O5           -1899.5   137.2   4.60   1785  crc
KNbO3           -1345.0   -       4.62   1333  estimate
K3NbO4          -1826.0   -       3.60   1223  estimate
KNb3O8          -3269.5   -       4.20   1500  estimate
K4Nb6O17        -7314.5   -       4.10   1436  estimate
MgO             -601.6    27.0    3.60   3098  crc
MgCO3           -1095.8   65.7    3.05   -     crc
Mg(OH)2         -924.5    63.2    2.37   -     crc
Mg(NO3)2        -790.7    164.0   2.30   -     crc
Al2O3           -1675.7   50.9    3.99   2327  crc
Al(OH)3         -1293.1   68.4    2.42   -     robie
MgAl2O4         -2299.1   88.7    3.58   2408  robie
Y2O3            -1905.3   99.1    5.03   2712  crc
YAlO3           -1814.1   -       5.35   2190  estimate
Y3Al5O12        -7157.0   -       4.55   2213  estimate
Y4Al2O9         -5535.0   -       4.52   2290  estimate
ZnO             -350.5    43.7    5.60   2247  crc
ZnCO3           -812.8    82.4    4.40   -     crc
ZnFe2O4         -1181.0   -       5.33   1860  estimate
Bi2O3           -573.9    151.5   8.90   1098  crc
Bi2CO5          -1080.0   -       8.15   -     estimate
BiFeO3          -709.0    -       8.31   1200  estimate
Bi2Fe4O9        -2246.0   -       6.45   1230  estimate
Bi25FeO39       -7631.0   -       9.20   1060  estimate
La2O3           -1793.7   127.3   6.51   2578  crc
La(OH)3         -1410.0   117.8   4.45   -     estimate
La2CO5          -2230.0   -       5.60   -     estimate
CuO             -157.3    42.6    6.31   1500  crc
Cu2O            -168.6    93.1    6.00   1517  crc
Cu(OH)2         -449.8    -       3.37   -     crc
La2CuO4         -1973.0   -       7.05   1600  estimate
BaCuO2          -768.3    -       5.80   1290  estimate
BaY2O4          -2465.3   -       5.80   2480  estimate
Y2BaCuO5        -2679.0   -       6.10   1540  estimate
Y2Cu2O5         -2211.9   196.0   6.20   1390  estimate
YBa2Cu3O6       -2610.0   309.0   6.10   1290  estimate
YBa2Cu3O7       -2700.0   323.0   6.38   1290  estimate
SiO2            -910.7    41.5    2.65   1986  crc
Al2SiO5         -2589.9   91.4    3.15   -     robie
Al2Si2O5(OH)4   -4119.0   203.0   2.60   -     robie
Al6Si2O13       -6816.2   274.9   3.16   2123  robie
PbO             -217.3    68.7    9.64   1160  crc
Pb3O4           -718.4    211.3   8.92   1103  crc
PbCO3           -699.1    131.0   6.60   -     crc
Pb(NO3)2        -451.9    -       4.53   -     crc
PbTiO3          -1196.0   111.9   7.90   1559  estimate
NH4H2PO4        -1445.1   152.0   1.80   463   crc
HPO3            -948.5    -       2.40   473   crc
FePO4           -1297.0   -       3.06   -     estimate
Fe3(PO4)2       -2620.0   -       3.90   1270  estimate
Li3PO4          -2095.8   -       2.54   1478  crc
LiFePO4         -1616.0   131.0   3.60   1250  iyer
Li3Fe2(PO4)3    -4700.0   -       2.80   1350  estimate
"""

_OXIDE_OF: Final = {
    "Ba": "BaO", "Sr": "SrO", "Ca": "CaO", "Ti": "TiO2", "Li": "Li2O", "Co": "CoO", "Mn": "Mn2O3", "Na": "Na2O",
    "Fe": "Fe2O3", "K": "K2O", "Nb": "Nb2O5", "Mg": "MgO", "Al": "Al2O3", "Y": "Y2O3", "Zn": "ZnO", "Bi": "Bi2O3",
    "La": "La2O3", "Cu": "CuO", "Si": "SiO2", "Pb": "PbO",
}  # fmt: skip
"""Oxide whose entropy and melting point stand for an element where a row leaves them open."""
_PER_ATOM: Final = {"O": 8.0, "C": 9.0, "N": 17.0, "H": 13.0, "P": 18.0}
"""J/(mol K) for what an element adds to the entropy of a solid, in the manner of Latimer, J. Am. Chem. Soc. 73, 1480
(1951); of oxygen, what is beyond or short of the oxides."""
_MELTS_AS: Final = _OXIDE_OF | {"Mn": "Mn3O4"}
"""Mn2O3 gives off oxygen before it melts."""
_PHOSPHATE_MELTS_K: Final = 1000.0
"""For phosphorus, which has no oxide among the solids here."""


@dataclass(frozen=True)
class SolidData:
    """One solid of the twin."""

    formula: str
    enthalpy_kj_per_mol: float
    """Of formation at 298.15 K."""
    entropy_j_per_mol_k: float
    """At 298.15 K; by sum of oxides where the table leaves it open."""
    density_g_cm3: float
    """CRC Handbook, rounded; of an estimated phase, an estimate."""
    melts_k: float | None
    """CRC Handbook or phase diagrams, rounded; None where it decomposes first."""
    stiffness_k: float
    """Melting point that speaks for the mobility of its ions: its own, or the mean of its oxides'."""
    source: str
    """Key of `SOURCES`, for the enthalpy, and for the entropy where one is tabulated."""
    entropy_estimated: bool


@cache
def solids() -> Mapping[str, SolidData]:
    """The table, by formula."""
    rows = [line.split() for line in _TABLE.strip().splitlines() if not line.startswith("#")]
    raw = {row[0]: row for row in rows}
    if len(raw) != len(rows):
        raise ToolError("A solid stands twice in the twin's table.", "Keep one row of each formula.")
    return MappingProxyType({name: _read(row, raw) for name, row in raw.items()})


def _read(row: list[str], raw: Mapping[str, list[str]]) -> SolidData:
    formula, enthalpy, entropy, density, melts, source = row
    if source not in SOURCES:
        raise ToolError(f"{formula} has the source {source!r}.", f"Known: {', '.join(SOURCES)}.")
    own = None if melts == "-" else float(melts)
    return SolidData(
        formula=formula,
        enthalpy_kj_per_mol=float(enthalpy),
        entropy_j_per_mol_k=_sum_of_oxides(formula, raw) if entropy == "-" else float(entropy),
        density_g_cm3=float(density),
        melts_k=own,
        stiffness_k=own if own is not None else _mean_of_oxides(formula, raw),
        source=source,
        entropy_estimated=entropy == "-",
    )


def _sum_of_oxides(formula: str, raw: Mapping[str, list[str]]) -> float:
    amounts = amounts_of(formula)
    total, oxygen = 0.0, amounts.get("O", Fraction(0))
    for element, number in amounts.items():
        if element in _OXIDE_OF:
            oxide = _OXIDE_OF[element]
            inside = amounts_of(oxide)
            total += float(number / inside[element]) * float(raw[oxide][2])
            oxygen -= number * inside["O"] / inside[element]
        elif element != "O":
            total += float(number) * _PER_ATOM[element]
    return total + float(oxygen) * _PER_ATOM["O"]


def _mean_of_oxides(formula: str, raw: Mapping[str, list[str]]) -> float:
    amounts = {element: float(n) for element, n in amounts_of(formula).items() if element not in "OCHN"}
    melts = {e: float(raw[_MELTS_AS[e]][4]) if e in _MELTS_AS else _PHOSPHATE_MELTS_K for e in amounts}
    return sum(melts[e] * n for e, n in amounts.items()) / sum(amounts.values())
