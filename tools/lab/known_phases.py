"""Some 350 known phases in known structure types, built from space group and sites.

Cells in Å at room temperature, from the usual tabulations (Villars, Pearson's Handbook, desk edition, ASM 1997;
Wyckoff, Crystal Structures, 2nd ed., Wiley 1963; CRC Handbook of Chemistry and Physics, crystallography section), good
to about 1 %; free coordinates to about 0.01, those of one compound for all of its type where they differ by less.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..core.structure import lattice_rows, reduced_formula, site_rows
from ..core.synthesis import Phase
from ..core.types import Crystal

Floats = NDArray[np.float64]

Site = tuple[int, float, float, float]

PBNM = -62
"""Space group 62 with axes as perovskites, olivines and MoO3 are tabulated; its Pnma has a = b, b = c, c = a."""

TYPES: dict[str, tuple[int, str, tuple[Site, ...]]] = {
    "rocksalt": (225, "cubic", ((0, 0, 0, 0), (1, 0.5, 0.5, 0.5))),
    "CsCl": (221, "cubic", ((0, 0, 0, 0), (1, 0.5, 0.5, 0.5))),
    "zincblende": (216, "cubic", ((0, 0, 0, 0), (1, 0.25, 0.25, 0.25))),
    "wurtzite": (186, "hexagonal", ((0, 1 / 3, 2 / 3, 0), (1, 1 / 3, 2 / 3, 0.378))),
    "fluorite": (225, "cubic", ((0, 0, 0, 0), (1, 0.25, 0.25, 0.25))),
    "rutile": (136, "tetragonal", ((0, 0, 0, 0), (1, 0.305, 0.305, 0))),
    "anatase": (141, "tetragonal", ((0, 0, 0, 0), (1, 0, 0, 0.208))),
    "corundum": (167, "hexagonal", ((0, 0, 0, 0.3522), (1, 0.3063, 0, 0.25))),
    "ilmenite": (148, "hexagonal", ((0, 0, 0, 0.355), (1, 0, 0, 0.146), (2, 0.317, 0.023, 0.245))),
    "LiNbO3": (161, "hexagonal", ((0, 0, 0, 0.28), (1, 0, 0, 0), (2, 0.0476, 0.3433, 0.0634))),
    "perovskite": (221, "cubic", ((0, 0.5, 0.5, 0.5), (1, 0, 0, 0), (2, 0.5, 0, 0))),
    "P4mm": (99, "tetragonal", ((0, 0, 0, 0), (1, 0.5, 0.5, 0.515), (2, 0.5, 0.5, -0.03), (2, 0.5, 0, 0.48))),
    "GdFeO3": (
        PBNM,
        "orthorhombic",
        ((0, -0.01, 0.04, 0.25), (1, 0, 0.5, 0), (2, 0.075, 0.483, 0.25), (2, 0.711, 0.289, 0.038)),
    ),
    "LaAlO3": (167, "hexagonal", ((0, 0, 0, 0.25), (1, 0, 0, 0), (2, 0.525, 0, 0.25))),
    "ReO3": (221, "cubic", ((0, 0, 0, 0), (1, 0.5, 0, 0))),
    "spinel": (227, "cubic", ((0, 0, 0, 0), (1, 0.625, 0.625, 0.625), (2, 0.3874, 0.3874, 0.3874))),
    "garnet": (
        230,
        "cubic",
        ((0, 0.125, 0, 0.25), (1, 0, 0, 0), (2, 0.375, 0, 0.25), (3, -0.0306, 0.0512, 0.15)),
    ),
    "bixbyite": (206, "cubic", ((0, 0.25, 0.25, 0.25), (0, -0.033, 0, 0.25), (1, 0.3907, 0.152, 0.3804))),
    "NiAs": (194, "hexagonal", ((0, 0, 0, 0), (1, 1 / 3, 2 / 3, 0.25))),
    "fcc": (225, "cubic", ((0, 0, 0, 0),)),
    "bcc": (229, "cubic", ((0, 0, 0, 0),)),
    "hcp": (194, "hexagonal", ((0, 1 / 3, 2 / 3, 0.25),)),
    "diamond": (227, "cubic", ((0, 0, 0, 0),)),
    "graphite": (194, "hexagonal", ((0, 0, 0, 0.25), (0, 1 / 3, 2 / 3, 0.25))),
    "indium": (139, "tetragonal", ((0, 0, 0, 0),)),
    "white tin": (141, "tetragonal", ((0, 0, 0, 0),)),
    "arsenic": (166, "hexagonal", ((0, 0, 0, 0.232),)),
    "tellurium": (152, "hexagonal", ((0, 0.245, 0, 1 / 3),)),
    "Cu3Au": (221, "cubic", ((1, 0, 0, 0), (0, 0.5, 0.5, 0))),
    "L1_0": (123, "tetragonal", ((0, 0, 0, 0), (0, 0.5, 0.5, 0), (1, 0.5, 0, 0.5))),
    "K2NiF4": (139, "tetragonal", ((0, 0, 0, 0.353), (1, 0, 0, 0), (2, 0, 0.5, 0), (2, 0, 0, 0.155))),
    "quartz": (154, "hexagonal", ((0, 0.465, 0, 2 / 3), (1, 0.41, 0.275, 0.78))),
    "cristobalite": (92, "tetragonal", ((0, 0.3003, 0.3003, 0), (1, 0.2392, 0.1044, 0.1787))),
    "calcite": (167, "hexagonal", ((0, 0, 0, 0), (1, 0, 0, 0.25), (2, 0.265, 0, 0.25))),
    "aragonite": (
        62,
        "orthorhombic",
        ((0, 0.756, 0.25, 0.4155), (1, -0.086, 0.25, 0.76), (2, -0.094, 0.25, 0.914), (2, -0.087, 0.468, 0.681)),
    ),
    "nitrate": (205, "cubic", ((0, 0, 0, 0), (1, 0.352, 0.352, 0.352), (2, 0.279, 0.284, 0.477))),
    "zabuyelite": (
        15,
        "monoclinic",
        ((0, 0.1965, 0.4488, 0.8346), (1, 0, 0.0655, 0.25), (2, 0, 0.3209, 0.25), (2, 0.1459, -0.0661, 0.3134)),
    ),
    "CaC2": (139, "tetragonal", ((0, 0, 0, 0), (1, 0, 0, 0.391))),
    "LiOH": (129, "tetragonal", ((0, 0, 0, 0), (1, 0, 0.5, 0.194), (2, 0, 0.5, 0.407))),
    "La2O3": (164, "hexagonal", ((0, 1 / 3, 2 / 3, 0.2467), (1, 0, 0, 0), (1, 1 / 3, 2 / 3, 0.647))),
    "Sr3Ti2O7": (
        139,
        "tetragonal",
        ((0, 0, 0, 0.5), (0, 0, 0, 0.3126), (1, 0, 0, 0.0977), (2, 0, 0, 0), (2, 0, 0, 0.1939), (2, 0, 0.5, 0.0952)),
    ),
    "Li2MnO3": (
        12,
        "monoclinic",
        (
            (0, 0, 0.5, 0),
            (0, 0, 0, 0.5),
            (0, 0, 0.6606, 0.5),
            (1, 0, 0.1671, 0),
            (2, 0.2189, 0, 0.2273),
            (2, 0.254, 0.3211, 0.2233),
        ),
    ),
    "dolomite": (
        148,
        "hexagonal",
        ((0, 0, 0, 0), (1, 0, 0, 0.5), (2, 0, 0, 0.2429), (3, 0.248, -0.0353, 0.244)),
    ),
    "pyrite": (205, "cubic", ((0, 0, 0, 0), (1, 0.388, 0.388, 0.388))),
    "marcasite": (58, "orthorhombic", ((0, 0, 0, 0), (1, 0.2, 0.378, 0))),
    "CdI2": (164, "hexagonal", ((0, 0, 0, 0), (1, 1 / 3, 2 / 3, 0.25))),
    "brucite": (164, "hexagonal", ((0, 0, 0, 0), (1, 1 / 3, 2 / 3, 0.225), (2, 1 / 3, 2 / 3, 0.42))),
    "CdCl2": (166, "hexagonal", ((0, 0, 0, 0), (1, 0, 0, 0.255))),
    "Bi2Te3": (166, "hexagonal", ((0, 0, 0, 0.4), (1, 0, 0, 0), (1, 0, 0, 0.21))),
    "MoS2": (194, "hexagonal", ((0, 1 / 3, 2 / 3, 0.25), (1, 1 / 3, 2 / 3, 0.621))),
    "h-BN": (194, "hexagonal", ((0, 1 / 3, 2 / 3, 0.25), (1, 1 / 3, 2 / 3, 0.75))),
    "LiCoO2": (166, "hexagonal", ((0, 0, 0, 0.5), (1, 0, 0, 0), (2, 0, 0, 0.26))),
    "delafossite": (166, "hexagonal", ((0, 0, 0, 0), (1, 0, 0, 0.5), (2, 0, 0, 0.108))),
    "chalcopyrite": (122, "tetragonal", ((0, 0, 0, 0), (1, 0, 0, 0.5), (2, 0.24, 0.25, 0.125))),
    "cuprite": (224, "cubic", ((1, 0, 0, 0), (0, 0.25, 0.25, 0.25))),
    "litharge": (129, "tetragonal", ((1, 0, 0, 0), (0, 0, 0.5, 0.238))),
    "tenorite": (15, "monoclinic", ((0, 0.25, 0.25, 0), (1, 0, 0.4184, 0.25))),
    "baddeleyite": (
        14,
        "monoclinic",
        ((0, 0.2754, 0.0395, 0.2083), (1, 0.07, 0.3317, 0.3447), (1, 0.4496, 0.7569, 0.4792)),
    ),
    "MoO3": (
        PBNM,
        "orthorhombic",
        ((0, 0.0867, 0.1016, 0.25), (1, 0.4994, 0.4351, 0.25), (1, 0.5212, 0.0866, 0.25), (1, 0.0373, 0.2214, 0.25)),
    ),
    "olivine": (
        PBNM,
        "orthorhombic",
        (
            (0, 0, 0, 0),
            (0, 0.9915, 0.2774, 0.25),
            (1, 0.4262, 0.094, 0.25),
            (2, 0.7657, 0.0913, 0.25),
            (2, 0.2215, 0.4474, 0.25),
            (2, 0.2777, 0.1628, 0.0331),
        ),
    ),
    "AlB2": (191, "hexagonal", ((0, 0, 0, 0), (1, 1 / 3, 2 / 3, 0.5))),
    "LaB6": (221, "cubic", ((0, 0, 0, 0), (1, 0.1993, 0.5, 0.5))),
    "WC": (187, "hexagonal", ((0, 0, 0, 0), (1, 1 / 3, 2 / 3, 0.5))),
    "MgCu2": (227, "cubic", ((0, 0, 0, 0), (1, 0.625, 0.625, 0.625))),
    "MgZn2": (194, "hexagonal", ((0, 1 / 3, 2 / 3, 0.062), (1, 0, 0, 0), (1, 0.83, 0.66, 0.25))),
    "Heusler": (225, "cubic", ((0, 0.25, 0.25, 0.25), (1, 0.5, 0.5, 0.5), (2, 0, 0, 0))),
    "half-Heusler": (216, "cubic", ((0, 0.25, 0.25, 0.25), (1, 0, 0, 0), (2, 0.5, 0.5, 0.5))),
    "A15": (223, "cubic", ((1, 0, 0, 0), (0, 0.25, 0, 0.5))),
    "skutterudite": (204, "cubic", ((0, 0.25, 0.25, 0.25), (1, 0, 0.335, 0.158))),
    "MoSi2": (139, "tetragonal", ((0, 0, 0, 0), (1, 0, 0, 0.3353))),
    "Al2Cu": (140, "tetragonal", ((1, 0, 0, 0.25), (0, 0.158, 0.658, 0))),
    "cementite": (62, "orthorhombic", ((0, 0.036, 0.25, 0.852), (0, 0.186, 0.063, 0.328), (1, 0.89, 0.25, 0.45))),
    "K2PtCl6": (225, "cubic", ((0, 0.25, 0.25, 0.25), (1, 0, 0, 0), (2, 0.241, 0, 0))),
    "elpasolite": (225, "cubic", ((0, 0.25, 0.25, 0.25), (1, 0.5, 0.5, 0.5), (2, 0, 0, 0), (3, 0.235, 0, 0))),
}
"""Space group (first origin, hexagonal axes), lattice, and sites as (element, x, y, z)."""

CELLS: dict[str, str] = {
    "rocksalt": """Li-F 4.027; Li-Cl 5.140; Li-Br 5.501; Na-F 4.634; Na-Cl 5.640; Na-Br 5.977; Na-I 6.473; K-F 5.347;
        K-Cl 6.293; K-Br 6.600; K-I 7.066; Rb-F 5.652; Rb-Cl 6.581; Rb-Br 6.889; Rb-I 7.342; Cs-F 6.010; Ag-F 4.936;
        Ag-Cl 5.549; Ag-Br 5.775; Mg-O 4.212; Ca-O 4.811; Sr-O 5.160; Ba-O 5.539; Mg-S 5.200; Ca-S 5.695; Sr-S 6.020;
        Ba-S 6.387; Ca-Se 5.916; Pb-S 5.936; Pb-Se 6.124; Pb-Te 6.462; Sn-Te 6.327; Fe-O 4.307; Co-O 4.260; Ni-O 4.177;
        Mn-O 4.445; Mn-S 5.224; V-O 4.063; Cd-O 4.695; Eu-O 5.141; Ti-N 4.242; Ti-C 4.328; Zr-N 4.578; Zr-C 4.698;
        Hf-C 4.638; V-N 4.139; Nb-C 4.470; Nb-N 4.392; Ta-C 4.456; Cr-N 4.149; Sc-N 4.503; U-N 4.889; La-N 5.301""",
    "CsCl": """Cs-Cl 4.123; Cs-Br 4.286; Cs-I 4.567; Tl-Cl 3.834; Ni-Al 2.887; Co-Al 2.862; Fe-Al 2.909; Ni-Ti 3.015;
        Cu-Zn 2.953; Ag-Mg 3.312; Fe-Ti 2.976""",
    "zincblende": """Zn-S 5.410; Zn-Se 5.669; Zn-Te 6.103; Cd-Te 6.482; Cd-S 5.832; Ga-As 5.653; Ga-P 5.451;
        Ga-Sb 6.096; In-P 5.869; In-As 6.058; In-Sb 6.479; Al-P 5.464; Al-As 5.661; Al-Sb 6.136; Si-C 4.360; B-N 3.616;
        B-P 4.538; Cu-Cl 5.416; Cu-Br 5.691; Cu-I 6.052; Be-S 4.870""",
    "wurtzite": """Zn-O 3.250 5.207; Zn-S 3.823 6.261; Cd-S 4.137 6.716; Cd-Se 4.300 7.011; Al-N 3.112 4.982;
        Ga-N 3.189 5.186; In-N 3.545 5.703; Be-O 2.698 4.377; Ag-I 4.592 7.510""",
    "fluorite": """Ca-F 5.463; Sr-F 5.800; Ba-F 6.200; Cd-F 5.388; Pb-F 5.940; Ce-O 5.411; Th-O 5.597; U-O 5.471;
        Sr-Cl 6.977; Zr-O 5.090; Co-Si 5.365; Ni-Si 5.406; Au-Al 5.997; O-Li 4.619; O-Na 5.550; O-K 6.436; S-Li 5.708;
        S-Na 6.526; S-K 7.391; Si-Mg 6.351; Ge-Mg 6.385; Sn-Mg 6.763; C-Be 4.342; Se-Li 6.002""",
    "rutile": """Ti-O 4.594 2.959; Sn-O 4.738 3.187; Mn-O 4.398 2.873; Ru-O 4.492 3.107; Ir-O 4.505 3.158;
        Pb-O 4.955 3.383; Ge-O 4.395 2.860; V-O 4.555 2.851; Cr-O 4.421 2.916; Mg-F 4.623 3.052; Zn-F 4.703 3.134;
        Fe-F 4.697 3.309; Ni-F 4.651 3.084; Mn-F 4.873 3.310; Si-O 4.179 2.665""",
    "anatase": "Ti-O 3.785 9.514",
    "corundum": """Al-O 4.759 12.991; Cr-O 4.959 13.594; Fe-O 5.036 13.749; V-O 4.952 14.003; Ti-O 5.158 13.611;
        Ga-O 4.983 13.433""",
    "ilmenite": "Fe-Ti-O 5.088 14.086; Mn-Ti-O 5.139 14.283; Mg-Ti-O 5.055 13.898; Ni-Ti-O 5.031 13.788",
    "LiNbO3": "Li-Nb-O 5.148 13.863; Li-Ta-O 5.154 13.783",
    "perovskite": """Sr-Ti-O 3.905; K-Ta-O 3.989; Ba-Zr-O 4.193; Ba-Sn-O 4.117; Sr-V-O 3.843; Sr-Fe-O 3.851;
        Ba-Hf-O 4.171; K-Mg-F 3.989; K-Mn-F 4.190; K-Ni-F 4.012; K-Co-F 4.071; K-Zn-F 4.055; Cs-Pb-Cl 5.605;
        Cs-Pb-Br 5.874; Ba-Li-F 3.996; Rb-Mn-F 4.240""",
    "P4mm": "Ba-Ti-O 3.994 4.034; Pb-Ti-O 3.904 4.152",
    "GdFeO3": """Ca-Ti-O 5.380 5.440 7.639; La-Fe-O 5.557 5.565 7.854; Gd-Fe-O 5.349 5.611 7.669;
        La-Mn-O 5.537 5.747 7.693; Y-Al-O 5.180 5.330 7.375; Sr-Zr-O 5.792 5.818 8.196; Ca-Zr-O 5.591 5.758 8.006""",
    "LaAlO3": "La-Al-O 5.365 13.110; La-Ni-O 5.457 13.146; La-Co-O 5.444 13.093",
    "ReO3": "Re-O 3.747",
    "spinel": """Mg-Al-O 8.083; Zn-Al-O 8.086; Co-Al-O 8.106; Mg-Cr-O 8.333; Zn-Cr-O 8.327; Fe-Cr-O 8.378;
        Mn-Cr-O 8.437; Fe-Fe-O 8.396; Zn-Fe-O 8.441; Co-Co-O 8.084; Li-Mn-O 8.247; Zn-Ga-O 8.334; Fe-Fe-S 9.876;
        Zn-Cr-S 9.988; Cd-Cr-S 10.244""",
    "garnet": "Y-Al-Al-O 12.008; Gd-Ga-Ga-O 12.383; Y-Fe-Fe-O 12.376; Mg-Al-Si-O 11.459; Ca-Al-Si-O 11.845",
    "bixbyite": "Y-O 10.604; In-O 10.117; Gd-O 10.813; Sc-O 9.845; Mn-O 9.410; Yb-O 10.434",
    "NiAs": """Ni-As 3.619 5.034; Ni-S 3.437 5.354; Mn-Te 4.148 6.711; Mn-As 3.724 5.706; Ni-Sb 3.934 5.138;
        Mn-Sb 4.128 5.784; Co-Te 3.886 5.360""",
    "fcc": """Al 4.050; Cu 3.615; Ag 4.086; Au 4.078; Ni 3.524; Pd 3.891; Pt 3.924; Pb 4.951; Ir 3.839; Rh 3.803;
        Ca 5.588; Sr 6.084; Ce 5.161; Th 5.084""",
    "bcc": "Fe 2.866; Cr 2.885; W 3.165; Mo 3.147; V 3.024; Nb 3.301; Ta 3.303; Li 3.510; Na 4.291; K 5.330; Ba 5.023",
    "hcp": """Mg 3.209 5.211; Ti 2.951 4.684; Zn 2.665 4.947; Zr 3.232 5.147; Co 2.507 4.069; Cd 2.979 5.617;
        Be 2.286 3.584; Ru 2.706 4.282; Re 2.761 4.456; Y 3.647 5.731; Sc 3.309 5.268; Gd 3.636 5.783""",
    "diamond": "C 3.567; Si 5.431; Ge 5.658; Sn 6.489",
    "graphite": "C 2.461 6.708",
    "indium": "In 3.252 4.947",
    "white tin": "Sn 5.831 3.182",
    "arsenic": "As 3.760 10.548; Sb 4.307 11.273; Bi 4.546 11.862",
    "tellurium": "Te 4.457 5.929; Se 4.366 4.954",
    "Cu3Au": "Cu-Au 3.748; Ni-Al 3.572",
    "L1_0": "Fe-Pt 3.852 3.713; Ti-Al 4.005 4.070; Cu-Au 3.960 3.670",
    "K2NiF4": """K-Ni-F 4.012 13.076; La-Cu-O 3.807 13.156; Sr-Ti-O 3.886 12.600; La-Ni-O 3.860 12.690;
        Sr-Ru-O 3.871 12.739; Sr-Sn-O 4.053 12.580; K-Zn-F 4.058 13.109""",
    "quartz": "Si-O 4.913 5.405; Ge-O 4.985 5.647",
    "cristobalite": "Si-O 4.972 6.922",
    "calcite": """Ca-C-O 4.990 17.061; Mg-C-O 4.633 15.015; Fe-C-O 4.692 15.380; Mn-C-O 4.777 15.664;
        Zn-C-O 4.653 15.026; Cd-C-O 4.923 16.298; Co-C-O 4.658 14.958; Na-N-O 5.070 16.820; Li-N-O 4.692 15.220""",
    "aragonite": """Ca-C-O 5.740 4.961 7.967; Sr-C-O 5.997 5.090 8.358; Ba-C-O 6.428 5.313 8.896;
        Pb-C-O 6.134 5.180 8.492""",
    "nitrate": "Ca-N-O 7.600; Sr-N-O 7.780; Ba-N-O 8.119; Pb-N-O 7.857",
    "zabuyelite": "Li-C-O 8.359 4.973 6.197 114.83",
    "CaC2": "Ba-O 3.816 6.851; Sr-O 3.563 6.616",
    "LiOH": "Li-O-H 3.549 4.334",
    "La2O3": "La-O 3.937 6.130",
    "Sr3Ti2O7": "Sr-Ti-O 3.904 20.370",
    "Li2MnO3": "Li-Mn-O 4.937 8.532 5.030 109.46",
    "dolomite": "Ca-Mg-C-O 4.808 16.002",
    "pyrite": "Fe-S 5.418; Co-S 5.538; Ni-S 5.687; Mn-S 6.104; Ru-S 5.610; Pt-As 5.968; Au-Sb 6.658",
    "marcasite": "Fe-S 4.443 5.425 3.387",
    "CdI2": """Cd-I 4.240 6.840; Ti-S 3.407 5.695; Sn-S 3.648 5.899; Zr-S 3.662 5.813; Ti-Se 3.540 6.008;
        Pt-S 3.543 5.039; Pt-Se 3.728 5.081; Mg-I 4.150 6.880; Mg-Br 3.810 6.260; Ni-Te 3.843 5.265; Hf-S 3.630 5.854;
        Pb-I 4.557 6.979""",
    "brucite": "Mg-O-H 3.148 4.779; Ca-O-H 3.589 4.911; Ni-O-H 3.126 4.605; Co-O-H 3.183 4.652",
    "CdCl2": "Cd-Cl 3.846 17.480; Mg-Cl 3.636 17.666; Fe-Cl 3.598 17.536; Ni-Cl 3.478 17.410; Mn-Cl 3.711 17.590",
    "Bi2Te3": "Bi-Te 4.385 30.490; Bi-Se 4.143 28.636; Sb-Te 4.264 30.458",
    "MoS2": "Mo-S 3.160 12.294; W-S 3.153 12.323; Mo-Se 3.289 12.927; W-Se 3.282 12.960",
    "h-BN": "B-N 2.504 6.661",
    "LiCoO2": "Li-Co-O 2.816 14.054; Li-Ni-O 2.878 14.190",
    "delafossite": "Cu-Al-O 2.857 16.943; Cu-Fe-O 3.035 17.162; Cu-Cr-O 2.976 17.100",
    "chalcopyrite": "Cu-Fe-S 5.289 10.423; Cu-In-Se 5.782 11.619; Cu-In-S 5.523 11.140; Cu-Ga-S 5.351 10.470",
    "cuprite": "Cu-O 4.270; Ag-O 4.720",
    "litharge": "Pb-O 3.976 5.023; Sn-O 3.802 4.836; Se-Fe 3.773 5.526",
    "tenorite": "Cu-O 4.684 3.423 5.129 99.54",
    "baddeleyite": "Zr-O 5.150 5.212 5.317 99.23; Hf-O 5.117 5.175 5.291 99.22",
    "MoO3": "Mo-O 3.963 13.855 3.696",
    "olivine": "Mg-Si-O 4.756 10.207 5.980; Fe-Si-O 4.822 10.488 6.094; Ca-Si-O 5.081 11.224 6.778",
    "AlB2": "Mg-B 3.086 3.524; Ti-B 3.030 3.230; Zr-B 3.169 3.530; Cr-B 2.973 3.072; V-B 2.998 3.057; Ta-B 3.088 3.241",
    "LaB6": "La-B 4.157; Ca-B 4.152",
    "WC": "W-C 2.906 2.837",
    "MgCu2": "Mg-Cu 7.034; Zr-Fe 7.070; Y-Al 7.860",
    "MgZn2": "Mg-Zn 5.220 8.570",
    "Heusler": "Cu-Mn-Al 5.950",
    "half-Heusler": "Ni-Mn-Sb 5.920; Ni-Zr-Sn 6.110; Ni-Ti-Sn 5.930; Co-Ti-Sb 5.884",
    "A15": "Nb-Sn 5.290; Cr-Si 4.558; V-Si 4.725",
    "skutterudite": "Co-Sb 9.036; Co-As 8.205",
    "MoSi2": "Mo-Si 3.203 7.855; W-Si 3.211 7.868",
    "Al2Cu": "Al-Cu 6.067 4.877",
    "cementite": "Fe-C 5.091 6.743 4.526",
    "K2PtCl6": "K-Pt-Cl 9.755; Cs-Sn-Cl 10.360",
    "elpasolite": "Cs-Ag-Bi-Br 11.271; Cs-Na-Bi-Cl 10.840; K-Na-Al-F 8.122",
}
"""Compounds of each type: elements in the order of the type's sites, then a, b, c and beta as far as they are free."""


