"""Approved recipe templates: whatever a planner says fills bounded fields of one of them, and nothing else.

A template counts once a person has signed its digest. What is not here: choosing the values (`recipes/`), and the
interlocks, which hold for an approved recipe as for any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from ..core.errors import LabError
from ..core.synthesis import Atmosphere, Recipe
from ..core.types import Frozen
from .approval import Approval, why_not
from .instrument import Crucible

Range = Annotated[tuple[float, float], Field(description="lowest and highest")]


class Template(Frozen):
    """A class of syntheses with the limits of its fields. Temperatures in K, times in the unit of the name."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    summary: str
    temperature_k: Range
    hold_h: Range
    ramp_k_per_min: Range
    mill_min: Range
    regrinds: Annotated[int, Field(ge=0, le=5)]
    atmospheres: tuple[Atmosphere, ...] = Field(min_length=1)
    crucibles: tuple[Crucible, ...] = Field(min_length=1)
    powder_mass_g: Range
    """Of each powder."""
    total_mass_g: float
    banned: tuple[str, ...] = ()
    """Elements that have no place in it."""

    def subject(self) -> str:
        """What a person signs to approve it."""
        return f"template {self.name} {self.digest()}"


OXIDE_IN_AIR = Template(
    name="oxide_in_air",
    summary="Oxides and carbonates, ground and fired in air or oxygen",
    temperature_k=(873.15, 1673.15),
    hold_h=(1.0, 48.0),
    ramp_k_per_min=(1.0, 10.0),
    mill_min=(5.0, 120.0),
    regrinds=3,
    atmospheres=("air", "oxygen"),
    crucibles=("alumina", "zirconia", "magnesia", "platinum"),
    powder_mass_g=(0.01, 5.0),
    total_mass_g=10.0,
    banned=("Br", "Cl", "F", "I", "S", "Se", "Te"),
)
OXIDE_IN_ARGON = OXIDE_IN_AIR.model_copy(
    update={
        "name": "oxide_in_argon",
        "summary": "Oxides fired without oxygen, for cations that must not be oxidised",
        "atmospheres": ("argon", "nitrogen"),
        "crucibles": ("alumina", "zirconia", "magnesia"),
    }
)
REDUCTION_IN_HYDROGEN = OXIDE_IN_ARGON.model_copy(
    update={
        "name": "reduction_in_hydrogen",
        "summary": "Oxides reduced in hydrogen diluted with argon",
        "temperature_k": (673.15, 1373.15),
        "atmospheres": ("hydrogen_argon",),
        "crucibles": ("alumina", "zirconia"),
        "regrinds": 1,
    }
)
BUILT_IN = (OXIDE_IN_AIR, OXIDE_IN_ARGON, REDUCTION_IN_HYDROGEN)


class Approved(Frozen):
    """A template with the signature that makes it count."""

    template: Template
    approval: Approval


class TemplateBook:
    """The templates that people have approved.

    Args:
        approved: templates with signatures.
        people: name to Ed25519 public key in hex.

    Raises:
        LabError: a signature does not hold, or two templates share a name.
    """

    def __init__(self, approved: tuple[Approved, ...], people: Mapping[str, str]) -> None:
        self._templates: dict[str, Template] = {}
        for item in approved:
            why = why_not(item.approval, item.template.subject(), dict(people))
            if why:
                raise LabError(
                    f"template '{item.template.name}' is not approved: {why}", "Have a person sign it as it is now."
                )
            if item.template.name in self._templates:
                raise LabError(f"two templates are called '{item.template.name}'", "Keep one.")
            self._templates[item.template.name] = item.template

    def names(self) -> tuple[str, ...]:
        """The approved templates."""
        return tuple(sorted(self._templates))

    def get(self, name: str) -> Template | None:
        """A template by its name; None when nobody approved one of that name."""
        return self._templates.get(name)

    def fill(self, fields: Mapping[str, Any]) -> Recipe | tuple[str, ...]:
        """A recipe from what a planner said, or the reasons why it is none."""
        try:
            recipe = Recipe.model_validate(dict(fields))
        except ValidationError as error:
            return tuple(f"{'.'.join(map(str, e['loc'])) or 'recipe'}: {e['msg']}" for e in error.errors())
        return self.why_not(recipe) or recipe

    def why_not(self, recipe: Recipe, crucible: str | None = None) -> tuple[str, ...]:
        """Every reason why a recipe does not fit its template; empty when it does."""
        template = self._templates.get(recipe.template)
        if template is None:
            return (f"nobody approved a template '{recipe.template}'; approved: {', '.join(self.names()) or 'none'}",)
        return tuple(_misfits(recipe, template, crucible))


def _misfits(recipe: Recipe, template: Template, crucible: str | None) -> list[str]:
    from pymatgen.core import Composition

    reasons = []
    for field in ("temperature_k", "hold_h", "ramp_k_per_min", "mill_min"):
        low, high = getattr(template, field)
        value = getattr(recipe, field)
        if not low <= value <= high:
            reasons.append(f"{field} is {value:g}, allowed are {low:g} to {high:g}")
    if recipe.regrinds > template.regrinds:
        reasons.append(f"regrinds is {recipe.regrinds}, allowed are up to {template.regrinds}")
    if recipe.atmosphere not in template.atmospheres:
        reasons.append(f"atmosphere is {recipe.atmosphere}, allowed are {', '.join(template.atmospheres)}")
    if crucible is not None and crucible not in template.crucibles:
        reasons.append(f"the crucible is {crucible}, allowed are {', '.join(template.crucibles)}")
    low, high = template.powder_mass_g
    for powder in recipe.powders:
        if not low <= powder.mass_g <= high:
            reasons.append(f"{powder.formula} weighs {powder.mass_g:g} g, allowed are {low:g} to {high:g} g")
        try:
            elements = {str(element) for element in Composition(powder.formula).elements}
        except (ValueError, KeyError):
            reasons.append(f"'{powder.formula}' is no formula")
            continue
        if elements & set(template.banned):
            banned = ", ".join(sorted(elements & set(template.banned)))
            reasons.append(f"{powder.formula} contains {banned}, which has no place in '{template.name}'")
    total = sum(powder.mass_g for powder in recipe.powders)
    if total > template.total_mass_g:
        reasons.append(f"the powders weigh {total:g} g, allowed are up to {template.total_mass_g:g} g")
    return reasons
