"""The feature definitions, in SiLA's notation, and the bounds that they give to parameters under every protocol.

What is not here: sila2 itself, which compiles them where a server or a client is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from .instrument import Bound, Command, Limits, Value

if TYPE_CHECKING:
    from lxml.etree import _Element

CONTROL = "InstrumentControl"
FEATURES = {
    "dosing": "PowderDosing",
    "mixing": "PowderMixing",
    "furnace": "FurnaceControl",
    "transport": "SampleTransport",
    "diffractometer": "PowderDiffractometer",
}
"""Kind of instrument to the feature of its own work; each has `InstrumentControl` as well."""
COMMON = ("emergency_stop", "clear_stop", "answer")
"""Commands of `InstrumentControl` that carry an idempotency key."""
ENVELOPE = ("key", "issued_at")
_NAMESPACE = {"s": "http://www.sila-standard.org"}


def definition(feature: str) -> str:
    """The XML of a feature."""
    return (resources.files(__package__) / "sila" / "features" / f"{feature}.sila.xml").read_text(encoding="utf-8")


def identifier(name: str) -> str:
    """`temperature_k` as SiLA has it: `TemperatureK`."""
    return "".join(piece.capitalize() for piece in name.split("_"))


def snake(name: str) -> str:
    """`TemperatureK` as Lodestone has it: `temperature_k`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@cache
def limits(kind: str) -> Limits:
    """Every command of a kind of instrument and the bounds of its parameters, as the feature definitions state them."""
    commands = dict(_commands(FEATURES[kind]))
    commands.update((name, bounds) for name, bounds in _commands(CONTROL) if name in COMMON)
    return Limits(commands=commands)


@cache
def parameters(feature: str, command: str) -> tuple[str, ...]:
    """Names of the parameters of a command in the order of the definition, the envelope among them."""
    for node in _root(feature).iterfind("s:Command", _NAMESPACE):
        if snake(_text(node, "s:Identifier")) == command:
            return tuple(snake(_text(p, "s:Identifier")) for p in node.iterfind("s:Parameter", _NAMESPACE))
    return ()


def typed(kind: str, command: Command) -> dict[str, Value]:
    """The envelope and the parameters of a command in the order of its definition, quantities as floating point."""
    feature = CONTROL if command.name in COMMON else FEATURES[kind]
    numeric = {b.name for b in limits(kind).commands[command.name] if b.minimum is not None or b.maximum is not None}
    said: dict[str, Value] = {"key": command.key, "issued_at": float(command.issued_at_s), **command.parameters}
    return {
        name: float(said[name]) if name in numeric and not isinstance(said[name], str | bool) else said[name]
        for name in parameters(feature, command.name)
    }


def _commands(feature: str) -> Iterator[tuple[str, tuple[Bound, ...]]]:
    for node in _root(feature).iterfind("s:Command", _NAMESPACE):
        bounds = tuple(_bound(p) for p in node.iterfind("s:Parameter", _NAMESPACE))
        yield snake(_text(node, "s:Identifier")), tuple(b for b in bounds if b.name not in ENVELOPE)


def _bound(node: _Element) -> Bound:
    inside = "s:DataType/s:Constrained/s:Constraints/"
    low, high = _text(node, inside + "s:MinimalInclusive"), _text(node, inside + "s:MaximalInclusive")
    return Bound(
        name=snake(_text(node, "s:Identifier")),
        unit=_text(node, inside + "s:Unit/s:Label"),
        minimum=float(low) if low else None,
        maximum=float(high) if high else None,
        choices=tuple(str(v.text) for v in node.iterfind(inside + "s:Set/s:Value", _NAMESPACE)),
        pattern=_text(node, inside + "s:Pattern"),
    )


def _text(node: _Element, path: str) -> str:
    return str(node.findtext(path, default="", namespaces=_NAMESPACE))


@cache
def _root(feature: str) -> _Element:
    from lxml import etree

    return etree.fromstring(definition(feature).encode(), parser=etree.XMLParser(resolve_entities=False))
