"""Bodies: the user's words arrive as words, in every format."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pydantic import ValidationError

from lodestone.loops.notify.message import (
    MAX_FACTS,
    MAX_TEXT,
    MAX_TITLE,
    Notification,
    html_page,
    markdown,
    one_line,
    plain,
    slack,
    subject,
)
from lodestone.loops.notify.smtp import Mail

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NASTY_PIECES = (
    *(
        "\r\n",
        "\n",
        "\r",
        "\x0b",
        "\x85",
        "\u2028",
        "\u202e",
        "\x00",
        "\r\n\r\n",
        "    ",
        "Bcc: a@b.c",
        ": ",
        "é",
        "🧪",
    ),
    *("<script>alert(1)</script>", "</h1>", "&lt;", '"', "<!channel>", "@everyone", "[x](http://y)", "![x](y)", "# "),
    *("- ", "1. ", "**", "`", "\\", "~~", "=====", "---", "| a |", "https://example.org/x", "a_b_c", "*", "_"),
)
NASTY = st.lists(st.sampled_from(NASTY_PIECES) | st.text(max_size=8), max_size=10).map("".join)


def note(
    title: str, text: str = "", label: str = "Rounds", value: str | float = 3, campaign: str = "na-cl"
) -> Notification:
    return Notification.make("person", campaign, "x", title=title, text=text, at=AT, facts={label: value})


def mail_bytes(notification: Notification) -> bytes:
    channel = Mail(
        "localhost",
        25,
        security="none",
        user="",
        password="",
        sender="Lodestone <lodestone@example.org>",
        receivers=("one@example.org", "two@example.org"),
        timeout_s=5,
    )
    return channel.message(notification).as_bytes()


HEADERS = {
    *("Subject", "From", "To", "Date", "Message-ID", "Auto-Submitted", "Importance"),
    *("MIME-Version", "Content-Type"),
}


@given(title=NASTY, text=NASTY, label=NASTY, value=NASTY, campaign=NASTY)
def test_no_words_of_a_campaign_become_a_mail_header(
    title: str, text: str, label: str, value: str, campaign: str
) -> None:
    notification = note(title, text, label, value, campaign)
    raw = mail_bytes(notification)
    mail = message_from_bytes(raw, policy=default)
    assert set(mail.keys()) == HEADERS
    assert len(mail.keys()) == len(HEADERS)
    assert mail.defects == []
    assert mail["To"] == "one@example.org, two@example.org"
    assert mail["Subject"].split() == subject(notification).split()
    # A reader that takes a lone CR or LF for the end of a header must find none either.
    head = raw.partition(b"\r\n\r\n")[0].replace(b"\r\n", b"")
    assert b"\r" not in head
    assert b"\n" not in head


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "div":
            self.text += "\n"

    def handle_data(self, data: str) -> None:
        self.text += data


def tags_of(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    parser.close()
    return parser


@given(title=NASTY, text=NASTY, label=NASTY, value=NASTY, campaign=NASTY)
def test_no_words_of_a_campaign_become_html(title: str, text: str, label: str, value: str, campaign: str) -> None:
    notification = note(title, text, label, value, campaign)
    found = tags_of(html_page(notification))
    allowed = {"html", "head", "meta", "title", "body", "div", "p", "span", "h1", "table", "tr", "td"}
    assert set(found.tags) <= allowed
    assert found.tags.count("h1") == 1
    shown = " ".join(found.text.replace("\u00a0", " ").split())
    for words in (
        notification.title,
        notification.text,
        *notification.facts,
        str(next(iter(notification.facts.values()))),
    ):
        assert " ".join(words.replace("\u00a0", " ").split()) in shown


@given(title=NASTY, text=NASTY, label=NASTY, value=NASTY)
def test_no_words_of_a_campaign_become_markdown(title: str, text: str, label: str, value: str) -> None:
    notification = note(title, text, label, value)
    page = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown(notification))
    found = tags_of(page)
    assert set(found.tags) <= {"p", "strong", "br", "ul", "li"}
    assert found.tags.count("strong") == 1
    assert found.tags.count("li") == 1
    shown = " ".join(found.text.replace("\u200b", "").split())
    for words in (notification.title, notification.text):
        assert " ".join(words.replace("\u200b", "").split()) in shown


@given(title=NASTY, text=NASTY, label=NASTY, value=NASTY)
def test_a_slack_body_mentions_nobody(title: str, text: str, label: str, value: str) -> None:
    body = slack(note(title, text, label, value))
    assert "<" not in body["text"]
    assert ">" not in body["text"]
    assert body["text"].count("@") == body["text"].count("@\u200b")
    literal = [b.get("text") for b in body["blocks"]] + [f for b in body["blocks"] for f in b.get("fields", [])]
    assert {x["type"] for x in literal if x} == {"plain_text"}


def test_slack_limits_hold_for_the_longest_notification() -> None:
    facts: dict[str, str | int | float] = {f"{i} {'l' * 400}": "v" * 400 for i in range(60)}
    notification = Notification.make("failure", "c" * 900, "x", title="t" * 900, text="w" * 50_000, at=AT, facts=facts)
    assert (len(notification.title), len(notification.text), len(notification.facts)) == (
        MAX_TITLE,
        MAX_TEXT,
        MAX_FACTS,
    )
    head, body, fields, context = slack(notification)["blocks"]
    assert len(head["text"]["text"]) <= 150
    assert len(body["text"]["text"]) <= 3000
    assert len(fields["fields"]) <= 10
    assert all(len(field["text"]) <= 2000 for field in fields["fields"])
    assert len(context["elements"][0]["text"]) <= 2000


def test_the_same_event_has_the_same_id_and_another_event_another() -> None:
    def identity(campaign: str, kind: str, what: str, title: str = "t") -> str:
        return Notification.make(kind, campaign, what, title=title, text="", at=AT).id  # type: ignore[arg-type]

    assert identity("a", "person", "x", "one") == identity("a", "person", "x", "two")
    others = {
        identity("a", "person", "x"),
        identity("a", "person", "y"),
        identity("a", "failure", "x"),
        identity("ab", "person", "x"),
    }
    assert len(others | {identity("aperson", "person", ""), identity("a", "person", "personx")}) == 6


def test_lone_surrogates_and_controls_are_dropped_not_fatal() -> None:
    assert one_line("a\ud800b\x00\x1b[31m\u202ec\r\nd\te", 50) == "ab[31mc d e"
    assert note("a\ud800\nb").title == "a b"


def test_a_notification_survives_json() -> None:
    notification = note("NaCl <0.01 eV", "two\nlines", "gap", 1.5)
    assert Notification.model_validate_json(notification.canonical_json()) == notification
    assert json.loads(notification.canonical_json())["facts"] == {"gap": 1.5}


@pytest.mark.parametrize(
    "change",
    [{"id": "../../etc/passwd"}, {"at": datetime(2026, 1, 1)}, {"facts": {"x": float("nan")}}, {"kind": "spam"}],
)
def test_what_is_no_notification_is_refused(change: dict[str, object]) -> None:
    data = note("x").model_dump() | change
    with pytest.raises(ValidationError):
        Notification.model_validate(data)


def test_plain_text_says_it_all() -> None:
    body = plain(note("evaluation unknown", "Look at job 7.", "Rounds", 3))
    for words in ("evaluation unknown", "Look at job 7.", "Rounds: 3", "na-cl", "2026-03-01"):
        assert words in body
