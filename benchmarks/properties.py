"""Properties of textbook crystals by potentials, beside published PBE values: `python -m benchmarks.properties`.

The potentials were trained on PBE data, so PBE is what they are held to; all-electron values where there are any.
Each published number carries the key of its source, listed below the table. Nothing is computed with DFT here.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from ase.build import bulk

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal
from lodestone.tools.properties.elastic import elastic_moduli
from lodestone.tools.properties.eos import equation_of_state
from lodestone.tools.properties.phonons import phonons

SOURCES = {
    "Delta": "K. Lejaeghere et al., Crit. Rev. Solid State Mater. Sci. 39, 1 (2014), 10.1080/10408436.2013.772503: "
    "all-electron PBE, WIEN2k, as in ase.collections.dcdft (a from the volume)",
    "GBRV": "K. Garrity et al., Comput. Mater. Sci. 81, 446 (2014), 10.1016/j.commatsci.2013.08.053, supplementary "
    "Table II: all-electron PBE",
    "Tran": "F. Tran et al., Phys. Rev. B 75, 115131 (2007), 10.1103/PhysRevB.75.115131: all-electron PBE, WIEN2k, as "
    "cited in GPAW's bulk tests",
    "Paier": "J. Paier et al., J. Chem. Phys. 124, 154709 (2006), 10.1063/1.2187006: PBE, VASP, as cited in GPAW's "
    "bulk tests",
    "MP": "Materials Project, PBE, VASP: M. de Jong et al., Sci. Data 2, 150009 (2015), 10.1038/sdata.2015.9; values "
    "of mp-1265, mp-22862, mp-1138 in matcalc's mp-binary-pbe-elasticity-2025.1",
    "Togo": "A. Togo et al., J. Phys.: Condens. Matter 35, 353001 (2023), 10.1088/1361-648X/acd831: VASP PBE forces "
    "published as phonopy's examples Si, MgO, NaCl (a = 5.466, 4.256, 5.690 Å), their transverse modes at Gamma",
    "Alexandria": "A. Loew et al., npj Comput. Mater. 11, 178 (2025), 10.1038/s41524-025-01650-1: PBE, VASP, 300 K; "
    "values of mp-1265, mp-22862, mp-1138 in matcalc's alexandria-binary-pbe-phonon-2025.1",
}

PUBLISHED: dict[str, dict[str, tuple[float, str]]] = {
    "Si": {"a": (5.4698, "Delta"), "B0": (88.545, "Delta"), "TO": (15.111, "Togo")},
    "MgO": {
        "a": (4.259, "GBRV"),
        "B": (151.45, "MP"),
        "G": (118.82, "MP"),
        "TO": (11.198, "Togo"),
        "Cv": (18.955, "Alexandria"),
    },
    "NaCl": {
        "a": (5.714, "GBRV"),
        "B0": (23.7, "Tran"),
        "B": (23.77, "MP"),
        "G": (14.298, "MP"),
        "TO": (4.616, "Togo"),
        "Cv": (24.025, "Alexandria"),
    },
    "C": {"a": (3.575, "Tran"), "B0": (431.0, "Paier")},
    "Al": {"a": (4.0397, "Delta"), "B0": (78.077, "Delta")},
    "LiF": {"a": (4.076, "GBRV"), "B": (69.649, "MP"), "G": (50.018, "MP"), "Cv": (20.500, "Alexandria")},
}

COLUMNS = {
    "a": "a (Å)",
    "B0": "B0 (GPa)",
    "B0'": "B0'",
    "C11": "C11 (GPa)",
    "C12": "C12 (GPa)",
    "C44": "C44 (GPa)",
    "B": "B Hill (GPa)",
    "G": "G Hill (GPa)",
    "TO": "TO at Γ (THz)",
    "Cv": "Cv 300 K (J/mol/K, per atom)",
}

PROTOTYPES = {
    "Si": ("diamond", 5.43),
    "C": ("diamond", 3.57),
    "Al": ("fcc", 4.05),
    "MgO": ("rocksalt", 4.21),
    "NaCl": ("rocksalt", 5.64),
    "LiF": ("rocksalt", 4.03),
}


def crystal(formula: str) -> Crystal:
    """The primitive cell at the experimental lattice constant; every property relaxes it first."""
    structure, a = PROTOTYPES[formula]
    return from_ase(bulk(formula, structure, a=a))


def chgnet() -> Any:
    """CHGNet 0.3.0 as an ASE calculator."""
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu")


def sevennet() -> Any:
    """SevenNet-l3i5 as an ASE calculator."""
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator("7net-l3i5", device="cpu")


POTENTIALS: dict[str, Callable[[], Any]] = {"chgnet": chgnet, "sevennet": sevennet}


def measure(formula: str, calculator: Any) -> tuple[dict[str, tuple[float, float | None]], list[str]]:
    """Column to value and its std, and what the checks object to."""
    start = crystal(formula)
    curve = equation_of_state(start, calculator)
    relaxed = curve.crystal
    moduli, modes = elastic_moduli(relaxed, calculator), phonons(relaxed, calculator)
    found: dict[str, tuple[float, float | None]] = {}
    for result, names in (
        (curve, {"bulk_modulus": "B0", "bulk_modulus_derivative": "B0'"}),
        (moduli, {"c11": "C11", "c12": "C12", "c44": "C44", "bulk_modulus": "B", "shear_modulus": "G"}),
        (modes, {"lowest_optical_gamma": "TO", "heat_capacity": "Cv"}),
    ):
        for name, column in names.items():
            if name in result.quantities:
                found[column] = (result.quantities[name].value, result.quantities[name].std)
    if "volume_per_atom" in curve.quantities:
        sites = 8 if PROTOTYPES[formula][0] in ("diamond", "rocksalt") else 4
        volume = curve.quantities["volume_per_atom"]
        a = (volume.value * sites) ** (1 / 3)
        found["a"] = (a, a / 3 * (volume.std or 0.0) / volume.value)
    return found, [*curve.problems, *moduli.problems, *modes.problems]


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute and print one table, its sources, and what the validity checks say."""
    parser = argparse.ArgumentParser(prog="benchmarks.properties", description=__doc__)
    parser.add_argument("--crystals", nargs="+", choices=tuple(PUBLISHED), default=["Si", "MgO", "NaCl"])
    parser.add_argument("--potentials", nargs="+", choices=tuple(POTENTIALS), default=list(POTENTIALS))
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    calculators = {name: POTENTIALS[name]() for name in given.potentials}
    print(f"| crystal | property | published PBE | source | {' | '.join(f'{n} | error' for n in calculators)} |")
    print(f"|---|---|---|---|{'---|---|' * len(calculators)}")
    remarks, used = [], set()
    for formula in given.crystals:
        results = {}
        for name, calculator in calculators.items():
            began = time.perf_counter()
            results[name], problems = measure(formula, calculator)
            remarks.append(
                f"{formula}, {name}: {'; '.join(problems) or 'every check passed'} "
                f"({time.perf_counter() - began:.0f} s)"
            )
        for column, title in COLUMNS.items():
            reference = PUBLISHED[formula].get(column)
            if not any(column in found for found in results.values()):
                continue
            cells = [_cell(found.get(column), reference) for found in results.values()]
            value, source = (f"{reference[0]:.4g}", reference[1]) if reference else ("", "")
            used.add(source)
            print(f"| {formula} | {title} | {value} | {source} | {' | '.join(cells)} |", flush=True)
    print()
    for key in sorted(used - {""}):
        print(f"- {key}: {SOURCES[key]}")
    print()
    for remark in remarks:
        print(f"- {remark}")
    return 0


def _cell(found: tuple[float, float | None] | None, reference: tuple[float, str] | None) -> str:
    if found is None:
        return "failed | "
    error = f"{found[0] / reference[0] - 1:+.1%}" if reference else ""
    return f"{found[0]:.4g}" + (f" ± {found[1]:.2g}" if found[1] is not None else "") + f" | {error}"


if __name__ == "__main__":
    sys.exit(main())
