"""Potentials by name: the built-in ones, installed entry points, and factories given as `module:factory`.

Relaxed by forces, or (`method="bowsr"`) by energies alone, which any of them has.

A factory is called with keywords, and only with those that the settings give: `model` (a path or a name) and `device`.
It answers an ASE calculator, or a `BatchModel` that states its own record; for `method="bowsr"` also an `EnergyModel`
that does, and there a calculator need know no forces. So `mace.calculators:mace_mp` works as it is; for another
signature a module of a few lines stands in between:

    def orb(model="orb_v3_conservative_inf_mpa", device="cpu"):
        from orb_models.forcefield import pretrained
        from orb_models.forcefield.calculator import ORBCalculator

        return ORBCalculator(getattr(pretrained, model)(device=device), device=device)
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError, ToolError
from ..core.protocols import Potential
from ..core.types import PotentialRecord
from .ase_calculator import AseModel
from .batched import BatchedPotential
from .bowsr import BowsrPotential
from .energy_models import AseEnergies, BatchEnergies, EnergyModel
from .models import BatchModel, digest
from .settings import Method, RelaxationSettings

ENTRY_POINTS = "lodestone.potentials"
"""Entry-point group of third-party potentials: a name to a factory."""

BUILT_IN = ("chgnet", "sevennet-0", "sevennet-l3i5")


def potential_names() -> tuple[str, ...]:
    """Every potential that can be named: the built-in ones, then installed ones by name."""
    installed = {point.name for point in metadata.entry_points(group=ENTRY_POINTS)}
    return (*BUILT_IN, *sorted(installed - set(BUILT_IN)))


def make_potential(
    name: str,
    settings: RelaxationSettings | None = None,
    model: str = "",
    device: str = "auto",
    method: Method = "gradient",
) -> Potential:
    """A potential by name.

    Args:
        name: from `potential_names()`, or `module:factory`.
        settings: of its relaxations.
        model: path of a file of weights, instead of the built-in ones; given to a factory as `model`.
        device: `auto`, `cpu` or `cuda`; given to a factory as `device` unless it is `auto`.
        method: `gradient` follows forces and stress; `bowsr` searches the free parameters for the lowest energy, with
            the space group kept (`bowsr.py`). Name and energies are the model's either way.

    Raises:
        ConfigError: for an unknown name, or a factory that cannot be imported or gives something else.
        ToolError: for weights that cannot be read.
    """
    if name in BUILT_IN:
        potential = _built_in(name, settings, Path(model).expanduser() if model else None, device)
        if method == "gradient":
            return potential
        return BowsrPotential(potential.name, lambda: BatchEnergies(potential.model), settings)
    arguments = ({"model": model} if model else {}) | ({"device": device} if device != "auto" else {})
    made = _made(name, arguments, method)
    if isinstance(made, BatchModel):
        return BatchedPotential(made.record.name, lambda: made, settings)
    return BowsrPotential(made.record.name, lambda: made, settings)


def _built_in(name: str, settings: RelaxationSettings | None, weights: Path | None, device: str) -> BatchedPotential:
    if name == "chgnet":
        from .chgnet import ChgnetPotential

        return ChgnetPotential(settings, device, weights)
    from .sevennet import SevenNetPotential

    return SevenNetPotential(name, settings, device, weights)


def _made(name: str, arguments: dict[str, str], method: Method) -> BatchModel | EnergyModel:
    """What a factory makes: for gradients a `BatchModel`, else an `EnergyModel`. Not at first use, as with the others:
    its name is known only then."""
    from ase.calculators.calculator import BaseCalculator

    factory, module = _factory(name)
    try:
        made = factory(**arguments)
    except Exception as error:
        raise ToolError(
            f"Potential '{name}' cannot be made: {type(error).__name__}: {error}",
            f"It was given {arguments or 'nothing'}; see [relax] model and device.",
        ) from error
    if isinstance(made, BatchModel):
        return made if method == "gradient" else BatchEnergies(made)
    if isinstance(made, EnergyModel) and method == "bowsr":
        return made
    if not isinstance(made, BaseCalculator):
        expected = "a BatchModel" if method == "gradient" else "a BatchModel, an EnergyModel"
        raise ConfigError(
            f"Potential '{name}' gives a {type(made).__name__}.", f"Expected: an ASE calculator or {expected}."
        )
    record = _record(name, module, arguments.get("model", ""))
    return AseModel(made, record) if method == "gradient" else AseEnergies(made, record)


def _factory(name: str) -> tuple[Callable[..., Any], str]:
    """The factory of an entry point or a path, and the module that it comes from."""
    points = [point for point in metadata.entry_points(group=ENTRY_POINTS) if point.name == name]
    path = points[0].value if points else name
    module, _, attribute = path.partition(":")
    if not attribute:
        near = get_close_matches(name, potential_names(), n=1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise ConfigError(
            f"Unknown potential '{name[:80]}' in [relax].", f"{hint}Known: {', '.join(potential_names())}."
        )
    try:
        return getattr(importlib.import_module(module), attribute), module
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"Potential '{name[:80]}' cannot be imported: {error}.",
            f"Install the package of '{module}', or correct [relax] potential.",
        ) from error


def _record(name: str, module: str, model: str) -> PotentialRecord:
    """What can be known of a factory's calculator from outside: its package, and the file of its weights."""
    found = metadata.packages_distributions().get(module.partition(".")[0], [])
    package, version, licence = (module, "", "not stated") if not found else _package(found[0])
    file = Path(model).expanduser()
    checksum = digest(file) if model and file.is_file() else ""
    short = name.rpartition(":")[2]
    parts = (short, checksum[:8] or model.replace("/", "_"), version)
    return PotentialRecord(
        name="-".join(part for part in parts if part),
        package=f"{package} {version}".strip(),
        sha256=checksum,
        licence=f"{licence} (of the package)" if found else licence,
        elements=None,
    )


def _package(distribution: str) -> tuple[str, str, str]:
    table = metadata.metadata(distribution)
    named = [table[field].partition("\n")[0] for field in ("License-Expression", "License") if field in table]
    return distribution, metadata.version(distribution), named[0] if named else "not stated"
