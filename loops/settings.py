"""Settings: packaged defaults, then the user's config.toml, then `LODESTONE_*` variables, then flags; all checked.

Every default stands in `config.toml` alone; the models below hold types and ranges. What is not here: a request's
own words, which win over `[campaign]` (`agent/goal.py`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from ..agent.allowance import Allowance
from ..tools.core.errors import ConfigError
from ..tools.core.failpoints import VARIABLES
from ..tools.core.types import MAX_SITES, Frozen
from ..tools.lab.settings import LaboratorySettings
from .compute.settings import ComputeSettings
from .ledger.bookings import Prices
from .notify.settings import NotifySettings
from .service.settings import ServiceSettings

PREFIX = "LODESTONE_"
MAX_FILE_BYTES = 200_000
NOT_SETTINGS = frozenset({"LODESTONE_DEBUG", *VARIABLES})
"""Variables with our prefix that steer the process, not a campaign."""

OPERATIONAL = ("compute", "limits", "notify", "prefect", "service")
"""Sections that change no result: a resumed campaign takes them from today's settings."""

Protocol = Literal["fast", "moderate", "precise"]


class CampaignSettings(Frozen):
    """`[campaign]`"""

    evaluations: int = Field(ge=1, le=1_000_000)
    wall_hours: float = Field(gt=0, le=24 * 366)
    rounds: int = Field(ge=1, le=100_000)
    seed: int = Field(ge=0, lt=2**31)
    max_atoms: int = Field(ge=1, le=MAX_SITES)
    patience: int = Field(ge=1, le=10_000)
    proposals: int = Field(ge=1, le=10_000)
    batch: int = Field(ge=1, le=1_000)


class PlannerSettings(Frozen):
    """`[planner]`"""

    model: str
    fallback: str
    base_url: str
    fallback_base_url: str
    timeout_s: float = Field(gt=0, le=3600)
    max_calls: int = Field(ge=1, le=50)
    max_failures: int = Field(ge=1, le=1000)
    tokens_per_round: int = Field(ge=100)
    tokens_per_campaign: int = Field(ge=100)
    money_per_round: float = Field(ge=0)
    money_per_campaign: float = Field(ge=0)
    price_in: float = Field(ge=0)
    price_out: float = Field(ge=0)

    @model_validator(mode="after")
    def _money_needs_a_price(self) -> PlannerSettings:
        if (self.money_per_round or self.money_per_campaign) and not (self.price_in or self.price_out):
            raise ValueError("a cap on money needs price_in and price_out")
        return self

    def allowance(self) -> Allowance:
        """As the planner takes it: 0 of money is no cap."""
        return Allowance(
            tokens_per_round=self.tokens_per_round,
            tokens_per_campaign=self.tokens_per_campaign,
            money_per_round=self.money_per_round or None,
            money_per_campaign=self.money_per_campaign or None,
            price_in=self.price_in,
            price_out=self.price_out,
        )


class LimitSettings(Frozen):
    """`[limits]`: what the operator allows any request; 0 is no limit."""

    evaluations: int = Field(ge=0)
    wall_hours: float = Field(ge=0)
    core_hours: float = Field(ge=0)
    money: float = Field(ge=0)
    samples: int = Field(ge=0)


class GeneratorSettings(Frozen):
    """`[generators]`"""

    enabled: tuple[str, ...]
    oversample: float = Field(ge=1, le=20)


class ScreenSettings(Frozen):
    """`[screen]`"""

    min_distance_factor: float = Field(gt=0, le=1)
    min_volume_factor: float = Field(gt=0, le=1)
    max_volume_factor: float = Field(ge=1, le=100)
    max_aspect_ratio: float = Field(ge=1, le=100)
    ltol: float = Field(gt=0, le=1)
    stol: float = Field(gt=0, le=1)
    angle_tol: float = Field(gt=0, le=30)
    known_crystals: str


