"""Rules for what may be in the crystals: systems, formulas, elements wanted and excluded, classes of compounds.

Each rule looks at one place of a `Reader` and returns the index after what it used, or None when it does not apply.
Which elements an open request allows in the end is decided in `space.py`.
"""

from __future__ import annotations

from ..tools.core.errors import GoalError
from .elements import Item, item_at, looks_like_symbol, suggest_element
from .reader import Reader
from .vocabulary import ANY_OF_CLASSES, CLASSES, METALS, NON_GROUPS, STRUCTURE_TYPES, split_words

_EXCLUDE = (
    ("not", "containing"), ("must", "not", "contain"), ("should", "not", "contain"), ("does", "not", "contain"),
    ("do", "not", "contain"), ("free", "of"), ("free", "from"), ("without", "any"), ("without",), ("excluding",),
    ("exclude",), ("except", "for"), ("except",), ("avoiding",), ("avoid",), ("but", "no"), ("with", "no"), ("no",),
    ("not",),
)  # fmt: skip
_ONLY = (
    ("using", "only"), ("only", "using"), ("made", "only", "of"), ("only", "from"), ("only", "with"),
    ("from", "the", "elements"), ("any", "of"), ("chosen", "from"), ("limited", "to"), ("restricted", "to"),
    ("among",), ("from",), ("only",),
)  # fmt: skip
_CLOSED = (("made", "of"), ("composed", "of"), ("consisting", "of"), ("made", "from"), ("combining",))
_INCLUDE = (
    ("must", "contain"), ("which", "contain"), ("that", "contain"), ("based", "on"), ("rich", "in"), ("containing",),
    ("contains",), ("contain",), ("including",), ("includes",), ("include",), ("having",), ("plus",), ("with",),
    ("using",),
)  # fmt: skip
_ANYTHING = (
    ("any", "elements"), ("any", "element"), ("any", "chemistry"), ("any", "composition"), ("all", "elements"),
    ("any", "chemical", "system"), ("whole", "periodic", "table"), ("periodic", "table"),
)  # fmt: skip
_COMPARED = (("such", "as"), ("similar", "to"), ("analogous", "to"), ("better", "than"), ("like",), ("than",))
_OPEN_NOUNS = frozenset(
    split_words(
        "compound compounds material materials alloy alloys salt salts mineral minerals ceramic ceramics ion ions "
        "electrolyte electrolytes conductor conductors chemistry solid solids"
    )
)
_ARTICLES = frozenset({"the", "element", "elements", "any", "either", "both", "of", "a"})
_JOINTS = frozenset({",", "and", "or", "nor", "&", "+", "/"})


def aside(reader: Reader, index: int) -> int | None:
    """What must not be read as chemistry: structure types, comparisons (`like NaCl`), space groups."""
    for words in STRUCTURE_TYPES:
        if end := reader.phrase(index, words):
            note = f"'{reader.words(index, end)}': the structure type cannot be fixed yet; all are searched"
            _note(reader, note)
            return reader.ignore(index, end)
    if end := reader.phrase(index, ("space", "group")):
        end = reader.glued_run(end) if end < len(reader) else end
        _note(reader, "a space group cannot be fixed yet; all 230 are searched")
        return reader.ignore(index, end)
    for words in _COMPARED:
        end = reader.phrase(index, words) or 0
        if end and (item := item_at(reader, end, False)) and item.source in {"formula", "system"}:
            _note(reader, f"'{reader.words(index, item.end)}' read as a comparison, not as a composition")
            return reader.ignore(index, item.end)
    run_end = reader.glued_run(index)
    if run_end > index + 1 and reader.low(run_end - 1) in {"type", "like", "structured", "ion", "ray", "mesh", "doped"}:
        ion = reader.low(run_end - 1) == "ion" and item_at(reader, index, False) is None
        if ion or reader.low(run_end - 1) != "ion":
            return reader.ignore(index, run_end)
    return None


def anything(reader: Reader, index: int) -> int | None:
    """`any elements`: the search is open on purpose."""
    for words in _ANYTHING:
        if end := reader.phrase(index, words):
            reader.request.anything = True
            return reader.use(index, end)
    return None


