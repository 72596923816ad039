"""Units as people write them in three languages, to pint's spelling."""

from __future__ import annotations

import re

_ATOM = r"(?: ?/ ?(?:atom|at\.|атом|原子)| per atom| на атом|每原子)?"
_MOL = r" ?(?:/ ?(?:mol|моль|摩尔)|mol-1|mol⁻¹| per mol(?:e)?|每摩尔)"
_CUBED = r"(?:\^3|\*\*3|3|³)"

_ROWS: tuple[tuple[str, str], ...] = (
    (r"MeV(?![A-Za-z/])", "MeV"),
    (rf"(?i:meV|мэВ|millielectron[- ]?volts?|毫电子伏特?){_ATOM}", "meV"),
    (rf"(?i:eV|эВ|electron[- ]?volts?|电子伏特?|электронвольт\w*){_ATOM}", "eV"),
    (rf"(?i:kJ|кДж|千焦){_MOL}(?:e)?", "kJ/mol"),
    (rf"(?i:kcal|ккал|千卡){_MOL}", "kcal/mol"),
    (rf"(?i:Ry|rydbergs?|ридберг\w*){_ATOM}", "rydberg"),
    (rf"(?i:hartrees?|хартри){_ATOM}", "hartree"),
    (r"(?i:TPa|ТПа)", "TPa"),
    (r"(?i:GPa|ГПа|gigapascals?|гигапаскал\w*|吉帕)", "GPa"),
    (r"(?i:MPa|МПа|megapascals?|мегапаскал\w*|兆帕)", "MPa"),
    (r"(?i:kbar|кбар|千巴)", "kbar"),
    (r"(?i:Mbar|Мбар|兆巴)", "Mbar"),
    (r"(?i:bar|бар)", "bar"),
    (r"(?i:Pa|Па|帕)", "Pa"),
    (rf"(?i:kg|кг|千克|公斤) ?(?:/ ?(?:m|м){_CUBED}| m-3| m\^-3| m⁻³|每立方米)", "kg/m^3"),
    (
        rf"(?i:g|г|克) ?(?:/ ?(?:(?:cm|см){_CUBED}|cc|ml|mL|мл|立方厘米)| ?·?cm-3| ?·?cm\^-3| ?·?cm⁻³"
        r"| per cubic cent\w+| на кубический сантиметр|每立方厘米)",
        "g/cm^3",
    ),
    (rf"(?:Å|A|А|(?i:angstroms?|ang|ангстрем\w*|埃)) ?{_CUBED}{_ATOM}", "angstrom^3"),
    (rf"(?i:cubic (?:angstroms?|Å)|立方埃|кубическ\w+ ангстрем\w*){_ATOM}", "angstrom^3"),
    (rf"(?i:nm|нм|纳米) ?{_CUBED}{_ATOM}", "nm^3"),
    (r"K|К|V|J|(?i:volts?|kelvin|joules?|nm|cm|kg|Hz|THz|кельвин\w*|вольт\w*|开尔文)|°C|Å|A", "other"),
)
_UNITS = tuple((re.compile(rf"(?:{pattern})(?![A-Za-zА-Яа-я0-9])"), unit) for pattern, unit in _ROWS)

OTHER = "other"
"""A unit of no property here."""


def unit_at(text: str, start: int) -> tuple[str, int] | None:
    """(unit in pint's spelling, place after it) of a unit written at `start` of normalised text."""
    for pattern, unit in _UNITS:
        if match := pattern.match(text, start):
            return unit, match.end()
    return None