class RelaxSettings(Frozen):
    """`[relax]`"""

    potential: str
    method: Literal["gradient", "bowsr"]
    model: str
    device: str = Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    fmax: float = Field(gt=0, le=10)
    max_steps: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1, le=10_000)
    max_batch_atoms: int = Field(ge=1, le=10_000_000)
    keep_symmetry: bool
    chunk_size: int = Field(ge=1, le=10_000)


class RecogniseSettings(Frozen):
    """`[recognise]`"""

    symprec: float = Field(gt=0, le=1)


class SurrogateSettings(Frozen):
    """`[surrogate]`"""

    retrain_head: bool
    max_pool: int = Field(ge=1, le=1_000_000)
    max_training: int = Field(ge=10, le=100_000)
    former: tuple[str, ...]


class LearningSettings(Frozen):
    """`[learning]`"""

    when: Literal["dft", "always", "never"]
    committee: Literal["sevennet-0", "sevennet-l3i5"]
    force_tolerance: float = Field(gt=0, le=10)
    labels_per_round: int = Field(ge=0, le=1000)
    min_sources: int = Field(ge=2, le=10_000)
    epochs: int = Field(ge=1, le=10_000)
    max_seconds: float = Field(gt=0, le=7 * 86400)
    replay: int = Field(ge=0, le=1000)


class DftSettings(Frozen):
    """What the density-functional codes have in common."""

    protocol: Protocol
    hubbard: Literal["none", "mp"]
    magnetic_orders: int = Field(ge=1, le=8)
    wall_limit_s: float = Field(gt=0)
    max_attempts: int = Field(ge=1, le=20)


class GpawSettings(DftSettings):
    """`[evaluators.gpaw]`"""


class EspressoSettings(DftSettings):
    """`[evaluators.espresso]`"""

    pseudo_dir: str
    command: tuple[str, ...] = Field(min_length=1)
    cutoff_ry: float = Field(ge=10, le=400)


class AbinitSettings(DftSettings):
    """`[evaluators.abinit]`"""

    pseudo_dir: str
    command: tuple[str, ...] = Field(min_length=1)
    cutoff_ha: float = Field(ge=5, le=200)


class VaspSettings(DftSettings):
    """`[evaluators.vasp]`"""

    command: tuple[str, ...]
    potcar_dir: str
    cutoff_ev: float = Field(ge=150, le=2000)
    corrections: Literal["none", "mp2020"]


class SevenNetSettings(Frozen):
    """`[evaluators.sevennet]`"""

    fmax: float = Field(gt=0, le=10)
    max_steps: int = Field(ge=1, le=100_000)
    wall_limit_s: float = Field(gt=0)
    max_attempts: int = Field(ge=1, le=20)


class EvaluatorSettings(Frozen):
    """`[evaluators]`"""

    default: str
    second_opinion: str
    opinions_per_evaluation: int = Field(ge=1, le=100)
    gpaw: GpawSettings
    espresso: EspressoSettings
    abinit: AbinitSettings
    vasp: VaspSettings
    sevennet: SevenNetSettings


class LedgerSettings(Frozen):
    """`[ledger]`"""

    url: str


class CostSettings(Frozen):
    """`[costs]`"""

    per_core_hour: float = Field(ge=0)
    per_evaluation: float = Field(ge=0)

    def prices(self) -> Prices:
        """As the ledger books them."""
        return Prices(per_core_hour=self.per_core_hour, per_evaluation=self.per_evaluation)


class PrefectSettings(Frozen):
    """`[prefect]`"""

    enabled: bool
    home: str
    restart_after_s: float = Field(ge=1, le=3600)
    digest_cron: str


class Settings(Frozen):
    """All settings of a campaign; stored with it, so that `resume` uses the same."""

    campaign: CampaignSettings
    planner: PlannerSettings
    limits: LimitSettings
    generators: GeneratorSettings
    screen: ScreenSettings
    relax: RelaxSettings
    recognise: RecogniseSettings
    surrogate: SurrogateSettings
    learning: LearningSettings
    evaluators: EvaluatorSettings
    laboratory: LaboratorySettings
    costs: CostSettings
    compute: ComputeSettings
    ledger: LedgerSettings
    notify: NotifySettings
    prefect: PrefectSettings
    service: ServiceSettings


