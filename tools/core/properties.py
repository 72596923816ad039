"""The property catalogue: one table that the parser, the planner, the evaluators and the report all read.

Ranges are physical limits for inorganic solids, wide enough never to cut a real crystal; a value outside
is an error of the request or of a model, not a discovery.
"""

from __future__ import annotations

from typing import Literal

from .errors import GoalError
from .types import Fidelity, Frozen

Language = Literal["en", "zh", "ru"]


class Source(Frozen):
    """Something that yields a property, and what that costs."""

    by: str
    """Name of the evaluator, or `potential` for the one that relaxes."""
    fidelity: Fidelity
    core_s_per_atom: float
    """Typical core seconds for each atom of a cell of about ten, on one core of 2020 or later."""


POTENTIAL = Source(by="potential", fidelity="potential", core_s_per_atom=0.5)
SEVENNET = Source(by="sevennet", fidelity="potential", core_s_per_atom=1.0)
GPAW = Source(by="gpaw", fidelity="dft", core_s_per_atom=120.0)
ESPRESSO = Source(by="espresso", fidelity="dft", core_s_per_atom=60.0)
ENERGIES = (POTENTIAL, SEVENNET, GPAW, ESPRESSO)


class PropertyDefinition(Frozen):
    """One row of the catalogue."""

    name: str
    label: str
    unit: str
    """The unit that values are stored in; any unit of the same dimension is accepted (pint)."""
    lower: float
    upper: float
    synonyms: dict[Language, tuple[str, ...]]
    """Ways to say it. A `*` ends a stem: any letters may follow."""
    better: Literal["lower", "higher", "neither"]
    """What `improve` means when the request does not say."""
    sources: tuple[Source, ...]
    """What yields it, the cheapest first."""
    meaning: str

    @property
    def cheap(self) -> bool:
        """Whether the relaxation potential predicts it (else only an evaluator does)."""
        return any(source.by == "potential" for source in self.sources)


