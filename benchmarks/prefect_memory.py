"""Memory and open files of a campaign whose rounds a real Prefect server shows: `python -m benchmarks.prefect_memory`.

Three processes: the campaign (which imports no Prefect), its mirror (Prefect's client, replaced after some rounds),
and the server. A round here has four stages that do nothing and the artifacts of a real one. Exit status 1 when the
campaign or the mirror grows by more than GROWTH_MB in 100 rounds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lodestone.loops.flow import Artifact, PrefectShow
from lodestone.loops.settings import PrefectSettings

GROWTH_MB = 5.0
"""Allowed in 100 rounds, from the first 50 on (allocators settle before)."""
STAGES = ("generate", "relax", "recognise", "evaluate")
AHEAD = 3
"""Rounds that may wait to be shown: the campaign here waits, so that all rounds are shown within the run."""
START_S = 180.0


@dataclass
class Use:
    """Of one process, in MB and open files."""

    memory: float = 0.0
    files: int = 0

    @classmethod
    def of(cls, pid: int | None) -> Use:
        """What a process uses now; nothing when it has just ended."""
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
            return cls(int(resident.split()[1]) / 1024, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()))
        except (OSError, StopIteration):
            return cls()

    def most(self, other: Use) -> Use:
        return Use(max(self.memory, other.memory), max(self.files, other.files))


def trivial_round(show: PrefectShow, number: int) -> None:
    """Four stages without work, and artifacts like those of a real round."""

    def body(runner: Callable[[str, Callable[[], None]], None]) -> None:
        for stage in STAGES:
            runner(stage, lambda: None)

    rows = [{"formula": f"Na{i}Cl", "space group": "Fm-3m", "band gap / eV": i / 10} for i in range(10)]
    artifacts = [
        Artifact("table", "crystals", f"Crystals of round {number}", rows),
        Artifact("markdown", "plan", f"Plan of round {number}", "because " * 50),
        Artifact("progress", "budget", "Budget spent", min(100.0, number / 2)),
    ]
    show.run_round(f"round {number}", body, lambda: artifacts)


def main() -> int:
    """Print the table; 1 when memory grows too fast."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    steps = max(options.rounds // 4, 1)
    table: list[tuple[int, list[Use]]] = []
    with tempfile.TemporaryDirectory() as folder:
        show = PrefectShow(
            Path(folder), PrefectSettings(enabled=True, home="", restart_after_s=30.0, digest_cron="0 8 * * *"), print
        )
        show.start()
        began = time.monotonic()
        while not show.server.is_well:
            if time.monotonic() - began > START_S:
                print(f"The server did not start in {START_S:.0f} s.")
                return 1
            time.sleep(0.2)
        began, most, times = time.monotonic(), Use(), []
        for number in range(options.rounds + 1):
            if number:
                at = time.monotonic()
                trivial_round(show, number)
                times.append(time.monotonic() - at)
                while show.waiting() > (0 if number == options.rounds else AHEAD):
                    most = most.most(Use.of(show.mirror))
                    time.sleep(0.02)
            if number % steps == 0:
                server = show.server.process
                table.append((number, [Use.of(os.getpid()), most, Use.of(server.pid if server else None)]))
                most = Use()
        seconds = time.monotonic() - began
        show.stop()
    print(f"{'rounds':>6}  {'campaign':>16}  {'mirror, most':>16}  {'server':>16}")
    for number, uses in table:
        cells = "  ".join(f"{u.memory:7.1f} MB {u.files:3d} f" for u in uses)
        print(f"{number:6d}  {cells}")
    times.sort()
    held_up = times[len(times) // 2] * 1e3
    print(f"{options.rounds / seconds * 60:.0f} rounds shown a minute; a round is held up {held_up:.1f} ms (median)")
    grown = [growth(table, which) for which in (0, 1)]
    print(f"growth in 100 rounds: campaign {grown[0]:+.1f} MB, mirror {grown[1]:+.1f} MB")
    return int(max(grown) > GROWTH_MB)


def growth(table: list[tuple[int, list[Use]]], which: int) -> float:
    """MB in 100 rounds of one process, from the second line of the table to the last."""
    first, last = table[1], table[-1]
    if first[0] == last[0]:
        return 0.0
    return (last[1][which].memory - first[1][which].memory) / (last[0] - first[0]) * 100


if __name__ == "__main__":
    sys.exit(main())
