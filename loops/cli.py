"""The command line: parses, dispatches, and turns every error into one clear line and an exit code.

What is not here: what the commands do (`commands.py`, loaded only when one is run, so that `--help` is instant).
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..tools.core.errors import GoalError, LedgerError, LodestoneError

EXIT_CODES = """\
exit codes:
  0    done                          5    a tool is missing or was misused
  1    a defect: please report it    6    the evaluator is missing or broken
  2    wrong usage                   7    the budget does not allow it
  3    the goal cannot be understood 8    the campaign directory: missing, in use, full, damaged, other version
  4    a setting is wrong            130  stopped by Ctrl-C (or SIGTERM); `lodestone resume` goes on
"""

FORMATS = ("cif", "poscar", "extxyz", "db", "json")


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="lodestone",
        description="One sentence in, evaluated crystals out.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: ./config.toml)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="what this machine can do, and how to get what is missing")
    _json_flag(doctor)

    goal = commands.add_parser("goal", help="show what is understood of a request")
    goal.add_argument("words", nargs="?", default="", help='e.g. "a stable binary oxide of Mg; 10 evaluations"')
    goal.add_argument("--properties", action="store_true", help="list what can be asked for, and what yields it")
    _json_flag(goal)

    run = commands.add_parser("run", help="run a campaign")
    run.add_argument("words", help='e.g. "find the ground state of NaCl; 8 evaluations"')
    run.add_argument("--yes", action="store_true", help="accept the understood goal without asking")
    run.add_argument("--evaluator", metavar="NAME", help="auto, gpaw, espresso, abinit, vasp, sevennet or lab")
    run.add_argument("--evaluations", type=int, metavar="N", help="cap on evaluations, references included")
    run.add_argument("--core-hours", type=float, metavar="H", help="cap on core-hours of all evaluations")
    run.add_argument("--money", type=float, metavar="M", help="cap on money, at the prices of [costs]")
    run.add_argument("--rounds", type=int, metavar="N", help="cap on rounds")
    run.add_argument("--wall", metavar="TIME", help="cap on wall time, e.g. 90m, 2h, 3d")
    run.add_argument("--seed", type=int, metavar="N", help="seed of every random choice")
    run.add_argument("--dir", type=Path, metavar="DIR", help="campaign directory (default: campaigns/…)")
    run.add_argument(
        "--former", nargs="*", metavar="DIR", help="campaigns of the same evaluator whose measurements it learns from"
    )
    _json_flag(run)

    make = commands.add_parser("make", help="make a crystal that a campaign found, in a laboratory")
    make.add_argument("former", type=Path, metavar="DIR", help="of the campaign that found it")
    make.add_argument(
        "which", nargs="?", default="", metavar="CRYSTAL", help="formula or first digits of its id (best)"
    )
    make.add_argument("--yes", action="store_true", help="begin without asking")
    make.add_argument("--experiments", dest="evaluations", type=int, metavar="N", help="cap on samples")
    make.add_argument("--purity", type=_share, metavar="P", help="weight fraction that is asked for, e.g. 0.8 or 80%%")
    make.add_argument("--wall", metavar="TIME", help="cap on wall time, e.g. 90m, 2h, 3d")
    make.add_argument("--seed", type=int, metavar="N", help="seed of every random choice")
    make.add_argument("--dir", type=Path, metavar="DIR", help="campaign directory (default: campaigns/…)")
    make.set_defaults(evaluator="lab")
    _json_flag(make)

    for name, text in (
        ("status", "where a campaign stands"),
        ("resume", "go on with a stopped campaign"),
        ("report", "write the report of a campaign again"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("directory", type=Path, metavar="DIR")
        _json_flag(command)

    pick = commands.add_parser("pick", help="which rows of a table to measure next; needs no campaign")
    pick.add_argument("table", type=Path, metavar="TABLE", help="CSV file with a header; measured rows have a target")
    pick.add_argument("--target", required=True, metavar="COLUMN", help="column of the outcome")
    pick.add_argument("--maximise", "--maximize", action="store_true", help="high is good")
    pick.add_argument("--minimise", "--minimize", action="store_true", help="low is good")
    pick.add_argument("--aim", type=float, metavar="V", help="this value is wanted")
    pick.add_argument("--above", type=float, metavar="V", help="find all rows above (and, with --below, between)")
    pick.add_argument("--below", type=float, metavar="V", help="find all rows below")
    pick.add_argument("--boundary", type=float, metavar="V", help="learn where the outcome passes this value")
    pick.add_argument("--map", action="store_true", help="learn the outcome everywhere")
    pick.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="WISH",
        help="another target: NAME=maximise, NAME=minimise, NAME=V, NAME>=V or NAME<=V; may be given several times",
    )
    pick.add_argument("-n", "--count", type=int, default=1, metavar="N", help="rows wanted (default: 1)")
    pick.add_argument("--pool", type=Path, metavar="FILE", help="more rows that can be measured; of any length")
    pick.add_argument(
        "--former",
        type=Path,
        nargs="*",
        default=[],
        metavar="FILE",
        help="measured tables of a similar kind to learn from",
    )
    pick.add_argument("--ignore", nargs="*", default=[], metavar="COLUMN", help="columns that say nothing")
    pick.add_argument("--text", nargs="*", default=[], metavar="COLUMN", help="columns of labels and codes only")
    pick.add_argument("--why", action="store_true", help="say which columns matter, and what speaks for each pick")
    pick.add_argument("--repeat", action="store_true", help="measured rows may be picked again")
    pick.add_argument("--out", type=Path, metavar="FILE", help="write the picks as CSV")
    pick.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the sample of models")
    _json_flag(pick)

    computed = commands.add_parser("property", help="one property of one crystal by a potential; needs no campaign")
    computed.add_argument("name", metavar="PROPERTY", help='e.g. "elastic moduli", "phonons", "surface energy"')
    computed.add_argument("--cif", type=Path, required=True, metavar="FILE", help="CIF, POSCAR or extended xyz")
    computed.add_argument("--potential", default="chgnet", metavar="NAME", help="as in [relax] (default: chgnet)")
    computed.add_argument("--element", metavar="X", help="that is missing (vacancy) or moves (migration)")
    computed.add_argument("--plane", type=int, nargs=3, metavar=("H", "K", "L"), help="of a surface")
    computed.add_argument("--temperature", type=float, default=300.0, metavar="K", help="of thermal expansion")
    computed.add_argument(
        "--reference", action="append", default=[], metavar="X=E", help="energy of an element in eV/atom; several times"
    )
    computed.add_argument("--out", type=Path, metavar="DIR", help="folder for the force constants of phonons")
    computed.add_argument(
        "--max-cost", type=int, default=60_000, metavar="N", help="atoms times force evaluations (default: 60000)"
    )
    _json_flag(computed)

    calc = commands.add_parser("calc", help="one calculation of one crystal, from a sentence; needs no campaign")
    calc.add_argument("words", help='e.g. "PBE band gap of rocksalt MgO"')
    calc.add_argument("--cif", type=Path, metavar="FILE", help="the crystal: CIF, POSCAR or extended xyz")
    calc.add_argument("--relax", action="store_true", help="relax the crystal of --cif with the potential first")
    calc.add_argument("--evaluator", metavar="NAME", help="auto, gpaw, espresso, abinit, vasp or sevennet")
    calc.add_argument("--protocol", choices=("fast", "moderate", "precise"), help="of a DFT code")
    calc.add_argument("--yes", action="store_true", help="run without asking")
    calc.add_argument("--out", type=Path, metavar="DIR", help="folder of all files (default: calculations/…)")
    _json_flag(calc)

    serve = commands.add_parser("serve", help="look after all campaigns of a folder, for weeks")
    serve.add_argument("root", type=Path, nargs="?", default=Path("campaigns"), metavar="ROOT")
    serve.add_argument("--status", action="store_true", help="show what the service knows, and end")
    serve.add_argument("--install-unit", action="store_true", help="write a systemd unit, and end")
    _json_flag(serve)
    for name, text in (
        ("pause", "no new work; running evaluations go on"),
        ("start", "go on after pause, stop or a question"),
        ("stop", "no new work, and running evaluations end"),
        ("priority", "weight of a campaign's share of the cores"),
    ):
        command = commands.add_parser(name, help=f"{text} (for `serve`)")
        command.add_argument("directory", type=Path, metavar="DIR")
        if name == "priority":
            command.add_argument("priority", type=int, metavar="1..100")
        else:
            command.add_argument("--reason", default="", metavar="WORDS", help="why; `serve --status` shows it")
        _json_flag(command)

    notify = commands.add_parser("notify", help="notifications by webhook, mail or on the desktop")
    notify.add_argument("action", choices=("test",), help="send a test message on every channel that is set")
    _json_flag(notify)

    ledger = commands.add_parser(
        "ledger", help="verify, copy, restore a campaign's ledger; settle what nobody can know"
    )
    actions = ledger.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("verify", "check every entry against every other"),
        ("backup", "copy it while the campaign runs"),
        ("restore", "put a copy in its place; the old one is kept"),
        ("migrate", "bring it to the version of this program"),
        ("settle", "say what became of an evaluation of unknown state"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("directory", type=Path, metavar="DIR")
        if name in ("backup", "restore"):
            action.add_argument("file", type=Path, metavar="FILE")
        if name == "settle":
            action.add_argument("key", metavar="KEY", help="the first digits are enough")
            action.add_argument("what", choices=("failed", "again"))
        _json_flag(action)

    _add_lab(commands)

    potential = commands.add_parser("potential", help="versions of a campaign's potential; go back to one")
    potential.add_argument("directory", type=Path, metavar="DIR")
    potential.add_argument("--use", metavar="NAME", help="fix this version; `auto`: learn again from now on")
    _json_flag(potential)

    explain = commands.add_parser("explain", help="why a crystal was chosen, or was not")
    explain.add_argument("directory", type=Path, metavar="DIR")
    explain.add_argument("which", nargs="?", default="", metavar="CRYSTAL", help="formula or id; default: the best one")
    _json_flag(explain)

    export = commands.add_parser("export", help="write the evaluated crystals as files")
    export.add_argument("directory", type=Path, metavar="DIR")
    export.add_argument("--format", choices=FORMATS, default="cif", help="default: cif")
    export.add_argument("--out", type=Path, metavar="DIR", help="where to (default: DIR/export)")
    _json_flag(export)
    return parser


def _add_lab(commands: Any) -> None:
    lab = commands.add_parser("lab", help="laboratories: start a simulated one, look, answer, clear a stop")
    actions = lab.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, text in (
        ("twin", "found or start a simulated laboratory, and serve it until Ctrl-C"),
        ("status", "what every instrument says"),
        ("answer", "tell an instrument what only a person can see"),
        ("stop", "emergency stop: heaters off, and nothing moves until a person clears it"),
        ("clear", "clear a latched emergency stop"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("directory", type=Path, metavar="DIR", help="of the laboratory, or of a campaign in it")
        if name == "twin":
            action.add_argument("--seed", type=int, default=0, metavar="N", help="of its hidden chemistry")
            action.add_argument(
                "--speed", type=float, default=20_000.0, metavar="X", help="laboratory seconds a second"
            )
            action.add_argument(
                "--protocol", action="append", default=[], metavar="[INSTRUMENT=]NAME",
                help="sila2 (default), opcua or http, of all instruments or of one; may be given again",
            )  # fmt: skip
        if name == "answer":
            action.add_argument("question", metavar="QUESTION", help="its number, as `lab status` shows it")
            action.add_argument("answer", metavar="ANSWER", help="one of the options")
        if name == "stop":
            action.add_argument("--reason", default="by command", metavar="WORDS", help="why; everybody is shown it")
        if name in ("answer", "clear"):
            action.add_argument("--person", required=True, metavar="NAME", help="who says so")
            action.add_argument("--key", type=Path, required=True, metavar="FILE", help="that person's private key")
        _json_flag(action)
    action = actions.add_parser("key", help="make a person's key; prints the public half")
    action.add_argument("file", type=Path, metavar="FILE", help="for the private half; must not exist")
    _json_flag(action)


def _share(text: str) -> float:
    """`0.8` or `80%`."""
    share = float(text.rstrip("% ")) / (100.0 if text.rstrip().endswith("%") else 1.0)
    if not 0.0 < share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text} is no share of a whole")
    return share


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.version:
        from importlib.metadata import version

        print(f"lodestone {version('lodestone')}")
        return 0
    if options.command is None:
        parser.print_help()
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    # Threads that spin while they wait slow each other to a crawl as soon as anything else runs on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # MKL otherwise picks kernels by how memory happens to be aligned: a resumed campaign would differ in last digits.
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    # moyopy remarks on every supercell that it was given one; that is no news to anybody here.
    logging.getLogger("moyo").setLevel(logging.ERROR)
    try:
        if options.command == "pick":
            if options.also:
                from .pick_several import pick_several

                return pick_several(options)
            from .pick import pick

            return pick(options)
        if options.command == "lab":
            from .lab_commands import run as run_lab_command

            return run_lab_command(options)
        if options.command == "potential":
            from .potential_commands import potential

            return potential(options)
        if options.command == "property":
            from .property_commands import compute

            return compute(options)
        if options.command == "calc":
            from .calculate import calculate

            return calculate(options)
        from . import commands

        return int(getattr(commands, options.command)(options))
    except LodestoneError as error:
        return _complain(error.problem, error.remedy, error.exit_code, options)
    except KeyboardInterrupt:
        if options.command == "calc":
            return _complain("Stopped.", "The same command with the same --out begins again.", 130, options)
        where = getattr(options, "directory", None) or getattr(options, "dir", None)
        hint = f"Go on with `lodestone resume {where}`." if where else "Go on with `lodestone resume DIR`."
        return _complain("Stopped.", hint, 130, options)
    except BrokenPipeError:
        # The reader of a pipe went away (`| head`): that is not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = (
            "Free space, then `lodestone resume`; nothing recorded was lost." if full else "Check it, then try again."
        )
        return _complain(
            f"{error.filename or 'A file'}: {error.strerror or error}.", remedy, LedgerError.exit_code, options
        )
    except Exception as error:
        if os.environ.get("LODESTONE_DEBUG"):
            raise
        return _complain(
            f"Unexpected {type(error).__name__}: {error}",
            "This is a defect. Set LODESTONE_DEBUG=1 to see where, and report it; the ledger is safe.",
            1,
            options,
        )


def parse_duration(text: str) -> float:
    """`90m`, `2h`, `3d`, `1.5 h` as hours. Raises GoalError."""
    units = {"s": 1 / 3600, "m": 1 / 60, "min": 1 / 60, "h": 1.0, "d": 24.0}
    stripped = text.strip().lower().replace(" ", "")
    number = stripped.rstrip("abcdefghijklmnopqrstuvwxyz")
    try:
        hours = float(number) * units[stripped[len(number) :]]
    except (ValueError, KeyError):
        raise GoalError(f"Cannot read the time '{text}'.", "Write e.g. 90m, 2h or 3d.") from None
    if not 0 < hours < float("inf"):
        raise GoalError(f"A time of '{text}' leaves nothing to run.", "Give more than zero, e.g. 2h.")
    return hours


def _json_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable output")


def _complain(problem: str, remedy: str, code: int, options: argparse.Namespace) -> int:
    if getattr(options, "json", False):
        payload: dict[str, Any] = {"error": problem, "remedy": remedy, "exit_code": code}
        print(json.dumps(payload, ensure_ascii=False), file=sys.stderr)
    else:
        word = "lodestone" if code == 130 else "error"
        print(f"{word}: {' '.join(f'{problem} {remedy}'.split())}", file=sys.stderr)
    return code


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