def load_settings(path: Path | None, env: Mapping[str, str], overrides: Mapping[str, Any]) -> Settings:
    """The settings in force.

    Args:
        path: the user's file; None takes `config.toml` of the working directory, where there is one.
        env: environment; `LODESTONE_SECTION__KEY=value` counts.
        overrides: dotted key to value, from flags.

    Raises:
        ConfigError: for a file that cannot be read, an unknown key, or a value of the wrong type or range.
    """
    table = defaults()
    if path is not None and not path.is_file():
        raise ConfigError(f"No settings file at {path}.", "Check --config.")
    chosen = path if path is not None else Path("config.toml")
    if chosen.is_file():
        _merge(table, _read(chosen), str(chosen), ())
    for name in sorted(env):
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            keys = tuple(part.lower() for part in name[len(PREFIX) :].split("__"))
            _merge(table, _nested(keys, _env_value(table, keys, env[name])), name, ())
    for dotted, value in overrides.items():
        _merge(table, _nested(tuple(dotted.split(".")), value), dotted, ())
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"Setting {where} is {first['input']!r}: {first['msg'].lower()}.",
            "Mend it, or leave it out for the default.",
        ) from error


def resumed_settings(stored: Mapping[str, Any], current: Settings) -> Settings:
    """Settings to go on with: what decides results is the campaign's own, what only serves people is today's.

    Args:
        stored: as the ledger has them; an earlier version may lack what is new, which then has its default.
        current: those in force now.

    Raises:
        ConfigError: when the stored ones cannot be used.
    """
    table = defaults()
    for section, values in stored.items():
        if section in table and isinstance(values, dict):
            _overlay(table[section], values)
    if "learning" not in stored:
        # It began before there was any: its potential stays what it was.
        table["learning"]["when"] = "never"
    table |= {name: current.model_dump(mode="json")[name] for name in OPERATIONAL}
    try:
        return Settings.model_validate(table)
    except ValidationError as error:
        raise ConfigError(
            f"The campaign's stored settings cannot be used: {error.errors()[0]['msg']}.",
            "Open it with the version of Lodestone that made it.",
        ) from error


def _overlay(base: dict[str, Any], extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        if key in base and isinstance(base[key], dict) and isinstance(value, dict):
            _overlay(base[key], value)
        elif key in base:
            base[key] = value


def defaults() -> dict[str, Any]:
    """The packaged `config.toml` as a fresh nested dict."""
    return tomllib.loads(_default_text())


@cache
def _default_text() -> str:
    return (files(__package__) / "default_config.toml").read_text(encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path} has more than {MAX_FILE_BYTES} bytes.", "A settings file is short.")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.", "Mend that line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read {path}: {error}.", "Check the file.") from error


def _merge(base: dict[str, Any], extra: dict[str, Any], source: str, path: tuple[str, ...]) -> None:
    for key, value in extra.items():
        where = ".".join((*path, key))
        if key not in base:
            near = get_close_matches(key, base, n=1)
            hint = f"Did you mean '{'.'.join((*path, near[0]))}'?" if near else f"Known: {', '.join(base)}."
            raise ConfigError(f"Unknown setting '{where}' in {source}.", hint)
        if isinstance(base[key], dict):
            if not isinstance(value, dict):
                raise ConfigError(
                    f"'{where}' in {source} is a section, not a value.", f"Known: {', '.join(base[key])}."
                )
            _merge(base[key], value, source, (*path, key))
        else:
            base[key] = value


def _nested(keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    result: dict[str, Any] = value
    return result


def _env_value(table: dict[str, Any], keys: tuple[str, ...], text: str) -> Any:
    """Lists are comma-separated; pydantic turns other text into numbers and truth values."""
    known: Any = table
    for key in keys:
        known = known.get(key) if isinstance(known, dict) else None
    return [part.strip() for part in text.split(",") if part.strip()] if isinstance(known, list) else text
