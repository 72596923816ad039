"""What this machine can do: one line a capability, and for each missing one how to get it. Loads nothing heavy."""

from __future__ import annotations

import os
import shutil
import socket
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from ..tools.core.errors import LodestoneError
from ..tools.core.types import Frozen
from ..tools.lab.address import WIRES
from .settings import Settings


class Check(Frozen):
    """One capability. `ok` None: not there, and not needed for a first result."""

    name: str
    ok: bool | None
    detail: str
    remedy: str = ""


def checks(settings: Settings) -> list[Check]:
    """Every capability, in the order in which a campaign needs them."""
    return [
        _machine(),
        _weights("CHGNet (relaxation)", "chgnet", "chgnet", ("*.tar", "*.pth*"), "pip install chgnet"),
        _weights("SevenNet (evaluator)", "sevenn", "sevenn", ("*l3i5*.pth",), "pip install sevenn"),
        _potential(settings),
        _recogniser(),
        _evaluator("GPAW (DFT)", "gpaw", settings),
        _evaluator("Quantum ESPRESSO (DFT)", "espresso", settings),
        _evaluator("ABINIT (DFT)", "abinit", settings),
        _evaluator("VASP (DFT)", "vasp", settings),
        _laboratory(settings),
        _gpu(),
        *_models(settings),
        _prefect(settings),
        _materials_project(),
        _ledger(settings),
        _compute(settings),
        _notify(settings),
    ]


def _machine() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    free = shutil.disk_usage(".").free / 2**30
    enough = memory >= 3.5 and free >= 1.0
    detail = f"{cores} cores, {memory:.0f} GiB memory, {free:.0f} GiB of disk free here"
    return Check(
        name="machine", ok=enough, detail=detail, remedy="" if enough else "4 GiB memory and 1 GiB disk needed"
    )


def _weights(name: str, package: str, module: str, patterns: tuple[str, ...], remedy: str) -> Check:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return Check(name=name, ok=False, detail="not installed", remedy=remedy)
    folder = Path(spec.origin).parent
    files = [f for pattern in patterns for f in folder.rglob(pattern)]
    if not files:
        return Check(name=name, ok=False, detail=f"{metadata.version(package)} without weights", remedy=remedy)
    return Check(name=name, ok=True, detail=f"{metadata.version(package)}, weights in the wheel")


def _potential(settings: Settings) -> Check:
    from ..tools.relax.registry import potential_names

    chosen, name = settings.relax.potential, "relaxation potential"
    module, _, factory = chosen.partition(":")
    there = find_spec(module.partition(".")[0]) is not None if factory else chosen in potential_names()
    if not there:
        known = ", ".join(potential_names())
        remedy = f"pip install its package, or set [relax] potential to one of {known}"
        return Check(name=name, ok=False, detail=f"'{chosen}' is not there", remedy=remedy)
    weights = settings.relax.model
    if weights and not factory and not Path(weights).expanduser().is_file():
        return Check(name=name, ok=False, detail=f"no weights at {weights}", remedy="correct [relax] model")
    return Check(name=name, ok=True, detail=f"{chosen}{f' with {weights}' if weights else ''}")


def _recogniser() -> Check:
    from ..tools.recognise.weights import load

    try:
        _, card = load()
    except LodestoneError as error:
        return Check(name="recogniser", ok=False, detail=error.problem, remedy=error.remedy)
    return Check(name="recogniser", ok=True, detail=f"{card.model}, weights verified")


def _evaluator(label: str, name: str, settings: Settings) -> Check:
    from .wiring import evaluator_by_name

    evaluator = evaluator_by_name(name, settings, Path())
    missing = evaluator.available()
    if missing is not None:
        return Check(name=label, ok=None, detail="not usable", remedy=missing)
    return Check(name=label, ok=True, detail=evaluator.method)


def _laboratory(settings: Settings) -> Check:
    from ..tools.lab.evaluator import LabEvaluator

    label, own = "laboratory", settings.laboratory.directory
    evaluator = LabEvaluator(Path("jobs"), settings.laboratory)
    missing = evaluator.available()
    if missing is not None:
        return Check(name=label, ok=False if own else None, detail="not usable", remedy=missing)
    if not own:
        return Check(name=label, ok=True, detail="a twin inside the campaign: simulated, nothing is moved")
    site = evaluator.site
    spoken = ", ".join(sorted({WIRES[a.protocol] for a in site.addresses}))
    kind = "simulated, " if site.simulated else ""
    detail = f"{site.name}: {kind}{len(site.addresses)} instruments over {spoken}"
    return Check(name=label, ok=True, detail=f"{detail}; `lodestone lab status {own}` asks them")