def exclusion(reader: Reader, index: int) -> int | None:
    """`without Pb`, `no lead or cadmium`, `Co-free`, `lead- and cadmium-free`, `non-toxic`."""
    for words, elements in NON_GROUPS.items():
        if end := reader.phrase(index, words):
            _exclude(reader, elements, reader.words(index, end))
            return reader.use(index, end)
    for words in _EXCLUDE:
        if (end := reader.phrase(index, words)) is None:
            continue
        items, list_end, _ = _listed(reader, end)
        if items:
            for item in items:
                if item.source in {"formula", "system"}:
                    raise GoalError(f"'{reader.words(index, item.end)}': only elements can be excluded.", "Name them.")
                _exclude(reader, item.elements, reader.words(index, list_end))
            return reader.use(index, list_end)
        word = reader.low(end)
        if anions := CLASSES.get(word) or ANY_OF_CLASSES.get(word):
            if word in CLASSES and len(anions) > 1:
                raise GoalError(f"'{reader.words(index, end + 1)}': only elements can be excluded.", "Name them.")
            _exclude(reader, anions, reader.words(index, end + 1))
            return reader.use(index, end + 1)
        _unknown_element(reader, end)
    items, end, _ = _listed(reader, index, bare=True)
    if items and items[-1].suffix == "free":
        for item in items:
            _exclude(reader, item.elements, reader.words(index, end))
        return reader.use(index, end)
    return None


def inclusion(reader: Reader, index: int) -> int | None:
    """`containing Li`, `with sodium or potassium`, `made of Al and Ni`, `only Li, P and S`, `Li-based`."""
    for phrases, kind in ((_ONLY, "only"), (_CLOSED, "closed"), (_INCLUDE, "include")):
        for words in phrases:
            if (end := reader.phrase(index, words)) is None:
                continue
            items, list_end, joint = _listed(reader, end)
            if not items:
                _unknown_element(reader, end)
                continue
            if any(item.source in {"formula", "system"} for item in items) and kind != "include":
                continue
            said = reader.words(index, list_end)
            if items[-1].suffix == "free":
                continue
            _take(reader, items, kind, joint, said)
            return reader.use(index, list_end)
    item = item_at(reader, index, False)
    if item and item.suffix in {"based", "containing", "bearing", "rich"}:
        _require(reader, item, reader.words(index, item.end))
        return reader.use(index, item.end)
    return None


def bare(reader: Reader, index: int) -> int | None:
    """`Li-P-S`, `NaCl`, `Na Cl system`, `lithium oxides`, `oxide`, `silicon`."""
    items, end, joint = _listed(reader, index, bare=True)
    if not items:
        return compound_class(reader, index)
    request = reader.request
    said = reader.words(index, end)
    if len(items) == 1 and items[0].source == "group":
        followed = reader.low(end) in CLASSES or reader.low(end) in ANY_OF_CLASSES
        _take(reader, items, "only" if followed else "include", joint, said)
        return reader.use(index, end)
    if len(items) == 1 and items[0].source == "formula":
        request.formulas.setdefault(reader.words(index, end), dict(items[0].counts))
        return reader.use(index, end)
    if len(items) == 1 and items[0].source == "system":
        request.systems.append(items[0].elements)
        return reader.use(index, end)
    if any(item.source in {"formula", "system"} for item in items):
        first = items[0]
        _take_one(reader, first, reader.words(index, first.end))
        return reader.use(index, first.end)
    elements = tuple(dict.fromkeys(e for item in items for e in item.elements))
    anion = reader.low(end)
    if anion in CLASSES or anion in ANY_OF_CLASSES:
        _take(reader, items, "include", joint, said)
        if anion in CLASSES and not anion.endswith("s") and joint != "or":
            both = tuple(dict.fromkeys((*elements, *CLASSES[anion])))
            for element in elements:
                request.required.pop(element, None)
            request.systems.append(both)
            request.assumptions.append(
                f"'{reader.words(index, end + 1)}' read as the system {'-'.join(both)} and no other element"
            )
            return reader.use(index, end + 1)
        reader.use(index, end)
        return compound_class(reader, end)
    if joint == "or":
        _take(reader, items, "include", joint, said)
    elif len(elements) > 1:
        request.systems.append(elements)
        request.assumptions.append(f"'{said}' read as the system {'-'.join(elements)} and no other element")
    elif reader.low(end) in _OPEN_NOUNS or items[0].suffix in {"based", "containing"}:
        _require(reader, items[0], said)
    else:
        request.systems.append(elements)
        request.assumptions.append(f"'{said}' read as crystals of {elements[0]} alone")
    return reader.use(index, end)


