"""Outputs in the form of VASP's, written by these tests and by no VASP: it needs a licence, and none is here.

The form is that of vasprun.xml as ASE reads it; the numbers are a test's own.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

POTCAR = """  PAW_PBE {element} stand-in for tests
   {zval}
 parameters from PSCTR are:
   VRHFIN ={element}: a test wrote this
   LEXCH  = {lexch}
   POMASS =   28.085; ZVAL   =   {zval}    mass and valenz
 End of Dataset
"""


def write_potcar(folder: Path, name: str, element: str, zval: float = 4.0, lexch: str = "PE") -> None:
    """A file with the head of a POTCAR, and nothing behind it."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "POTCAR").write_text(POTCAR.format(element=element, zval=zval, lexch=lexch))


def vasprun(
    species: Sequence[str],
    lattice: Sequence[Sequence[float]],
    places: Sequence[Sequence[float]],
    *,
    energy: float | str = -10.0,
    forces: Sequence[Sequence[float]] | None = None,
    steps: int = 5,
    levels: Sequence[Sequence[float]] = ((-3.0, -1.0, 1.5, 3.0),),
    fermi: float = 0.0,
) -> str:
    """A document of one single point with one k-point: levels are spins x bands, occupied below `fermi`."""

    def rows(table: Sequence[Sequence[float]]) -> str:
        return "".join(f"<v>{' '.join(f'{x:.8f}' for x in row)}</v>" for row in table)

    atoms = "".join(f"<rc><c>{el}</c><c>1</c></rc>" for el in species)
    structure = (
        f'<crystal><varray name="basis">{rows(lattice)}</varray></crystal>'
        f'<varray name="positions">{rows(places)}</varray>'
    )
    energies = f'<energy><i name="e_fr_energy">{energy}</i><i name="e_0_energy">{energy}</i></energy>'
    sets = "".join(
        f'<set comment="spin {s + 1}"><set comment="kpoint 1">'
        + "".join(f"<r>{e:.4f} {1.0 if e < fermi else 0.0}</r>" for e in of_spin)
        + "</set></set>"
        for s, of_spin in enumerate(levels)
    )
    zeros = [[0.0] * 3] * 3
    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<modeling>'
        '<generator><i name="program" type="string">vasp</i></generator>'
        '<kpoints><varray name="kpointlist"><v>0.0 0.0 0.0</v></varray>'
        '<varray name="weights"><v>1.0</v></varray></kpoints>'
        '<parameters><i type="int" name="NELM">200</i></parameters>'
        f'<atominfo><array name="atoms"><set>{atoms}</set></array></atominfo>'
        f'<structure name="initialpos">{structure}</structure>'
        f"<calculation>{''.join(f'<scstep>{energies}</scstep>' for _ in range(steps))}"
        f"<structure>{structure}</structure>"
        f'<varray name="forces">{rows(forces or [[0.0] * 3] * len(species))}</varray>'
        f'<varray name="stress">{rows(zeros)}</varray>{energies}'
        f"<eigenvalues><array><set>{sets}</set></array></eigenvalues>"
        f'<dos><i name="efermi">{fermi}</i></dos></calculation></modeling>\n'
    )


def program(folder: Path, files: dict[str, str], printed: str = "", code: int = 0) -> str:
    """A program that answers every input with the same files, and notes the input that it was given."""
    answers = folder / "answers"
    answers.mkdir(exist_ok=True)
    for name, text in files.items():
        (answers / name).write_text(text)
    (folder / "printed.txt").write_text(printed)
    fake = folder / "vasp-stand-in-for-tests"
    fake.write_text(
        "#!/bin/sh\nif [ ! -f INCAR ]; then echo ' vasp.0.0.0 stand-in for tests'; exit 1; fi\n"
        f"cat POTCAR > '{folder}/potcar-seen'\n"
        f"cp '{answers}'/* . 2>/dev/null\ncat '{folder}/printed.txt'\nexit {code}\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    return str(fake)