def _gpu() -> Check:
    nodes = list(Path("/dev").glob("nvidia[0-9]*"))
    if not nodes:
        return Check(name="GPU", ok=None, detail="none; the potentials run on the CPU")
    import torch

    if torch.cuda.is_available():
        return Check(name="GPU", ok=True, detail=torch.cuda.get_device_name(0))
    return Check(name="GPU", ok=None, detail="there, but this torch has no CUDA", remedy="install torch with CUDA")


def _models(settings: Settings) -> list[Check]:
    from ..agent.providers import BUILTIN, PROVIDERS, missing

    names = [n for n in dict.fromkeys((settings.planner.model, settings.planner.fallback)) if n and n != BUILTIN]
    found = [Check(name="planner", ok=True, detail="built-in deterministic planner; needs no key")]
    for name in names:
        provider = name.partition(":")[0]
        lacks = (
            missing(provider, settings.planner.base_url) if provider in PROVIDERS else f"unknown provider {provider}"
        )
        found.append(
            Check(
                name=f"model {name}",
                ok=lacks is None,
                detail="ready" if lacks is None else "not usable",
                remedy=lacks or "",
            )
        )
    if not names:
        keys = sorted(p for p, (_, key) in PROVIDERS.items() if key and os.environ.get(key))
        detail = f"keys in the environment: {', '.join(keys)}" if keys else "no key in the environment"
        found.append(
            Check(
                name="language models",
                ok=None,
                detail=f"none configured; {detail}",
                remedy='set [planner] model = "provider:model", e.g. after pip install "lodestone[anthropic]"',
            )
        )
    return found


def _prefect(settings: Settings) -> Check:
    detail = f"{metadata.version('prefect')} with FastAPI {metadata.version('fastapi')}"
    minor = tuple(int(x) for x in metadata.version("fastapi").split(".")[:2])
    if minor >= (0, 155):
        return Check(name="Prefect", ok=False, detail=detail, remedy="pip install 'fastapi<0.155'")
    if not settings.prefect.enabled:
        return Check(name="Prefect", ok=None, detail=f"{detail}; switched off", remedy="set [prefect] enabled = true")
    return Check(name="Prefect", ok=True, detail=f"{detail}; a loopback server starts with each campaign")


def _materials_project() -> Check:
    if os.environ.get("MP_API_KEY"):
        return Check(name="Materials Project", ok=True, detail="key in the environment; its phases join the hull")
    return Check(
        name="Materials Project",
        ok=None,
        detail="no key; hulls hold what the campaign itself finds",
        remedy="export MP_API_KEY=… (free, from materialsproject.org)",
    )


def _ledger(settings: Settings) -> Check:
    from .ledger.store import server_version

    url = settings.ledger.url
    if not url:
        return Check(name="ledger", ok=True, detail="SQLite, a file in each campaign's folder")
    try:
        return Check(name="ledger", ok=True, detail=f"PostgreSQL {server_version(url)} answers")
    except LodestoneError as error:
        return Check(name="ledger", ok=False, detail=error.problem, remedy=error.remedy)


def _compute(settings: Settings) -> Check:
    compute = settings.compute
    if compute.engine == "local":
        return Check(name="compute", ok=True, detail="this machine")
    name = f"compute ({compute.engine})"
    needs = "distributed" if compute.engine == "dask" else "dask_jobqueue"
    if find_spec(needs) is None:
        return Check(name=name, ok=False, detail=f"{needs} is not installed", remedy="pip install 'lodestone[dask]'")
    if compute.engine != "dask":
        command = "sbatch" if compute.engine == "slurm" else "qsub"
        if shutil.which(command) is None:
            remedy = "run the agent where jobs can be submitted, or set [compute] engine = 'local'"
            return Check(name=name, ok=False, detail=f"no `{command}` here", remedy=remedy)
        return Check(name=name, ok=True, detail=f"`{command}`, at most {compute.jobs} jobs of {compute.cores} cores")
    try:
        address = urlsplit(compute.address)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=3.0):
            return Check(name=name, ok=True, detail=f"something answers at {compute.address}")
    except (OSError, ValueError) as error:
        remedy = "start one (`dask scheduler`), or set [compute] engine = 'local'"
        return Check(name=name, ok=False, detail=f"nothing answers at '{compute.address}' ({error})", remedy=remedy)


def _notify(settings: Settings) -> Check:
    notify = settings.notify
    has_webhook = bool(notify.webhook_url or os.environ.get(notify.webhook_url_env))
    channels = {"webhook": has_webhook, "mail": bool(notify.smtp_host), "desktop": notify.desktop}
    chosen = [name for name, is_set in channels.items() if is_set]
    if not chosen:
        return Check(
            name="notifications",
            ok=None,
            detail="none; nobody is told when a campaign needs a person",
            remedy="set [notify], then try `lodestone notify test`",
        )
    return Check(name="notifications", ok=True, detail=", ".join(chosen))
