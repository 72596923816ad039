"""What is published of textbook crystals in PBE, each value with the key of its source; read by `benchmarks.published`.

Values that were taken from another place than the work that made them say so in their source ("as cited in").
Volumes are per atom.
"""

from __future__ import annotations

from typing import NamedTuple

SOURCES = {
    "ACWF": "E. Bosoni et al., Nat. Rev. Phys. 6, 45 (2024), 10.1038/s42254-023-00655-3: all-electron PBE, average of "
    "FLEUR and WIEN2k; files *-verification-PBE-v1-AE-average.json of aiidateam/acwf-verification-scripts",
    "GBRV": "K. Garrity et al., Comput. Mater. Sci. 81, 446 (2014), 10.1016/j.commatsci.2013.08.053: all-electron PBE "
    "lattice constants, as cited in refdata/gbrv of abinit/pseudo_dojo",
    "Tran": "F. Tran et al., Phys. Rev. B 75, 115131 (2007), 10.1103/PhysRevB.75.115131: all-electron PBE, WIEN2k, as "
    "cited in GPAW's bulk tests (doc/setups/bulk_tests.csv; the first of its two columns: the second is GPAW's)",
    "Madsen": "G. Madsen, private communication: all-electron PBE, WIEN2k, as cited in GPAW's bulk tests "
    "(doc/setups/bulk_tests.csv)",
    "Borlido": "P. Borlido et al., J. Chem. Theory Comput. 15, 5069 (2019), 10.1021/acs.jctc.9b00322: PBE, VASP, at "
    "the measured geometry, as cited in csvs/bandgap_benchmark.csv of MaxGrossmann/mbpt_benchmark",
    "Betzinger": "M. Betzinger et al., Phys. Rev. B 81, 195117 (2010), 10.1103/PhysRevB.81.195117: all-electron PBE, "
    "FLEUR, as cited in GPAW's PBE0 tests",
    "FERE": "S. Kanayama, S. Bae, H. Raebiger: PBE, VASP, U on transition metals only; output_formation_enthalpy-04-"
    "pbe-u_Moore.csv of soungmin-bae/FERE-calculator (method: V. Stevanović et al., Phys. Rev. B 85, 115104 (2012))",
    "MP": "Materials Project, PBE, VASP, without corrections: mp-22862, mp-1265, mp-1138 against mp-10172 (Na), mp-153 "
    "(Mg), mp-135 (Li) and molecular crystals of Cl, O, F, as cited in the data files of Bartel-Group/pydmclab",
}


class Published(NamedTuple):
    """A number and the key of its source."""

    value: float
    source: str


class Solid(NamedTuple):
    """A cubic crystal at its published equilibrium."""

    structure: str
    """As `ase.build.bulk` names it."""
    a: Published
    """Å."""
    bulk_modulus: Published | None = None
    """GPa."""


ATOMS_IN_CUBE = {"diamond": 8, "rocksalt": 8, "zincblende": 8, "fcc": 4, "bcc": 2}


def _acwf(structure: str, volume: float, bulk_modulus: float) -> Solid:
    """From Å³ per atom and GPa."""
    a = (volume * ATOMS_IN_CUBE[structure]) ** (1 / 3)
    return Solid(structure, Published(a, "ACWF"), Published(bulk_modulus, "ACWF"))


SOLIDS: dict[str, Solid] = {
    "Si": _acwf("diamond", 20.45747, 88.511),
    "MgO": _acwf("rocksalt", 9.62452, 148.981),
    "Al": _acwf("fcc", 16.49536, 77.512),
    "C": _acwf("diamond", 5.69576, 433.419),
    "NaCl": Solid("rocksalt", Published(5.714, "GBRV"), Published(23.7, "Tran")),
    "LiF": Solid("rocksalt", Published(4.076, "GBRV"), Published(71.7, "Madsen")),
    "Na": _acwf("bcc", 37.01506, 7.751),
    "Li": _acwf("bcc", 20.26747, 13.887),
    "Ge": _acwf("diamond", 23.91330, 58.918),
    "SiC": Solid("zincblende", Published(4.381, "Madsen"), Published(211.8, "Madsen")),
    "AlP": Solid("zincblende", Published(5.513, "Tran"), Published(82.6, "Tran")),
    "GaAs": Solid("zincblende", Published(5.749, "Madsen"), Published(60.9, "Madsen")),
    "LiCl": Solid("rocksalt", Published(5.161, "GBRV"), Published(32.2, "Tran")),
    "NaF": Solid("rocksalt", Published(4.711, "GBRV"), Published(44.5, "Tran")),
    "Ca": _acwf("fcc", 42.19430, 17.375),
    "BN": Solid("zincblende", Published(3.629, "Tran"), Published(373.0, "Tran")),
    "CaO": _acwf("rocksalt", 14.09514, 105.191),
    "Cu": _acwf("fcc", 11.95222, 140.992),
}
"""Most wanted and cheap ones first."""

EQUATIONS_OF_STATE = ("Si", "C", "NaCl", "MgO", "Al")
"""Those whose volume and bulk modulus have a bar."""


class Gap(NamedTuple):
    """Kohn-Sham gaps, eV, of a cubic crystal."""

    structure: str
    a: float
    """Å, of the published calculation; see `where`."""
    where: str
    fundamental: Published
    direct: Published
    """At Gamma. Betzinger's lattice constants are other ones (5.421, 3.553, 4.189, 5.569, 5.640 Å): no bar on these."""


_MEASURED = "measured at room temperature"
GAPS: dict[str, Gap] = {
    "Si": Gap("diamond", 5.4305, "ICSD 51688", Published(0.62, "Borlido"), Published(2.56, "Betzinger")),
    "C": Gap("diamond", 3.5666, "ICSD 190650", Published(4.15, "Borlido"), Published(5.64, "Betzinger")),
    "MgO": Gap("rocksalt", 4.212, _MEASURED, Published(4.71, "Borlido"), Published(4.84, "Betzinger")),
    "NaCl": Gap("rocksalt", 5.640, _MEASURED, Published(5.10, "Borlido"), Published(5.08, "Betzinger")),
    "GaAs": Gap("zincblende", 5.653, _MEASURED, Published(0.57, "Borlido"), Published(0.55, "Betzinger")),
}


class Formation(NamedTuple):
    """Formation energy, eV/atom, from the elements of the formula."""

    elements: tuple[str, str]
    published: tuple[Published, ...]
    """The first one has the bar; the others show how far published values agree."""


FORMATION: dict[str, Formation] = {
    "NaCl": Formation(("Na", "Cl2"), (Published(-1.8574, "FERE"), Published(-1.8077, "MP"))),
    "MgO": Formation(("Mg", "O2"), (Published(-2.7340, "FERE"), Published(-2.7149, "MP"))),
    "LiF": Formation(("Li", "F2"), (Published(-2.9640, "FERE"), Published(-2.9375, "MP"))),
    "AlN": Formation(("Al", "N2"), (Published(-1.4233, "FERE"),)),
}
"""Both sources took VASP's standard data sets at 520 eV. Molecules as short as N2 and O2 are where data sets differ the
most, so that a deviation need not be GPAW's."""

BOND_STEP = 0.02
"""Å, between the three bond lengths of a molecule, through which a parabola is laid."""

BONDS = {"O2": 1.22, "N2": 1.10, "F2": 1.42, "Cl2": 2.00}
"""Å; where a scan of the bond length begins."""

WURTZITE_ALN = (3.1286, 5.0170, 0.3814)
"""a, c (Å) and u of AlN in PBE: Materials Project, mp-661, as cited in the test data of Bartel-Group/pydmclab."""