@lru_cache(maxsize=1)
def library() -> tuple[Phase, ...]:
    """All phases; ids such as `TiO2-rutile`."""
    phases = []
    for name, table in CELLS.items():
        for entry in table.split(";"):
            elements, *cell = entry.split()
            phases.append(_phase(name, elements.split("-"), [float(x) for x in cell]))
    return tuple(phases)


def _phase(name: str, elements: list[str], cell: list[float]) -> Phase:
    from pymatgen.core import Lattice

    kinds, coordinates = _sites(name)
    crystal = Crystal(
        lattice=lattice_rows(getattr(Lattice, TYPES[name][1])(*cell).matrix),
        species=tuple(elements[kind] for kind in kinds),
        frac_coords=site_rows(coordinates),
    )
    formula = reduced_formula(crystal)
    return Phase(id=f"{formula}-{name.replace(' ', '-')}", formula=formula, crystal=crystal)


@lru_cache(maxsize=len(TYPES))
def _sites(name: str) -> tuple[list[int], Floats]:
    """All atoms of the cell: their kinds, and fractional coordinates."""
    from ase.spacegroup import Spacegroup

    group, _, sites = TYPES[name]
    kinds: list[int] = []
    coordinates = []
    for kind, *position in sites:
        turned = np.roll(position, -1) if group == PBNM else np.array(position)
        found, _ = Spacegroup(abs(group)).equivalent_sites([turned], onduplicates="keep", symprec=1e-4)
        coordinates.append(np.roll(found, 1, axis=1) if group == PBNM else found)
        kinds += [kind] * len(found)
    return kinds, np.mod(np.concatenate(coordinates), 1.0)


def elements_of(phase: Phase) -> frozenset[str]:
    """Its chemical elements."""
    return frozenset(phase.crystal.species)
