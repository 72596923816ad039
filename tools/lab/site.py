"""A laboratory as a folder describes it: who its instruments are, what stands on its shelf, what may be made there.

`site.json` is written by the people of the laboratory (the twin writes its own); Lodestone only reads it. What is not
here: the instruments' own limits, which they state themselves (`instrument.py`).
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError, model_validator

from ..core.errors import LabError, ToolError
from ..core.synthesis import Phase
from ..core.types import Frozen
from .address import Address
from .compounds import dangers
from .instrument import Crucible, Name, Place
from .recipes.energies import Compound
from .recipes.formulas import amounts_of, same_ratios
from .steps import Scan
from .templates import Approved, TemplateBook

FILE = "site.json"
MAX_SITE_BYTES = 64 * 1024 * 1024
AIR = frozenset("OCHN")
"""Elements that gases of a furnace bring or carry away."""


class Site(Frozen):
    """One laboratory."""

    name: str = Field(min_length=1, max_length=100)
    simulated: bool = False
    """Whether it is a twin: no matter is moved."""
    speed: float = Field(default=1.0, gt=0.0)
    """Laboratory seconds in one second of the wall clock; other than 1 only in a twin."""
    addresses: tuple[Address, ...] = Field(min_length=1)
    people: dict[str, str]
    """Who may approve, answer and clear: name to Ed25519 public key in hex."""
    templates: tuple[Approved, ...] = Field(min_length=1)
    shelf: tuple[str, ...]
    """Formulas of the powders at hand."""
    slots: tuple[Place, ...] = Field(min_length=1)
    """Places of the rack that Lodestone may use."""
    furnaces: tuple[Name, ...] = Field(min_length=1)
    crucibles: tuple[Crucible, ...] = Field(default=("alumina",), min_length=1)
    """At hand, the preferred one first."""
    scan: Scan = Scan()
    phases: tuple[Phase, ...]
    """Crystal structures that a pattern is compared with."""
    compounds: tuple[Compound, ...]
    """Formation energies that recipes are ranked by."""

    @model_validator(mode="after")
    def _whole(self) -> Site:
        if self.speed != 1.0 and not self.simulated:
            raise ValueError("time runs faster in a twin only")
        for formula in self.shelf:
            try:
                amounts_of(formula)
            except ToolError as error:
                raise ValueError(error.problem) from error
        missing = {"dosing", "mixing", "transport", "diffractometer", *self.furnaces} - {
            a.instrument for a in self.addresses
        }
        if missing:
            raise ValueError(f"no address of {', '.join(sorted(missing))}")
        return self

    def book(self) -> TemplateBook:
        """The approved templates. Raises LabError where a signature does not hold."""
        return TemplateBook(self.templates, self.people)

    def phases_of(self, elements: frozenset[str]) -> tuple[Phase, ...]:
        """Phases that powders of these elements may turn into."""
        allowed = elements | AIR
        return tuple(p for p in self.phases if frozenset(p.crystal.species) <= allowed)

    def compounds_of(self, elements: frozenset[str]) -> tuple[Compound, ...]:
        """Compounds of these elements, and of what gases bring."""
        allowed = elements | AIR
        return tuple(c for c in self.compounds if frozenset(amounts_of(c.formula)) <= allowed)

    def structures_of(self, formula: str) -> tuple[Phase, ...]:
        """Every known crystal of a composition."""
        wanted = same_ratios(formula)
        return tuple(p for p in self.phases if same_ratios(p.formula) == wanted)

    def has_energy(self, formula: str) -> bool:
        """Whether a formation energy of a composition is known."""
        wanted = same_ratios(formula)
        return any(same_ratios(c.formula) == wanted for c in self.compounds)

    def crucible_for(self, template: str, powders: tuple[str, ...], gas: str, temperature_k: float) -> Crucible | None:
        """The first crucible at hand that a template allows and that these powders leave whole."""
        approved = self.book().get(template)
        if approved is None:
            return None
        for crucible in self.crucibles:
            if crucible in approved.crucibles and not list(dangers(powders, crucible, gas, temperature_k)):
                return crucible
        return None


def read_site(folder: Path) -> Site:
    """The laboratory of a folder. Raises LabError when there is none, or the file is wrong."""
    path = folder / FILE
    try:
        if path.stat().st_size > MAX_SITE_BYTES:
            raise LabError(f"{path} is larger than {MAX_SITE_BYTES // 1024**2} MiB.", "Leave phases out.")
        return Site.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise LabError(f"No laboratory in {folder}.", "Start a twin with `lodestone lab twin DIR`.") from None
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}.", "Check its permissions.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise LabError(
            f"{path}: {where or 'site'}: {first['msg']}.", "docs/laboratory.md says what it holds."
        ) from error
