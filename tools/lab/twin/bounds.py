"""What the twin accepts as parameters, whatever a client's feature definition says: names, types, bounds, finiteness.

Written from the machine's side and not shared with the driver. What is not here: whether the command is safe now.
"""

from __future__ import annotations

import math
import re
from typing import Any

_SAMPLE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PLACE = re.compile(r"[a-z][a-z0-9_]{0,31}")
_FORMULA = re.compile(r"[A-Z][A-Za-z0-9().]{0,63}")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_WORDS = re.compile(r"[ -~°–]{1,512}")
_HEX = re.compile(r"[0-9a-f]{0,128}")
_GASES = ("air", "oxygen", "argon", "nitrogen", "hydrogen_argon", "vacuum")
_CRUCIBLES = ("alumina", "zirconia", "magnesia", "platinum", "graphite")

Rule = re.Pattern[str] | tuple[str, ...] | tuple[float, float]

_COMMON: dict[str, dict[str, Rule]] = {
    "emergency_stop": {"reason": _WORDS},
    "clear_stop": {"nonce": _NAME, "person": _WORDS, "signature": _HEX},
    "answer": {"question": _NAME, "answer": _NAME, "person": _WORDS, "signature": _HEX},
}
_OWN: dict[str, dict[str, dict[str, Rule]]] = {
    "dosing": {"dose": {"sample": _SAMPLE, "formula": _FORMULA, "mass_mg": (1.0, 5000.0)}},
    "mixing": {"mix": {"sample": _SAMPLE, "duration_min": (1.0, 240.0)}},
    "furnace": {
        "open_door": {},
        "close_door": {},
        "set_atmosphere": {"atmosphere": _GASES},
        "heat": {
            "sample": _SAMPLE,
            "template": _NAME,
            "temperature_k": (373.15, 1773.15),
            "temperature_c": (100.0, 1500.0),
            "ramp_k_per_min": (0.1, 20.0),
            "hold_h": (0.0, 72.0),
            "atmosphere": _GASES,
        },
        "cool": {"sample": _SAMPLE},
    },
    "transport": {
        "take_crucible": {"sample": _SAMPLE, "crucible": _CRUCIBLES, "destination": _PLACE},
        "move": {"sample": _SAMPLE, "source": _PLACE, "destination": _PLACE},
    },
    "diffractometer": {
        "measure": {
            "sample": _SAMPLE,
            "start_deg": (5.0, 150.0),
            "end_deg": (10.0, 160.0),
            "step_deg": (0.005, 0.5),
            "time_per_step_s": (0.01, 60.0),
        }
    },
}


def kind_of(instrument: str) -> str:
    """`furnace` for `furnace_2`; the other instruments are the only ones of their kind."""
    return "furnace" if instrument.startswith("furnace_") else instrument


def why_malformed(instrument: str, name: str, parameters: dict[str, Any]) -> str:
    """Why a command is no command of an instrument; empty when it is one."""
    commands = _COMMON | _OWN[kind_of(instrument)]
    rules = commands.get(name)
    if rules is None:
        return f"{instrument} has no command '{name}'"
    if set(parameters) != set(rules):
        missing, unknown = sorted(set(rules) - set(parameters)), sorted(set(parameters) - set(rules))
        return f"{name} misses {missing} and does not know {unknown}"
    for parameter, rule in rules.items():
        why = _why(parameters[parameter], rule)
        if why:
            return f"{parameter} {why}"
    return ""


def _why(value: Any, rule: Rule) -> str:
    if isinstance(rule, re.Pattern):
        return "" if isinstance(value, str) and rule.fullmatch(value) else f"is malformed: {value!r:.80}"
    if isinstance(rule[0], str):
        return "" if value in rule else f"is {value!r:.80}, not one of {', '.join(map(str, rule))}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"is no number: {value!r:.80}"
    low, high = float(rule[0]), float(rule[1])
    if not math.isfinite(value):
        return f"is {value}"
    return "" if low <= value <= high else f"is {value:g}, allowed are {low:g} to {high:g}"