def compound_class(reader: Reader, index: int) -> int | None:
    """`oxides`, `halide`, `sulfide-based`, `intermetallics`."""
    word = reader.low(index)
    end = index + 1
    token = reader.token(end)
    if token and token.glued and token.low in {"based", "containing"}:
        end += 1
    if word in CLASSES:
        reader.request.classes.append((reader.words(index, end), CLASSES[word]))
    elif word in ANY_OF_CLASSES:
        reader.request.any_of.append((reader.words(index, end), ANY_OF_CLASSES[word]))
    elif word in {"intermetallic", "intermetallics"}:
        for element in METALS:
            reader.request.only.setdefault(element, word)
    else:
        return None
    reader.use(index, end)
    if reader.low(end) == "of":
        items, list_end, joint = _listed(reader, end + 1)
        if items and not items[-1].suffix and items[0].source in {"symbol", "name", "group"}:
            _take(reader, items, "include", joint, reader.words(index, list_end))
            return reader.use(end, list_end)
    return end


def _listed(reader: Reader, index: int, bare: bool = False) -> tuple[list[Item], int, str]:
    """Elements in a row (`Li, P and S`, `Na Cl`): items, index after them, and the joint (`or` wins)."""
    at = index if bare else reader.skip(index, _ARTICLES)
    items: list[Item] = []
    joint = ""
    end = at
    while item := item_at(reader, at, bool(items) or not bare):
        follow = reader.low(item.end)
        if items and item.suffix != "free" and (follow in CLASSES or follow in ANY_OF_CLASSES) and not bare:
            break
        if items and (item.source in {"system", "formula"} or _stray_free(reader, items, item)):
            break
        items.append(item)
        end = item.end
        if item.source in {"system", "formula"} or item.suffix:
            break
        at = end
        while reader.low(at) in _JOINTS:
            joint = "or" if "or" in (joint, reader.low(at)) else reader.low(at)
            at += 1
        if at == end and item.source not in {"symbol", "name"}:
            break
    return items, end, joint if len(items) > 1 else ""


def _take(reader: Reader, items: list[Item], kind: str, joint: str, said: str) -> None:
    request = reader.request
    elements = tuple(dict.fromkeys(e for item in items for e in item.elements))
    if kind == "only":
        for element in elements:
            request.only.setdefault(element, said)
        request.assumptions.append(f"'{said}': each of {', '.join(elements)} may be used, none alone must")
    elif kind == "closed":
        request.systems.append(elements)
    elif joint in {"or", "nor"} or any(item.source == "group" for item in items):
        request.any_of.append((said, elements))
    else:
        for item in items:
            _take_one(reader, item, said)


def _take_one(reader: Reader, item: Item, said: str) -> None:
    if item.source == "formula":
        reader.request.formulas.setdefault(said.split()[-1], dict(item.counts))
    elif item.source == "system":
        reader.request.systems.append(item.elements)
    else:
        _require(reader, item, said)


def _require(reader: Reader, item: Item, said: str) -> None:
    if item.source == "group":
        reader.request.any_of.append((said, item.elements))
        return
    for element in item.elements:
        reader.request.required.setdefault(element, said)


def _exclude(reader: Reader, elements: tuple[str, ...], said: str) -> None:
    for element in elements:
        reader.request.excluded.setdefault(element, said)


def _stray_free(reader: Reader, items: list[Item], item: Item) -> bool:
    """Whether `X-free` begins anew here, rather than ending a list such as `lead- and cadmium-free`."""
    return item.suffix == "free" and not all(_hyphen_after(reader, before) for before in items)


def _hyphen_after(reader: Reader, item: Item) -> bool:
    """Whether a hyphen hangs after the item (`lead- and cadmium-free`)."""
    place = reader.tokens[item.end - 1].end
    return reader.text[place : place + 1] == "-"


def _note(reader: Reader, note: str) -> None:
    if note not in reader.request.notes:
        reader.request.notes.append(note)


def _unknown_element(reader: Reader, index: int) -> None:
    """Raise GoalError when the word after `containing`, `without`, … is a misspelt element."""
    token = reader.token(reader.skip(index, _ARTICLES))
    if token is None or token.kind != "word" or token.attached:
        return
    if name := suggest_element(token.text):
        raise GoalError(f"'{token.text}' is not an element.", f"Did you mean {name}?")
    if looks_like_symbol(token.text):
        raise GoalError(f"'{token.text}' is not an element.", "Use a symbol of the periodic table, such as Li or Pb.")
