"""What runs on a worker. Text in, text out: results are parsed and checked, never unpickled objects of ours."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from functools import cache
from typing import Any

import numpy as np

from ...tools.core.types import Candidate, ChemicalSpace, Crystal, StructureWish
from ...tools.evaluate.process import die_with_parent


@cache
def made(factory: str, arguments: str) -> Any:
    """An object by `module:function` and JSON arguments, once a worker process."""
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)(**json.loads(arguments))


def relax(factory: str, arguments: str, crystals: str) -> str:
    """Relax [[id, crystal], …]; a JSON list of relaxations."""
    potential = made(factory, arguments)
    pairs = [(str(i), Crystal.model_validate(c)) for i, c in json.loads(crystals)]
    return json.dumps([r.model_dump(mode="json") for r in potential.relax(pairs)])


def energies(factory: str, arguments: str, crystals: str) -> str:
    """Single-point energies (eV/atom) of [crystal, …]."""
    potential = made(factory, arguments)
    return json.dumps(potential.energies([Crystal.model_validate(c) for c in json.loads(crystals)]))


def propose(factory: str, arguments: str, space: str, count: str, state: str, told: str) -> str:
    """Ask a generator for crystals, from a given state of the random numbers; `told` is what the loop told it."""
    generator = made(factory, arguments)
    rng = np.random.default_rng()
    rng.bit_generator.state = json.loads(state)
    if hasattr(generator, "known"):
        generator.known = frozenset()
    if hasattr(generator, "parents"):
        generator.parents = tuple(Candidate.model_validate(p) for p in json.loads(told)["parents"])
    if hasattr(generator, "wish"):
        generator.wish = StructureWish.model_validate(json.loads(told)["wish"])
    found = generator.propose(ChemicalSpace.model_validate_json(space), int(count), rng)
    return json.dumps(
        {"candidates": [c.model_dump(mode="json") for c in found], "state": rng.bit_generator.state}, default=int
    )


def evaluate(root: str, order: str) -> str:
    """Work through an order in the foreground; the claim in the shared folder keeps a second run from repeating it."""
    command = [sys.executable, "-P", "-m", "lodestone.tools.evaluate.worker", root, order, "--foreground"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, preexec_fn=die_with_parent
    )
    return f"{done.returncode} {done.stderr[-500:]}"
