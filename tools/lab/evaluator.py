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
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import ValidationError

from ..core.errors import EvaluationError, LabError
from ..core.synthesis import Identification, Phase, Recipe
from ..core.types import EvaluationRequest, Failure, Frozen, JobLimits, JobStatus, Observation, Quantity, canonical_json
from ..core.types import sha256 as digest
from .bench import write_whole
from .diffraction.identify import Drawn, identify_and_draw
from .instrument import Question
from .predicted import expecting
from .recipes.formulas import amounts_of, same_ratios
from .settings import LaboratorySettings
from .site import FILE, Site, read_site
from .station import MAX_FILE_BYTES, PATIENCE_S, Order, Result, Station, Told

REVISION: Final = 1
"""Raised whenever a change of this code changes what a key stands for."""
STARTING_S: Final = 60.0
MAX_STARTS, STARTS_IN_S = 5, 300.0
"""A station that ends more often than this in so many seconds will not do better the next time."""
PRESENT: Final = 0.5
"""Probability from which on a phase counts as there."""
TARGET_FRACTION: Final = "target_fraction"


Kept = TypeVar("Kept", bound=Frozen)


class Reading(Frozen):
    """What a pattern says: `identified/KEY.json`."""

    identification: Identification
    drawn: Drawn


class LabEvaluator:
    """See `core.protocols.Evaluator`.

    Args:
        root: folder of the jobs; the station's own is `lab` in it.
        settings: of this evaluator.
        predicted: a computed crystal that is to be made; None: any crystal of a recipe's target will do.
    """

    name = "lab"
    fidelity: Literal["experiment"] = "experiment"
    properties = frozenset({TARGET_FRACTION})
    cores = 0
    """A sample takes no processor."""
    wall_limit_s = PATIENCE_S
    """Of one step at the bench; a sample that has begun is brought to its end, whatever the budget of time says."""

    def __init__(self, root: Path, settings: LaboratorySettings | None = None, predicted: Phase | None = None) -> None:
        self._settings = settings or LaboratorySettings()
        self.folder = root / "lab"
        own = self._settings.directory
        self.site_folder = Path(own).resolve() if own else (root.parent / "twin").resolve()
        self._predicted = predicted
        self._site: Site | None = None
        self._wanted: frozenset[str] = frozenset()
        self._starts: list[float] = []

    def found(self) -> None:
        """Found the twin inside the campaign, where no laboratory is named and none was founded. Raises LabError."""
        if not self._settings.directory and not (self.site_folder / FILE).exists():
            from .twin.founding import found

            found(self.site_folder, self._settings.twin_seed, self._settings.twin_speed).stop()

    @property
    def site(self) -> Site:
        """The laboratory, which also looks for what is predicted. Raises LabError where there is none."""
        if self._site is None:
            self._site = read_site(self.site_folder)
            if self._predicted is not None:
                self._site, self._wanted = expecting(self._site, self._predicted)
        return self._site

    @property
    def wanted(self) -> frozenset[str]:
        """Ids of the phases that the predicted crystal may be found as; empty: all of the target's composition."""
        assert self.site
        return self._wanted

    @property
    def version(self) -> str:
        """Of this code."""
        return f"{importlib.metadata.version('lodestone')}.{REVISION}"

    @property
    def method(self) -> str:
        """What it is, in words."""
        kind = "simulated solid-state synthesis (twin)" if self.site.simulated else "solid-state synthesis"
        return f"{kind} and X-ray powder diffraction, {self.site.name}"

    def available(self) -> str | None:
        """None when a laboratory is described, or a twin can be founded."""
        for package in ("cryptography", "sila2", "asyncua"):
            try:
                importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                return f"Instruments need {package}: pip install 'lodestone[lab]'."
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
            self.attend()
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
        if not self.working():
            return JobStatus.DEAD
        told = self.told()
        if told is not None and (told.stop is not None or self._asked(key, told) is not None):
            return JobStatus.CANNOT_KNOW
        return JobStatus.RUNNING

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
            fraction, spread = target_fraction(found, order.recipe.target, self.wanted)
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
        return _read(Result, self._file("results", key))

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
        return _read(Reading, path)

    def order(self, key: str) -> Order:
        """What was asked for."""
        order = _read(Order, self._file("orders", key))
        if order is None:
            raise EvaluationError(f"Nobody ordered sample {sample_of(key)}.", "Look into the folder 'orders'.")
        return order

    def told(self) -> Told | None:
        """What the station saw last."""
        return _read(Told, self.folder / "state.json")

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

    def attend(self) -> None:
        """Start the station's process where none runs and an order is open; it has its folder when this returns.

        Raises:
            EvaluationError: it does not start, or ends again and again.
        """
        done = {path.name for path in (self.folder / "results").glob("*.json")}
        if self.working() or {path.name for path in (self.folder / "orders").glob("*.json")} <= done:
            return
        now = time.monotonic()
        self._starts = [at for at in self._starts if now - at < STARTS_IN_S] + [now]
        if len(self._starts) > MAX_STARTS:
            raise EvaluationError(
                f"The laboratory's station ended {MAX_STARTS} times: {self._last_words()}.",
                f"Its log is {self.folder / 'log.txt'}; then `lodestone resume`: no sample is lost.",
            )
        # What an earlier one saw is no longer so.
        (self.folder / "state.json").unlink(missing_ok=True)
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
            if process.poll() or time.monotonic() > deadline:
                process.kill()
                raise EvaluationError(
                    f"The laboratory's station did not start: {self._last_words()}.",
                    f"Its log is {self.folder / 'log.txt'}.",
                )
            time.sleep(0.05)

    def _last_words(self) -> str:
        lines = (self.folder / "log.txt").read_text(errors="replace").strip().splitlines()
        return lines[-1][:300].rstrip(".") if lines else "no message"

    def _asked(self, key: str, told: Told) -> Question | None:
        return next((q for q in told.questions if q.sample == sample_of(key)), None)

    def _file(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{key}.json"


def sample_of(key: str) -> str:
    """The name on the crucible."""
    return f"s-{key[:12]}"


def target_fraction(found: Identification, target: str, wanted: Collection[str] = ()) -> tuple[float, float]:
    """Weight fraction of a target in the whole sample, glass included, and its standard deviation.

    Its phases (of these ids, where some are given) count where they are rather there than not; whatever else was
    fitted counts against it.
    """
    ratios = same_ratios(target)
    mine = [
        p
        for p in found.phases
        if p.probability >= PRESENT and same_ratios(p.formula) == ratios and (not wanted or p.phase_id in wanted)
    ]
    crystalline = 1.0 - (found.amorphous_fraction or 0.0)
    fraction = crystalline * sum(p.weight_fraction for p in mine)
    spread = crystalline * sum(p.uncertainty**2 for p in mine) ** 0.5
    return min(max(fraction, 0.0), 1.0), spread


def _read(kind: type[Kept], path: Path) -> Kept | None:
    """One of the laboratory's files; None where it is not there. Raises EvaluationError where it cannot be read."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise EvaluationError(f"{path} has more than {MAX_FILE_BYTES} bytes.", "It was not written by Lodestone.")
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise EvaluationError(
            f"{path} cannot be read: {error.errors()[0]['msg']}.", "Restore it from a copy, or move it away."
        ) from error


def _recipe(request: EvaluationRequest) -> Recipe:
    try:
        return Recipe.model_validate_json(request.recipe)
    except ValidationError as error:
        raise EvaluationError(
            f"A laboratory was asked for {request.candidate_id} without a recipe that can be read.",
            'Say what to make: `lodestone run "Synthesise phase-pure … in at most 20 experiments"`.',
        ) from error