_ROWS = (
    PropertyDefinition(
        name="energy_above_hull",
        label="energy above hull",
        unit="eV/atom",
        lower=0.0,
        upper=20.0,
        synonyms={
            "en": (
                "energy above hull",
                "energy above the hull",
                "energy above convex hull",
                "energy above the convex hull",
                "above the hull",
                "above hull",
                "above the convex hull",
                "of the hull",
                "of hull",
                "of the convex hull",
                "from the hull",
                "from the convex hull",
                "hull distance",
                "hull energy",
                "distance to the hull",
                "distance from the hull",
                "e_hull",
                "ehull",
                "e_above_hull",
                "e above hull",
                "e above the hull",
                "decomposition energy",
                "decomposition energies",
                "hull distances",
                "hull energies",
                "distance above the hull",
                "distance above hull",
                "distance to the convex hull",
                "distance from the convex hull",
                "convex hull distance",
                "energy over the hull",
                "away from the hull",
                "away from the convex hull",
                "off the hull",
                "off hull",
                "off the convex hull",
                "e hull",
                "energies above hull",
                "energies above the hull",
                "energy above the thermodynamic hull",
                "above the thermodynamic hull",
            ),
            "zh": (
                *("凸包以上能量", "能量高于凸包", "高于凸包", "凸包能", "离凸包的距离", "分解能", "凸包以上"),
                *(
                    "凸包能量",
                    "离凸包",
                    "距凸包",
                    "距离凸包",
                    "距凸包的距离",
                    "到凸包的距离",
                    "与凸包的距离",
                    "凸包距离",
                ),
                *(
                    "凸包之上",
                    "凸包上方",
                    "高出凸包",
                    "偏离凸包",
                    "凸壳能",
                    "高于凸包的能量",
                    "相对凸包的能量",
                    "凸包上方能量",
                ),
            ),
            "ru": (
                "над выпукл* оболочк*",
                "над оболочк*",
                "энерги* над оболочк*",
                "энерги* над выпукл* оболочк*",
                "расстояни* до оболочки",
                "расстояни* до выпуклой оболочки",
                "расстояни* от оболочки",
                "расстояни* от выпуклой оболочки",
                "удаленност* от оболочки",
                "удалени* от оболочки",
                "от оболочки",
                "от выпуклой оболочки",
                "до оболочки",
                "до выпуклой оболочки",
                "выше оболочки",
                "выше выпуклой оболочки",
                "энерги* распада",
                "энерги* разложения",
            ),
        },
        better="lower",
        sources=ENERGIES,
        meaning="energy per atom above the convex hull of all phases known to the campaign, same method",
    ),
    PropertyDefinition(
        name="formation_energy",
        label="formation energy",
        unit="eV/atom",
        lower=-10.0,
        upper=20.0,
        synonyms={
            "en": (
                "formation energy",
                "formation energies",
                "energy of formation",
                "heat of formation",
                "formation enthalpy",
                "enthalpy of formation",
                "enthalpies of formation",
                "formation enthalpies",
                "formation heat",
                "heats of formation",
                "energies of formation",
            ),
            "zh": ("形成能", "生成能", "生成焓", "形成焓", "生成热", "形成热"),
            "ru": (
                *("энерги* образования", "энтальпи* образования", "теплот* образования"),
                *("энерги* формирования", "энтальпи* формирования"),
            ),
        },
        better="lower",
        sources=ENERGIES,
        meaning="energy per atom relative to the elements in their lowest known form, same method",
    ),
    PropertyDefinition(
        name="density",
        label="density",
        unit="g/cm^3",
        lower=0.0,
        upper=40.0,
        synonyms={
            "en": ("density", "densities", "mass density"),
            "zh": ("密度", "质量密度"),
            "ru": ("плотност*", "удельн* вес*"),
        },
        better="neither",
        sources=ENERGIES,
        meaning="mass over volume of the relaxed cell",
    ),
    PropertyDefinition(
        name="volume_per_atom",
        label="volume per atom",
        unit="angstrom^3/atom",
        lower=1.0,
        upper=500.0,
        synonyms={
            "en": ("volume per atom", "atomic volume", "volume/atom", "volumes per atom", "atomic volumes"),
            "zh": ("每原子体积", "原子体积", "每个原子的体积", "每个原子体积", "平均原子体积", "单原子体积"),
            "ru": ("объем* на атом", "атомн* объем*", "объем* на один атом", "объем* в расчете на атом"),
        },
        better="neither",
        sources=ENERGIES,
        meaning="volume of the relaxed cell over its number of atoms",
    ),
    PropertyDefinition(
        name="bulk_modulus",
        label="bulk modulus",
        unit="GPa",
        lower=0.0,
        upper=1000.0,
        synonyms={
            "en": ("bulk modulus", "bulk moduli", "incompressibility", "compression modulus", "modulus of compression"),
            "zh": ("体积模量", "体模量", "体弹模量", "体变模量", "体积弹性模量", "压缩模量"),
            "ru": (
                *("модул* объемн* сжати*", "модул* объемн* упругости", "модул* сжати*", "объемн* модул*"),
                *("модул* всестороннего сжатия", "объемн* модул* упругости", "объемн* упругост*"),
            ),
        },
        better="higher",
        sources=ENERGIES,
        meaning="Birch-Murnaghan fit to energies of strained cells around the minimum",
    ),
    PropertyDefinition(
        name="band_gap",
        label="band gap",
        unit="eV",
        lower=0.0,
        upper=30.0,
        synonyms={
            "en": (
                *("band gap", "bandgap", "band gaps", "bandgaps", "energy gap", "gap", "gaps", "electronic gap"),
                *("forbidden gap", "band gap energy", "bandgap energy", "electronic band gap", "fundamental gap"),
                *("fundamental band gap", "gap size", "gap width", "band gap width"),
            ),
            "zh": (
                "带隙",
                "能隙",
                "禁带宽度",
                "带隙宽度",
                "禁带",
                "带隙值",
                "能带间隙",
                "能带隙",
                "带隙大小",
                "电子带隙",
            ),
            "ru": (
                "запрещенн* зон*",
                "ширин* запрещенной зоны",
                "ширин* щели",
                "щель",
                "щели",
                "щелью",
                "энергетическ* щел*",
                "зона",
                "зоной",
                "зону",
                "зоны",
                "ширин* зоны",
                "ширин* запрещенн* зон*",
                "щелей",
                "щелями",
                "зонн* щел*",
                "энергетическ* зазор*",
            ),
        },
        better="higher",
        sources=(GPAW, ESPRESSO),
        meaning="Kohn-Sham gap between highest occupied and lowest empty level on the evaluator's k-mesh",
    ),
)

CATALOGUE: dict[str, PropertyDefinition] = {row.name: row for row in _ROWS}

UNAVAILABLE: tuple[str, ...] = (
    "critical temperature",
    "Curie temperature",
    "ionic conductivity",
    "electrical conductivity",
    "melting point",
    "thermal conductivity",
    "thermal expansion",
    "heat capacity",
    "shear modulus",
    "Young's modulus",
    "elastic constants",
    "hardness",
    "strength and toughness",
    "refractive index",
    "optical absorption",
    "direct or indirect gap",
    "dielectric constant",
    "piezoelectric or ferroelectric response",
    "magnetic moment",
    "Seebeck coefficient",
    "work function",
    "effective mass",
    "phonons",
    "lattice constant",
    "cohesive energy",
    "voltage or capacity",
    "price",
    "hydrogen storage capacity",
    "tolerance factor",
)
"""Properties that people ask for and that nothing here yields yet: a bound on one is refused, never passed over.
How they are said is in `agent/words/data`, table `unavailable`."""


def get_property(name: str) -> PropertyDefinition:
    """The catalogue row for a name. Raises GoalError that lists the known names."""
    try:
        return CATALOGUE[name]
    except KeyError:
        raise GoalError(f"Unknown property '{name}'.", f"Known: {', '.join(CATALOGUE)}.") from None


def check_range(name: str, value: float) -> None:
    """Raise GoalError when a value (in the catalogue's unit) is not physical."""
    row = get_property(name)
    if not row.lower <= value <= row.upper:
        raise GoalError(
            f"{row.label} of {value:g} {row.unit} is outside the physical range.",
            f"Give a value from {row.lower:g} to {row.upper:g} {row.unit}.",
        )
