"""The laboratory as an evaluator: a recipe goes in, the weight fraction of the target comes out.

An order is a file, the work is done by the station's process (`station.py`), and the same key is never made twice.
What is not here: which recipe (`recipes/`), and the money (`loops/paying.py`).
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from ..core.errors import EvaluationError, LabError
from ..core.synthesis import Identification, Recipe
from ..core.types import EvaluationRequest, Failure, Frozen, JobLimits, JobStatus, Observation, Quantity, canonical_json
from ..core.types import sha256 as digest
from .bench import write_whole
from .diffraction.identify import Drawn, identify_and_draw
from .instrument import Question
from .recipes.formulas import amounts_of, same_ratios
from .settings import LaboratorySettings
from .site import FILE, Site, read_site
from .station import MAX_FILE_BYTES, Order, Result, Station, Told

REVISION: Final = 1
"""Raised whenever a change of this code changes what a key stands for."""
STARTING_S: Final = 60.0
TARGET_FRACTION: Final = "target_fraction"


class Reading(Frozen):
    """What a pattern says: `identified/KEY.json`."""

    identification: Identification
    drawn: Drawn


class LabEvaluator:
    """See `core.protocols.Evaluator`.

    Args:
        root: folder of the jobs; the station's own is `lab` in it.
        settings: of this evaluator.
    """

    name = "lab"
    fidelity: Literal["experiment"] = "experiment"
    properties = frozenset({TARGET_FRACTION})
    cores = 0
    """A sample takes no processor."""

    def __init__(self, root: Path, settings: LaboratorySettings | None = None) -> None:
        self._settings = settings or LaboratorySettings()
        self.folder = root / "lab"
        own = self._settings.directory
        self.site_folder = Path(own).resolve() if own else (root.parent / "twin").resolve()
        self._site: Site | None = None

    @property
    def site(self) -> Site:
        """The laboratory; a twin inside the campaign is founded at the first look. Raises LabError."""
        if self._site is None:
            if not self._settings.directory and not (self.site_folder / FILE).exists():
                from .twin.founding import found

                found(self.site_folder, self._settings.twin_seed, self._settings.twin_speed).stop()
            self._site = read_site(self.site_folder)
        return self._site

    @property
    def version(self) -> str:
        """Of this code."""
        return f"{importlib.metadata.version('lodestone')}.{REVISION}"

    @property
    def method(self) -> str:
        """What it is, in words."""
        kind = "simulated solid-state synthesis (twin)" if self.site.simulated else "solid-state synthesis"
        return f"{kind} and X-ray powder diffraction, {self.site.name}"

    @property
    def wall_limit_s(self) -> float:
        """See `Evaluator.wall_limit_s`."""
        return self._settings.wall_limit_s

    def available(self) -> str | None:
        """None when a laboratory is described, or a twin can be founded."""
        try:
            importlib.metadata.version("sila2")
        except importlib.metadata.PackageNotFoundError:
            return "Instruments speak SiLA 2: pip install 'lodestone[lab]'."
        if self._settings.directory:
            try:
                self.site.book()
            except LabError as error:
                return str(error)
        return None

    def key(self, request: EvaluationRequest) -> str:
        """sha256 over recipe, replicate, the instruments' identities and this code's revision."""
        return digest(
            canonical_json(
                {
                    "evaluator": self.name,
                    "revision": REVISION,
                    "instruments": sorted(a.server_id for a in self.site.addresses),
                    "recipe": _recipe(request).digest(),
                    "purpose": request.purpose,
                    "replicate": request.replicate,
                }
            )
        )

    def submit(
        self,
        requests: Sequence[tuple[str, EvaluationRequest]],
        limits: Mapping[str, JobLimits] | None = None,  # noqa: ARG002 (a firing is not cut short for the budget's sake)
    ) -> None:
        """Give an order for each new key, and make sure that the station works.

        Raises:
            EvaluationError: an order cannot be written, a key is another request's, or the recipe is not approved.
        """
        book = self.site.book()
        try:
            for key, request in requests:
                if self.key(request) != key:
                    raise EvaluationError(f"Key {key[:12]} does not belong to its request.", "Take it from `key`.")
                recipe = _recipe(request)
                if why := book.why_not(recipe):
                    raise EvaluationError(f"The recipe for {recipe.target} is not allowed: {'; '.join(why)}.")
                path = self._file("orders", key)
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_whole(path, Order(key=key, sample=sample_of(key), recipe=recipe).model_dump_json())
            self.folder.mkdir(parents=True, exist_ok=True)
            write_whole(self.folder / "station.json", Station(site=str(self.site_folder)).model_dump_json())
            self._start()
        except OSError as error:
            raise EvaluationError(
                f"Cannot write orders to {self.folder}: {error.strerror or error}.", "Free space or fix permissions."
            ) from error

    def lookup(self, key: str) -> JobStatus:
        """What is known about a key, from the station's files."""
        if self._file("results", key).exists():
            return JobStatus.DONE
        if not self._file("orders", key).exists():
            return JobStatus.NEVER_SEEN
        told = self.told()
        if told is not None and (told.stop is not None or self._asked(key, told) is not None):
            return JobStatus.CANNOT_KNOW
        return JobStatus.RUNNING if self.working() else JobStatus.DEAD

    def question(self, key: str) -> str:
        """What a person has to say about a key, with the command that says it; empty where nothing is asked."""
        told, where = self.told(), shlex.quote(str(self.folder.parent.parent))
        if told is None:
            return ""
        if told.stop is not None:
            return (
                f"The laboratory's emergency stop is latched: {told.stop.reason}. Look at it, then "
                f"`lodestone lab clear {where} --person NAME --key FILE`."
            )
        asked = self._asked(key, told)
        if asked is None:
            return ""
        return (
            f"{asked.instrument} asks: {asked.text} ({' or '.join(asked.options)}). Look, then `lodestone lab answer "
            f"{where} {asked.id} ANSWER --person NAME --key FILE`."
        )

    def harvest(self, key: str) -> Observation:
        """The result of a DONE key. Raises EvaluationError for any other."""
        result = self.result(key)
        if result is None:
            raise EvaluationError(f"Sample {sample_of(key)} has no result: {self.lookup(key).value}.", "Wait for it.")
        order = self.order(key)
        values, failure = {}, None
        found = self.identified(key)
        if found is None:
            failure = Failure(stage="evaluate", reason=result.reason or "no pattern was measured")
        else:
            fraction, spread = target_fraction(found, order.recipe.target)
            values = {TARGET_FRACTION: Quantity(value=fraction, unit="1", std=spread)}
        return Observation(
            key=key,
            candidate_id=order.recipe.target,
            evaluator=f"{self.name}-{self.version}",
            method=self.method,
            fidelity=self.fidelity,
            values=values,
            wall_s=result.hours * 3600.0,
            failure=failure,
            artefacts={"result": str(self._file("results", key).relative_to(self.folder.parent))},
        )

    def cancel(self, key: str) -> None:
        """A sample that is under way is brought to its end: a crucible cannot be left where it is."""

    def result(self, key: str) -> Result | None:
        """Everything that is known of a finished sample."""
        try:
            return Result.model_validate_json(self._file("results", key).read_bytes()[:MAX_FILE_BYTES])
        except FileNotFoundError:
            return None

    def identified(self, key: str) -> Identification | None:
        """What the pattern of a finished sample says; None without one."""
        read = self.reading(key)
        return None if read is None else read.identification

    def reading(self, key: str) -> Reading | None:
        """What the pattern of a finished sample says, with the fit. Found once, then read from its file.

        It takes some seconds, in which the station must not be silent: so it is done here.
        """
        result = self.result(key)
        if result is None or result.pattern is None:
            return None
        path = self._file("identified", key)
        if not path.exists():
            order = self.order(key)
            elements = frozenset(symbol for p in order.recipe.powders for symbol in amounts_of(p.formula))
            path.parent.mkdir(parents=True, exist_ok=True)
            found, drawn = identify_and_draw(result.pattern, self.site.phases_of(elements))
            write_whole(path, Reading(identification=found, drawn=drawn).model_dump_json())
        return Reading.model_validate_json(path.read_bytes()[:MAX_FILE_BYTES])

    def order(self, key: str) -> Order:
        """What was asked for."""
        return Order.model_validate_json(self._file("orders", key).read_bytes()[:MAX_FILE_BYTES])

    def told(self) -> Told | None:
        """What the station saw last."""
        try:
            return Told.model_validate_json((self.folder / "state.json").read_bytes()[:MAX_FILE_BYTES])
        except FileNotFoundError:
            return None

    def working(self) -> bool:
        """Whether the station's process runs."""
        try:
            with open(self.folder / "lock", "ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def _start(self) -> None:
        """Start the station's process where none runs; it has its folder when this returns."""
        if self.working():
            return
        with open(self.folder / "log.txt", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lodestone.tools.lab.station", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + STARTING_S
        while not self.working():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                tail = (self.folder / "log.txt").read_text(errors="replace").strip().splitlines()[-1:]
                raise EvaluationError(
                    f"The laboratory's station did not start: {' '.join(tail) or 'no message'}.",
                    f"Its log is {self.folder / 'log.txt'}.",
                )
            time.sleep(0.05)

    def _asked(self, key: str, told: Told) -> Question | None:
        return next((q for q in told.questions if q.sample == sample_of(key)), None)

    def _file(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{key}.json"


def sample_of(key: str) -> str:
    """The name on the crucible."""
    return f"s-{key[:12]}"


def target_fraction(found: Identification, target: str) -> tuple[float, float]:
    """Weight fraction of a target in the whole sample, glass included, and its standard deviation.

    A phase counts as far as it is there at all: its fraction is weighed by its probability.
    """
    wanted = same_ratios(target)
    mine = [p for p in found.phases if same_ratios(p.formula) == wanted]
    crystalline = 1.0 - (found.amorphous_fraction or 0.0)
    fraction = crystalline * sum(p.weight_fraction * p.probability for p in mine)
    spread = crystalline * sum(p.uncertainty**2 for p in mine) ** 0.5
    return min(max(fraction, 0.0), 1.0), spread


def _recipe(request: EvaluationRequest) -> Recipe:
    try:
        return Recipe.model_validate_json(request.recipe)
    except ValidationError as error:
        raise EvaluationError(
            f"A laboratory was asked for {request.candidate_id} without a recipe that can be read.",
            'Say what to make: `lodestone run "Synthesise phase-pure … in at most 20 experiments"`.',
        ) from error
