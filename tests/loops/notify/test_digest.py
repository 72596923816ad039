"""The daily digest: what it says, and that it comes once a day whatever the clocks do."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.loops.notify.digest import DailyDigest, Moment, Summary, digest, due
from lodestone.loops.notify.message import Notification
from lodestone.loops.notify.notifier import Notifier
from lodestone.loops.notify.settings import NotifySettings
from lodestone.tools.core.errors import LedgerError

from .conftest import HttpServer

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
HOUR = 3600.0


def campaign(folder: Path, **changes: Any) -> None:
    folder.mkdir(parents=True)
    data = {"campaign": folder.name, "state": "running", "rounds": 3, "evaluations": 8, "cap": 20}
    (folder / "campaign.json").write_text(json.dumps(data | changes))


def is_campaign(folder: Path) -> bool:
    return (folder / "campaign.json").exists()


def summarise(folder: Path) -> Summary:
    """A real reader of the small files above."""
    try:
        return Summary.model_validate_json((folder / "campaign.json").read_bytes())
    except ValueError as error:
        raise LedgerError("Its file is damaged.", "Restore it.") from error


def made(root: Path, since: datetime = NOW - timedelta(days=1)) -> Notification:
    found = digest(root, since, summarise, is_campaign=is_campaign, now=NOW)
    assert found is not None
    return found


def test_it_says_what_every_campaign_is_at(tmp_path: Path) -> None:
    campaign(tmp_path / "na-cl", goal="most stable Na-Cl", best="NaCl (Fm-3m), on the hull", failures=1)
    campaign(
        tmp_path / "deep/er/li-p-s", state="waiting", waits=["evaluation 3f2a is UNKNOWN: look at job 7"], cap=None
    )
    campaign(tmp_path / "old", state="finished", changed_at="2026-02-20T00:00:00Z")
    campaign(tmp_path / "new", state="finished", changed_at="2026-03-01T22:00:00Z", evaluations=1, rounds=1)
    campaign(tmp_path / "na-cl/inside", campaign="never looked for inside a campaign")
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/campaign.json").write_text("{")
    message = made(tmp_path)
    assert message.title == "5 campaigns: 1 waiting for you, 1 running, 2 finished, 1 unreadable"
    assert list(message.facts.values()) == [5, 25, 1, 2, socket.gethostname()]
    assert message.text == "\n".join(
        [
            "Needs you:",
            "• li-p-s: evaluation 3f2a is UNKNOWN: look at job 7",
            "• torn cannot be read: Its file is damaged.",
            "",
            "li-p-s: waiting, 3 rounds, 8 evaluations",
            "",
            "na-cl: running, 3 rounds, 8 of 20 evaluations",
            "  Goal: most stable Na-Cl",
            "  Best: NaCl (Fm-3m), on the hull",
            "  Failed: 1 evaluation",
            "",
            "new: finished, 1 round, 1 of 20 evaluations",
            "",
            "1 campaign ended before 2026-03-01 08:00.",
        ]
    )


def test_no_campaign_no_digest(tmp_path: Path) -> None:
    assert digest(tmp_path / "none", NOW, summarise, is_campaign=is_campaign, now=NOW) is None


def test_a_link_that_leads_round_in_a_circle_is_not_followed(tmp_path: Path) -> None:
    campaign(tmp_path / "a/one")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert made(tmp_path).facts["Campaigns"] == 1


def test_a_hundred_campaigns_stay_readable(tmp_path: Path) -> None:
    for number in range(100):
        campaign(tmp_path / f"c{number:03}", waits=["look"])
    message = made(tmp_path)
    assert message.facts["To do for you"] == 100
    assert "And 60 more that need you." in message.text
    assert "And 60 more campaigns." in message.text


# --- when --------------------------------------------------------------------------------------------


def moment(at: datetime, uptime_h: float, boot: str = "a") -> Moment:
    return Moment(at=at, uptime_s=uptime_h * HOUR, boot_id=boot)


@pytest.mark.parametrize(
    ("hours_later", "expected"),
    [(0, False), (1, False), (19.9, False), (23.9, False), (24, True), (24.5, True), (40, True)],
)
def test_it_is_due_each_day_at_its_hour(hours_later: float, expected: bool) -> None:
    last = moment(NOW, 100)
    assert due(last, moment(NOW + timedelta(hours=hours_later), 100 + hours_later), 8) == expected


@pytest.mark.parametrize(("hour", "day"), [(11, 3), (14, 4)])
def test_a_digest_that_came_late_puts_the_next_back_on_its_hour(hour: int, day: int) -> None:
    late = NOW.replace(hour=hour)
    asked = [late + timedelta(hours=h) for h in range(60)]
    first = next(at for at in asked if due(moment(late, 0), moment(at, (at - late).total_seconds() / HOUR), 8))
    assert (first.day, first.hour) == (day, 8)


def test_never_where_it_is_switched_off_and_first_in_its_hour() -> None:
    assert not due(moment(NOW, 0), moment(NOW + timedelta(days=9), 9 * 24), -1)
    assert [due(None, moment(NOW.replace(hour=h), 0), 8) for h in (7, 8, 9)] == [False, True, False]


def test_across_a_boot_the_wall_clock_counts_or_else_the_time_since() -> None:
    last = moment(NOW, 500)
    assert due(last, moment(NOW + timedelta(hours=24), 0.1, "b"), 8)
    assert not due(last, moment(NOW + timedelta(hours=10), 0.1, "b"), 8)
    assert not due(last, moment(NOW - timedelta(days=30), 19, "b"), 8)
    assert due(last, moment(NOW - timedelta(days=30), 47, "b"), 8)


def test_the_hour_is_local_also_when_summer_time_begins() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    last_at = datetime(2026, 3, 28, 8, 0, tzinfo=berlin)
    begun = last_at.astimezone(UTC)
    for minutes in range(0, 48 * 60, 15):
        at = (begun + timedelta(minutes=minutes)).astimezone(berlin)
        if due(moment(last_at, 0), moment(at, minutes / 60), 8):
            break
    assert (at.day, at.hour, at.minute) == (29, 8, 0)


@given(
    jumps=st.dictionaries(st.integers(0, 10 * 48), st.sampled_from([-24.0, -1.0, 1.0, 24.0, 5.5, -13.0]), max_size=6),
    hour=st.integers(0, 23),
    frozen=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_clocks_that_jump_never_double_it_and_never_silence_it(
    jumps: dict[int, float], hour: int, frozen: bool
) -> None:
    wall, last, sent = NOW, moment(NOW, 0), [0.0]
    for step in range(10 * 48):
        uptime_h = step / 2
        wall += timedelta(hours=jumps.get(step, 0.0) + (0.0 if frozen else 0.5))
        now = moment(wall, uptime_h)
        if due(last, now, hour):
            sent.append(uptime_h)
            last = now
    gaps = [later - earlier for earlier, later in zip(sent, [*sent[1:], 10 * 24.0], strict=True)]
    assert max(gaps) <= 48
    assert min(gaps[:-1], default=99) >= 20


# --- sent --------------------------------------------------------------------------------------------


def test_it_is_sent_once_a_day_also_over_restarts(tmp_path: Path, http_server: HttpServer) -> None:
    campaign(tmp_path / "campaigns/na-cl")
    chosen = NotifySettings(webhook_url=http_server.url, timeout_s=2)
    with Notifier(tmp_path, chosen, {}) as notifier:
        sent = []
        for half_hours in range(2, 6 * 48):
            daily = DailyDigest(tmp_path, tmp_path / "campaigns", chosen, notifier, summarise, is_campaign)
            if daily.tick(moment(NOW + timedelta(hours=half_hours / 2), half_hours / 2)):
                sent.append((NOW + timedelta(hours=half_hours / 2)).isoformat())
        assert notifier.flush(5)
    assert sent == [f"2026-03-0{day}T08:00:00+00:00" for day in range(3, 8)]
    bodies = [json.loads(request.body) for request in http_server.requests]
    assert len({body["id"] for body in bodies}) == len(bodies) == 5


def test_killed_before_it_remembers_it_sends_no_second_one(tmp_path: Path, http_server: HttpServer) -> None:
    campaign(tmp_path / "campaigns/na-cl")
    chosen = NotifySettings(webhook_url=http_server.url, timeout_s=2)
    with Notifier(tmp_path, chosen, {}) as notifier:

        def tick(at: datetime) -> bool:
            daily = DailyDigest(tmp_path, tmp_path / "campaigns", chosen, notifier, summarise, is_campaign)
            return daily.tick(moment(at, (at - NOW).total_seconds() / HOUR))

        tick(NOW - timedelta(minutes=10))
        before = (tmp_path / "digest.json").read_bytes()
        assert tick(NOW + timedelta(minutes=1))
        (tmp_path / "digest.json").write_bytes(before)
        assert not tick(NOW + timedelta(minutes=2))
        assert notifier.flush(5)
    assert len(http_server.requests) == 1


def test_the_first_one_comes_although_the_clock_stands_still(tmp_path: Path, http_server: HttpServer) -> None:
    campaign(tmp_path / "campaigns/na-cl")
    chosen = NotifySettings(webhook_url=http_server.url, timeout_s=2)
    with Notifier(tmp_path, chosen, {}) as notifier:
        daily = DailyDigest(tmp_path, tmp_path / "campaigns", chosen, notifier, summarise, is_campaign)
        sent = [h for h in range(1, 100) if daily.tick(moment(NOW.replace(hour=12), h))]
    assert len(sent) >= 2
    assert sent[0] <= 48
    assert all(20 <= later - earlier <= 48 for earlier, later in pairwise(sent))


@pytest.mark.parametrize("chosen", [NotifySettings(digest_hour=-1), NotifySettings(on=("person",))])
def test_switched_off_it_neither_sends_nor_writes(tmp_path: Path, chosen: NotifySettings) -> None:
    with Notifier(tmp_path, chosen, {}) as notifier:
        daily = DailyDigest(tmp_path, tmp_path, chosen, notifier, summarise, is_campaign)
        assert not daily.tick(moment(NOW, 0))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_memory_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "digest.json").write_text("{")
    with Notifier(tmp_path, NotifySettings(), {}) as notifier:
        daily = DailyDigest(tmp_path, tmp_path, NotifySettings(), notifier, summarise, is_campaign)
        assert not daily.tick(moment(NOW.replace(hour=12), 0))
    assert json.loads((tmp_path / "digest.json").read_text())["sent"] is None


def test_the_real_clocks_can_be_read() -> None:
    first, second = Moment.now(), Moment.now()
    assert first.boot_id == second.boot_id
    assert 0 <= second.seconds_since(first) < 5
    assert first.at.utcoffset() is not None
