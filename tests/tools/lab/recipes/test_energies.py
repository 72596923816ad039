"""Free energies: tables against an independent fit, published decomposition, the descriptor against pymatgen."""

from __future__ import annotations

import math

import pytest

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.synthesis import Phase
from lodestone.tools.core.types import Crystal
from lodestone.tools.lab.recipes.balance import balance
from lodestone.tools.lab.recipes.energies import (
    Compound,
    bartel_descriptor,
    compound_of,
    driving_force,
    free_energy,
    volume_per_atom,
)
from lodestone.tools.lab.recipes.gases import GASES, KJ_PER_EV, gas_free_energy, oxygen_free_energy

# NIST Chemistry WebBook, Shomate equation: A, B, C, D, E, F, G, H of the range that holds 1000 K.
SHOMATE = {
    "O2": (30.03235, 8.772972, -3.988133, 0.788313, -0.741599, -11.32468, 236.1663, 0.0),
    "CO2": (24.99735, 55.18696, -33.69137, 7.948387, -0.136638, -403.6075, 228.2431, -393.5224),
    "H2O": (30.09200, 6.832514, 6.793435, -2.534480, 0.082139, -250.8810, 223.3967, -241.8264),
    "N2": (19.50583, 19.88705, -8.598535, 1.369784, 0.527601, -4.935202, 212.3900, 0.0),
    "NO2": (16.10857, 75.89525, -54.38740, 14.30777, 0.239423, 26.17464, 240.5386, 33.09502),
    "NH3": (19.99563, 49.77119, -15.37599, 1.921168, 0.189174, -53.30667, 203.8591, -45.89806),
}


@pytest.mark.parametrize("gas", sorted(SHOMATE))
def test_the_table_of_a_gas_agrees_with_the_shomate_equation(gas: str):
    a, b, c, d, e, f, g, h = SHOMATE[gas]
    for kelvin in (1000.0, 1100.0):
        t = kelvin / 1000.0
        enthalpy = a * t + b * t**2 / 2 + c * t**3 / 3 + d * t**4 / 4 - e / t + f - h
        entropy = a * math.log(t) + b * t + c * t**2 / 2 + d * t**3 / 3 - e / (2 * t**2) + g
        expected = GASES[gas].enthalpy_kj_per_mol + enthalpy - kelvin * entropy / 1000.0
        assert gas_free_energy(gas, kelvin) * KJ_PER_EV == pytest.approx(expected, abs=0.5)


def test_pressure_enters_as_of_an_ideal_gas():
    change = gas_free_energy("CO2", 1000.0, 0.1) - gas_free_energy("CO2", 1000.0, 1.0)
    assert change * KJ_PER_EV == pytest.approx(8.314462618e-3 * 1000.0 * math.log(0.1))


def test_less_oxygen_is_a_lower_potential():
    potentials = [oxygen_free_energy(1000.0, a) for a in ("oxygen", "air", "argon", "vacuum", "hydrogen_argon")]
    assert potentials == sorted(potentials, reverse=True)


def calcite() -> dict[str, Compound]:
    """CRC Handbook, 97th ed.: enthalpies -1207.6, -634.9 kJ/mol; entropies 91.7, 38.1 J/(mol K)."""
    return {
        "CaCO3": Compound(
            formula="CaCO3", formation_energy_ev_per_atom=-1207.6 / KJ_PER_EV / 5, entropy_j_per_mol_k=91.7
        ),
        "CaO": Compound(formula="CaO", formation_energy_ev_per_atom=-634.9 / KJ_PER_EV / 2, entropy_j_per_mol_k=38.1),
    }


def test_calcite_gives_off_an_atmosphere_of_carbon_dioxide_at_the_published_temperature():
    """1170 K: CRC Handbook and textbooks of lime burning (897 degrees Celsius)."""
    reaction, known = balance("CaO", ("CaCO3",)), calcite()
    low, high = 600.0, 1800.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if driving_force(reaction, known, middle, "air") > 0.0 else (low, middle)
    assert low == pytest.approx(1170.0, abs=100.0)


def test_the_descriptor_is_that_of_pymatgen():
    from pymatgen.analysis.compatibility.computed_entries import GibbsComputedStructureEntry
    from pymatgen.core import Lattice, Structure

    structure = Structure(
        Lattice.cubic(4.0), ["Ba", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )  # fmt: skip
    expected = GibbsComputedStructureEntry._g_delta_sisso(
        structure.volume / 5, GibbsComputedStructureEntry._reduced_mass(structure), 1200.0
    )
    assert bartel_descriptor("BaTiO3", structure.volume / 5, 1200.0) == pytest.approx(expected, abs=2e-5)


def test_a_phase_of_a_campaign_is_read_with_its_volume():
    crystal = Crystal(
        lattice=((4.0, 0, 0), (0, 4.0, 0), (0, 0, 4.0)), species=("Mg", "O"), frac_coords=((0, 0, 0),) * 2
    )
    phase = Phase(id="x", formula="MgO", crystal=crystal, formation_energy_ev_per_atom=-3.0)
    assert compound_of(phase).volume_a3_per_atom == pytest.approx(32.0)
    with pytest.raises(ToolError, match="formation energy"):
        compound_of(phase.model_copy(update={"formation_energy_ev_per_atom": None}))


def test_a_density_gives_the_volume():
    # MgO: cell edge 4.212 A with eight atoms, 3.58 g/cm3.
    assert volume_per_atom("MgO", 3.58) == pytest.approx(4.212**3 / 8, rel=5e-3)


def test_scaling_a_formula_unit_scales_its_free_energy():
    one = Compound(formula="MgO", formation_energy_ev_per_atom=-3.0, volume_a3_per_atom=9.3)
    two = Compound(formula="Mg2O2", formation_energy_ev_per_atom=-3.0, volume_a3_per_atom=9.3)
    assert free_energy(two, 1000.0) == pytest.approx(2 * free_energy(one, 1000.0))


def test_unknown_energies_are_named():
    with pytest.raises(ToolError, match="Neither entropy nor volume"):
        free_energy(Compound(formula="MgO", formation_energy_ev_per_atom=-3.0), 1000.0)
    with pytest.raises(ToolError, match="No energy of CaO"):
        driving_force(balance("CaO", ("CaCO3",)), {"CaCO3": calcite()["CaCO3"]}, 1000.0, "air")
    with pytest.raises(ToolError, match="No data"):
        gas_free_energy("XeF2", 1000.0)
    with pytest.raises(ToolError, match="impossible"):
        gas_free_energy("O2", 1000.0, 0.0)
