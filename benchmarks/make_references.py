"""Makes the shipped table of elemental references: `python -m benchmarks.make_references [SYMBOL ...]`.

Relaxes the plausible structures of each element (all up to bismuth but the noble gases, Po and At by default) with
CHGNet and writes the lowest of each beside `references.py`. About half an hour on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lodestone.tools.core.errors import ToolError
from lodestone.tools.evaluate.references import (
    Reference,
    compute_reference,
    reference_structures,
    references_table,
)
from lodestone.tools.relax.chgnet import ChgnetPotential
from lodestone.tools.relax.settings import RelaxationSettings

NOBLE = {"He", "Ne", "Ar", "Kr", "Xe"}


def main(arguments: list[str] | None = None) -> int:
    """Compute the table; 1 when an element has no relaxed structure (the others are written all the same)."""
    from pymatgen.core import Element

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("symbols", nargs="*", help="elements; all common ones by default")
    parser.add_argument("--output", type=Path, help="file to write; by default the one that is shipped")
    options = parser.parse_args(arguments)
    symbols = options.symbols or [s for z in range(1, 84) if (s := Element.from_Z(z).symbol) not in NOBLE]

    potential = ChgnetPotential(RelaxationSettings(fmax=0.03, max_steps=300))
    package = Path(__file__).parents[1] / "tools" / "evaluate"
    output = options.output or package / f"references_{potential.name}.json"
    rows: list[Reference] = []
    missing = 0
    for symbol in symbols:
        try:
            row = compute_reference(symbol, potential)
        except ToolError as error:
            missing += 1
            print(error, file=sys.stderr)
            continue
        rows.append(row)
        count = len(reference_structures(symbol))
        print(f"{symbol:2s} {row.energy_per_atom:9.4f} eV/atom  {row.structure} (lowest of {count})", flush=True)
        output.write_text(references_table(potential.name, rows), encoding="utf-8")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
