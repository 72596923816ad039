"""The twin's process: `python -m lodestone.tools.lab.twin DIRECTORY`."""

from __future__ import annotations

import argparse
import fcntl
import json
import logging
import os
import signal
import sys
from pathlib import Path

from ...core.errors import LabError
from ...core.synthesis import Phase
from ..templates import TemplateBook
from . import Addresses, Settings
from .clock import Accelerated
from .guards import Guards
from .laboratory import Laboratory, Rules
from .operations import Operations
from .process import Background, Diffraction, Simulated, find_chemistry
from .server import Servers

MAX_SETTINGS_BYTES = 4 * 1024 * 1024


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m lodestone.tools.lab.twin")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--swap", nargs=2, metavar="INSTRUMENT", help="two instruments at each other's address")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL)
    with open(options.directory / "lock", "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            print(f"another twin runs in {options.directory}", file=sys.stderr)
            return LabError.exit_code
        return _serve(options.directory, tuple(options.swap) if options.swap else None)


def _serve(directory: Path, swapped: tuple[str, str] | None) -> int:
    settings = Settings.model_validate_json((directory / "twin.json").read_bytes()[:MAX_SETTINGS_BYTES])
    book = TemplateBook(settings.templates, settings.people)
    templates = {item.template.name: item.template for item in settings.templates}
    assert set(templates) == set(book.names())
    laboratory = Laboratory(
        directory / "journal.jsonl",
        Guards(templates, settings.people),
        Operations(find_chemistry(settings.chemistry, settings.seed), _diffraction(directory, settings), settings.seed),
        Accelerated(settings.origin_s, settings.speed),
        settings.faults,
        Rules(watchdog_s=settings.watchdog_s),
    )
    servers = Servers(laboratory, directory / "identities", settings.ports, settings.host, swapped, settings.protocols)
    known = Addresses(addresses=servers.addresses)
    temporary = directory / "addresses.json.new"
    temporary.touch(mode=0o600)  # it holds the tokens
    temporary.write_text(known.model_dump_json(indent=1), encoding="utf-8")
    os.replace(temporary, directory / "addresses.json")
    signal.signal(signal.SIGTERM, lambda *_: servers.stop())
    print("ready", flush=True)
    servers.run(settings.lifetime_s)
    servers.close()
    laboratory.close()
    return 0


def _diffraction(directory: Path, settings: Settings) -> Diffraction:
    if not settings.phases_file:
        return Background()
    raw = json.loads((directory / settings.phases_file).read_bytes()[:MAX_SETTINGS_BYTES])
    phases = [Phase.model_validate(item) for item in raw]
    return Simulated({name: phase for phase in phases for name in (phase.id, phase.formula)})


if __name__ == "__main__":
    sys.exit(main())
