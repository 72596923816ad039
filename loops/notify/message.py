"""What is told to people, and its four bodies: plain text, Markdown, small HTML and Slack's JSON.

A campaign's text comes from users and from tools. It is cleaned once, when a notification is made, and escaped in every
body: it can neither add a header, nor markup, nor mention anyone. What is not here: how a body travels.
"""

from __future__ import annotations

import html
import re
import unicodedata
from datetime import datetime
from typing import Any, Literal

from pydantic import AwareDatetime, Field, field_validator

from ...tools.core.types import Frozen, canonical_json, sha256

Kind = Literal["success", "failure", "person", "prefect_lost", "prefect_back", "digest", "test"]
Priority = Literal["low", "normal", "high"]

LABELS: dict[Kind, str] = {
    "success": "Done",
    "failure": "Failed",
    "person": "Needs you",
    "prefect_lost": "Prefect lost",
    "prefect_back": "Prefect back",
    "digest": "Daily digest",
    "test": "Test",
}
"""The first words of every subject."""

PRIORITIES: dict[Kind, Priority] = {"failure": "high", "person": "high", "prefect_lost": "low", "prefect_back": "low"}
"""Kinds that are not of normal priority."""

_COLOURS: dict[Priority, str] = {"low": "#5b6675", "normal": "#0b5cad", "high": "#b3261e"}

MAX_TITLE, MAX_TEXT, MAX_FACT, MAX_FACTS = 200, 10_000, 300, 40
"""Longest title, text and fact, in characters; most facts. What is longer is cut, and shows it."""

_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
"""Unicode categories that are taken out: controls, direction overrides, surrogates, private and unassigned."""
_BREAKS = re.compile("\r\n|[\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>&#~|!$]|:(?=[\w+-]+:))")
_LINE_START = re.compile(r"^(\d+)([.)])|^([-+=])")


class Notification(Frozen):
    """One message to people. Made by `make`, which gives it the id that keeps it from being sent for two events."""

    id: str = Field(pattern=r"^[0-9a-f]{64}$")
    kind: Kind
    campaign: str
    title: str
    text: str
    at: AwareDatetime
    facts: dict[str, str | int | float]

    @classmethod
    def make(
        cls,
        kind: Kind,
        campaign: str,
        what: str,
        *,
        title: str,
        text: str,
        at: datetime,
        facts: dict[str, str | int | float] | None = None,
    ) -> Notification:
        """A notification whose id is sha256 of campaign, kind and `what`.

        Args:
            kind: which switch turns it on, and its priority.
            campaign: id of the campaign.
            what: the event itself, the same words however often it is reported (an evaluation key, "finished").
            title: one line.
            text: a few lines.
            at: when it happened, with a time zone.
            facts: short label to value.
        """
        identity = sha256(canonical_json([_clean(campaign), kind, _clean(what)]))
        return cls(id=identity, kind=kind, campaign=campaign, title=title, text=text, at=at, facts=facts or {})

    @field_validator("campaign", "title", mode="before")
    @classmethod
    def _one_line(cls, value: Any) -> Any:
        return one_line(value, MAX_TITLE) if isinstance(value, str) else value

    @field_validator("text", mode="before")
    @classmethod
    def _lines(cls, value: Any) -> Any:
        return _cut(_clean(value).strip(), MAX_TEXT) if isinstance(value, str) else value

    @field_validator("facts", mode="before")
    @classmethod
    def _short_facts(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            one_line(str(key), MAX_FACT): one_line(fact, MAX_FACT) if isinstance(fact, str) else fact
            for key, fact in list(value.items())[:MAX_FACTS]
        }

    @property
    def priority(self) -> Priority:
        """How loudly a channel may speak."""
        return PRIORITIES.get(self.kind, "normal")


def one_line(text: str, limit: int) -> str:
    """Text without line breaks, controls and direction overrides, at most `limit` characters."""
    return _cut(" ".join(_clean(text).split()), limit)


def subject(notification: Notification) -> str:
    """One line for a mail's subject or a pop-up's title."""
    return f"[Lodestone] {LABELS[notification.kind]}: {notification.title}"


