"""Structure types by the names that chemists use: their formula, and how a crystal of that type is told."""

from __future__ import annotations

from .types import Frozen, Recognition


class StructureType(Frozen):
    """One structure type."""

    formula: str
    """With letters for sites, e.g. `ABX3`."""
    counts: tuple[int, ...]
    """Atoms of a formula unit, ascending."""
    labels: tuple[str, ...] = ()
    """AFLOW labels of it and of its distortions (Mehl et al., Comput. Mater. Sci. 136, S1 (2017)). None: the recogniser
    has no prototype for it, and formula and space group have to do."""
    space_groups: tuple[int, ...] = ()

    @property
    def kinds(self) -> int:
        """Number of different elements."""
        return len(self.counts)

    @property
    def groups(self) -> tuple[int, ...]:
        """Space groups of it; an AFLOW label names its own."""
        return self.space_groups or tuple(int(label.split("_")[2]) for label in self.labels)

    def fits(self, recognition: Recognition, counts: tuple[int, ...]) -> bool:
        """Whether a recognised crystal is of this type; `counts` are the ascending numbers of its reduced formula."""
        if counts != self.counts:
            return False
        if self.labels:
            return recognition.prototype in self.labels
        return recognition.space_group in self.space_groups


def _type(formula: str, *counts: int, labels: str = "", groups: tuple[int, ...] = ()) -> StructureType:
    return StructureType(formula=formula, counts=counts, labels=tuple(labels.split()), space_groups=groups)


STRUCTURE_TYPES: dict[str, StructureType] = {
    "rocksalt": _type("AX", 1, 1, labels="AB_cF8_225_a_b"),
    "zincblende": _type("AX", 1, 1, labels="AB_cF8_216_c_a"),
    "wurtzite": _type("AX", 1, 1, labels="AB_hP4_186_b_b"),
    "cesium chloride": _type("AX", 1, 1, labels="AB_cP2_221_b_a"),
    "diamond": _type("A", 1, labels="A_cF8_227_a"),
    "fluorite": _type("AX2", 1, 2, labels="AB2_cF12_225_a_c"),
    "antifluorite": _type("A2X", 1, 2, labels="AB2_cF12_225_a_c"),
    "rutile": _type("AX2", 1, 2, labels="A2B_tP6_136_f_a"),
    "anatase": _type("AX2", 1, 2, labels="A2B_tI12_141_e_a"),
    "pyrite": _type("AX2", 1, 2, labels="AB2_cP12_205_a_c"),
    "corundum": _type("A2X3", 2, 3, labels="A2B3_hR10_167_c_e"),
    "perovskite": _type("ABX3", 1, 1, 3, labels="AB3C_cP5_221_a_c_b AB3C_oP20_62_c_cd_a"),
    "double perovskite": _type("A2BCX6", 1, 1, 2, 6, groups=(14, 87, 148, 225)),
    "spinel": _type("AB2X4", 1, 2, 4, labels="A2BC4_cF56_227_d_a_e"),
    "olivine": _type("A2BX4", 1, 2, 4, groups=(62,)),
    "garnet": _type("A3B2C3X12", 2, 3, 3, 12, groups=(230,)),
    "chalcopyrite": _type("ABX2", 1, 1, 2, labels="ABC2_tI16_122_a_b_d"),
    "delafossite": _type("ABX2", 1, 1, 2, groups=(166, 194)),
    "half-Heusler": _type("ABC", 1, 1, 1, labels="ABC_cF12_216_b_c_a"),
    "Heusler": _type("A2BC", 1, 1, 2, labels="AB2C_cF16_225_a_c_b"),
    "argyrodite": _type("A6BX5Y", 1, 1, 5, 6, groups=(216,)),
}
"""By name, as the lexicon gives it."""