def plain(notification: Notification) -> str:
    """The body as plain text."""
    facts = "\n".join(f"{label}: {value}" for label, value in notification.facts.items())
    parts = [notification.title, notification.text, facts, f"{notification.campaign}, {_time(notification)}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown(notification: Notification) -> str:
    """The body as Markdown (CommonMark)."""
    facts = "\n".join(f"- {_marked(label)}: {_marked(str(value))}" for label, value in notification.facts.items())
    # Two spaces at the end of a line keep the break.
    lines = [_marked(_indented(line).rstrip()) for line in notification.text.split("\n")]
    paragraphs = "  \n".join(lines).replace("  \n  \n", "\n\n")
    label = LABELS[notification.kind]
    parts = [
        f"**{label}: {_marked(notification.title)}**" if notification.title else f"**{label}**",
        paragraphs,
        facts,
        _marked(f"{notification.campaign}, {_time(notification)}"),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def html_page(notification: Notification) -> str:
    """The body as one small HTML page: no script, no picture, nothing loaded from anywhere."""
    rows = "".join(
        f'<tr><td style="padding:3px 16px 3px 0;opacity:.7;vertical-align:top">{_escaped(label)}</td>'
        f'<td style="padding:3px 0;font-weight:600">{_escaped(str(value))}</td></tr>'
        for label, value in notification.facts.items()
    )
    table = f'<table style="border-collapse:collapse;margin:0 0 16px">{rows}</table>' if rows else ""
    lines = "".join(_html_line(line) for line in notification.text.split("\n"))
    text = f'<div style="margin:0 0 16px">{lines}</div>' if notification.text else ""
    colour = _COLOURS[notification.priority]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">'
        f"<title>{_escaped(subject(notification))}</title></head>"
        '<body style="margin:0;padding:24px;font:15px/1.5 system-ui,-apple-system,Segoe UI,Roboto,Arial,sans-serif">'
        f'<div style="max-width:36em;margin:0 auto;border-left:4px solid {colour};padding-left:18px;'
        'overflow-wrap:anywhere">'
        f'<p style="margin:0 0 4px"><span style="background:{colour};color:#fff;border-radius:3px;padding:1px 7px;'
        f'font-size:13px;font-weight:600">{LABELS[notification.kind]}</span></p>'
        f'<h1 style="margin:0 0 12px;font-size:19px;line-height:1.35">{_escaped(notification.title)}</h1>'
        f"{text}{table}"
        f'<p style="margin:0;font-size:13px;opacity:.7">{_escaped(notification.campaign)}, {_time(notification)}</p>'
        "</div></body></html>\n"
    )


def slack(notification: Notification) -> dict[str, Any]:
    """The body for Slack's incoming webhooks, and for Mattermost and Discord (at its `/slack` address).

    Slack shows the blocks, whose text is literal; the others show `text`. Limits: Slack's "Block Kit" reference.
    """
    title = f"{LABELS[notification.kind]}: {notification.title}"
    facts = [_literal(f"{label}\n{value}", 2000) for label, value in list(notification.facts.items())[:10]]
    blocks: list[dict[str, Any]] = [{"type": "header", "text": _literal(title, 150)}]
    if notification.text:
        blocks.append({"type": "section", "text": _literal(notification.text, 3000)})
    if facts:
        blocks.append({"type": "section", "fields": facts})
    blocks.append({"type": "context", "elements": [_literal(f"{notification.campaign}, {_time(notification)}", 2000)]})
    text = _cut(f"{title}\n\n{plain(notification).partition(chr(10))[2].strip()}", 3500)
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("@", "@\u200b")):
        text = text.replace(sign, entity)
    return {"text": text, "blocks": blocks}


def as_json(notification: Notification) -> dict[str, Any]:
    """The notification as plain JSON data, with the words a receiver needs to show it."""
    data = notification.model_dump(mode="json")
    return data | {
        "label": LABELS[notification.kind],
        "priority": notification.priority,
        "plain": plain(notification),
        "markdown": markdown(notification),
    }


def _literal(text: str, limit: int) -> dict[str, Any]:
    # Slack calls a section with more than its limit an error and shows nothing.
    return {"type": "plain_text", "text": _cut(text, limit) or " ", "emoji": False}


def _clean(text: str) -> str:
    text = _BREAKS.sub("\n", text).replace("\t", " ")
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in _INVISIBLE)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)


def _html_line(line: str) -> str:
    # Mail programs differ on white-space: a block a line, and a margin for an indent, look the same in all of them.
    style = ' style="padding-left:1.2em"' if line.startswith(" ") else ""
    return f"<div{style}>{_escaped(line) or '&nbsp;'}</div>"


def _indented(line: str) -> str:
    """No-break spaces keep an indent from becoming a code block of Markdown."""
    bare = line.lstrip(" ")
    return "\u00a0" * (len(line) - len(bare)) + bare


def _marked(line: str) -> str:
    line = _MARKDOWN.sub(r"\\\1", line)
    line = _LINE_START.sub(lambda found: f"{found[1]}\\{found[2]}" if found[1] else f"\\{found[3]}", line)
    return line.replace("@", "@\u200b")


def _time(notification: Notification) -> str:
    return notification.at.astimezone().strftime("%Y-%m-%d %H:%M %Z")
