"""The outbox: queued once, delivered at least once, whatever is killed, full, broken or set back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lodestone.loops.notify import outbox as module
from lodestone.loops.notify.channel import Outcome
from lodestone.loops.notify.message import Notification
from lodestone.loops.notify.outbox import FIRST_WAIT_S, LEAST_ATTEMPTS, LONGEST_WAIT_S, Outbox
from lodestone.loops.notify.webhook import Webhook

from .conftest import HttpServer, MakeNotification

DAY = 86400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1.7e9

    def __call__(self) -> float:
        return self.now


class ChannelForTests:
    """Takes or refuses in memory, as told."""

    where = "memory"

    def __init__(self, name: str = "webhook") -> None:
        self.name = name
        self.got: list[str] = []
        self.answers: list[Outcome | Exception] = []
        self.up = True

    def send(self, notification: Notification) -> Outcome:
        answer = self.answers.pop(0) if self.answers else Outcome(delivered=self.up, detail="up" if self.up else "down")
        if isinstance(answer, Exception):
            raise answer
        if answer.delivered:
            self.got.append(notification.title)
        return answer


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.json"))


def hook(server: HttpServer, path: str = "/", timeout_s: float = 5) -> Webhook:
    return Webhook(server.url + path, secret="", body_format="json", timeout_s=timeout_s)


def test_queued_once_delivered_once(tmp_path: Path, http_server: HttpServer, make: MakeNotification) -> None:
    box = Outbox(tmp_path)
    assert box.put(make(), ["webhook"])
    assert not box.put(make(), ["webhook"])
    assert not Outbox(tmp_path).put(make(), ["webhook"])
    (delivery,) = box.deliver([hook(http_server)])
    assert delivery.outcome.delivered
    assert names(tmp_path / "outbox") == []
    assert names(tmp_path / "outbox/sent") == [f"{make().id}.webhook.json"]
    assert not Outbox(tmp_path).put(make(), ["webhook"])
    assert box.deliver([hook(http_server)]) == []
    assert len(http_server.requests) == 1


def test_a_channel_added_later_gets_its_own(tmp_path: Path, make: MakeNotification) -> None:
    box = Outbox(tmp_path)
    one, two = ChannelForTests("webhook"), ChannelForTests("mail")
    assert box.put(make(), ["webhook"])
    assert box.put(make(), ["webhook", "mail"])
    box.deliver([one, two])
    assert (len(one.got), len(two.got)) == (1, 1)


def test_two_errors_then_success_with_the_same_key_and_growing_waits(
    tmp_path: Path, http_server: HttpServer, make: MakeNotification
) -> None:
    clock = Clock()
    box = Outbox(tmp_path, clock=clock)
    box.put(make(), ["webhook"])
    http_server.answers = [(500, {}, b"no"), (500, {}, b"no")]
    waits = []
    for _ in range(3):
        box.deliver([hook(http_server)])
        assert box.deliver([hook(http_server)]) == []
        if box.waiting():
            waits.append(box.waiting()[0].next_at - clock.now)
            # Its state is on disk: another process waits as well.
            other = Outbox(tmp_path, clock=clock)
            assert other.deliver([hook(http_server)]) == []
            assert other.waiting()[0].reason == f"{http_server.url} answered 500: no"
            clock.now += waits[-1]
            box = other
    assert waits == [FIRST_WAIT_S, 2 * FIRST_WAIT_S]
    assert len({request.headers["Idempotency-Key"] for request in http_server.requests}) == 1
    assert len(http_server.requests) == 3
    assert len(names(tmp_path / "outbox/sent")) == 1


def test_given_up_after_some_days_with_the_reason(tmp_path: Path, make: MakeNotification) -> None:
    clock, channel = Clock(), ChannelForTests()
    channel.up = False
    box = Outbox(tmp_path, max_age_days=3, clock=clock)
    box.put(make(), ["webhook"])
    begun = clock.now
    while box.waiting():
        clock.now += box.next_due_s() or 0
        box.deliver([channel])
    assert 3 * DAY < clock.now - begun <= 3 * DAY + LONGEST_WAIT_S
    (file,) = (tmp_path / "outbox/failed").glob("*.json")
    kept = json.loads(file.read_text())
    assert kept["reason"] == "down"
    assert 70 < kept["attempts"] < 100
    assert not box.put(make(), ["webhook"])


def test_a_machine_that_was_off_for_a_week_still_tries(tmp_path: Path, make: MakeNotification) -> None:
    clock, channel = Clock(), ChannelForTests()
    box = Outbox(tmp_path, clock=clock)
    box.put(make(), ["webhook"])
    clock.now += 7 * DAY
    channel.answers = [Outcome(delivered=False, detail="network is not up yet")] * (LEAST_ATTEMPTS - 1)
    for _ in range(LEAST_ATTEMPTS):
        box.deliver([channel])
        clock.now += LONGEST_WAIT_S
    assert channel.got == ["goal met"]


@pytest.mark.parametrize("jump", [-DAY, -30 * DAY, DAY])
def test_a_clock_that_jumps_delays_nothing(tmp_path: Path, make: MakeNotification, jump: float) -> None:
    clock, channel = Clock(), ChannelForTests()
    box = Outbox(tmp_path, clock=clock)
    box.put(make(), ["webhook"])
    channel.answers = [Outcome(delivered=False, detail="down")]
    box.deliver([channel])
    clock.now += jump
    box.deliver([channel])
    assert channel.got == ["goal met"]


def test_the_receivers_wait_is_kept_but_not_for_ever(tmp_path: Path, make: MakeNotification) -> None:
    clock, channel = Clock(), ChannelForTests()
    box = Outbox(tmp_path, clock=clock)
    box.put(make(), ["webhook"])
    for asked, kept in ((600.0, 600.0), (1e6, LONGEST_WAIT_S)):
        channel.answers = [Outcome(delivered=False, detail="slow down", retry_after_s=asked)]
        box.deliver([channel])
        assert box.next_due_s() == kept
        clock.now += kept


def test_a_broken_channel_neither_raises_nor_stops_the_others(
    tmp_path: Path, make: MakeNotification, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good = ChannelForTests("webhook"), ChannelForTests("mail")
    bad.answers = [RuntimeError("https://hooks.example.org/s3cret")]
    box = Outbox(tmp_path)
    for number in range(3):
        box.put(make(str(number)), ["webhook", "mail"])
    tried = box.deliver([bad, good])
    refused = [delivery.outcome for delivery in tried if delivery.channel == "webhook"]
    assert refused == [Outcome(delivered=False, detail="unexpected RuntimeError in the channel")]
    assert len(good.got) == 3
    assert "RuntimeError at send:" in caplog.text
    assert "s3cret" not in caplog.text + "".join(path.read_text() for path in tmp_path.rglob("*.json"))


def test_a_hung_server_costs_one_time_out_for_a_whole_queue(
    tmp_path: Path, http_server: HttpServer, make: MakeNotification
) -> None:
    box = Outbox(tmp_path, timeout_s=0.4)
    for number in range(5):
        box.put(make(str(number)), ["webhook"])
    (delivery,) = box.deliver([hook(http_server, "/drip", timeout_s=0.3)])
    assert delivery.outcome.detail == f"no answer from {http_server.url} within 0.4 s"
    assert box.deliver([hook(http_server, "/drip", timeout_s=0.3)]) == []
    assert len(http_server.requests) == 1
    assert len(box.waiting()) == 5


def test_what_was_set_when_queued_and_is_no_more_is_given_up_in_time(tmp_path: Path, make: MakeNotification) -> None:
    clock = Clock()
    box = Outbox(tmp_path, clock=clock)
    box.put(make(), ["mail"])
    box.deliver([])
    assert len(box.waiting()) == 1
    clock.now += 4 * DAY
    box.deliver([])
    (file,) = (tmp_path / "outbox/failed").glob("*.json")
    assert json.loads(file.read_text())["reason"] == "channel mail is no longer set"


def test_few_are_kept_and_none_is_forgotten(
    tmp_path: Path, make: MakeNotification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 4)
    box, channel = Outbox(tmp_path), ChannelForTests()
    for number in range(10):
        box.put(make(str(number)), ["webhook"])
        box.deliver([channel])
        os.utime(tmp_path / "outbox/sent" / f"{make(str(number)).id}.webhook.json", (number, number))
    box.put(make("last"), ["webhook"])
    box.deliver([channel])
    assert len(names(tmp_path / "outbox/sent")) == 4
    again = Outbox(tmp_path)
    assert [again.put(make(str(number)), ["webhook"]) for number in range(10)] == [False] * 10
    assert len(channel.got) == 11


def test_a_disk_that_takes_nothing_loses_nothing(tmp_path: Path, make: MakeNotification) -> None:
    (tmp_path / "outbox").write_text("a file in the way refuses every write below it")
    box, channel = Outbox(tmp_path), ChannelForTests()
    channel.answers = [Outcome(delivered=False, detail="down")]
    assert box.put(make("disk full", title="disk full"), ["webhook"])
    assert not box.put(make("disk full", title="disk full"), ["webhook"])
    box.deliver([channel])
    assert [entry.reason for entry in box.waiting()] == ["down"]
    (tmp_path / "outbox").unlink()
    box.deliver([channel])
    assert [entry.attempts for entry in Outbox(tmp_path).waiting()] == [1]


def test_what_was_said_while_the_disk_took_nothing_is_not_said_again(tmp_path: Path, make: MakeNotification) -> None:
    (tmp_path / "outbox").write_text("in the way")
    box, channel = Outbox(tmp_path), ChannelForTests()
    box.put(make(), ["webhook"])
    for _ in range(3):
        box.deliver([channel])
    (tmp_path / "outbox").unlink()
    box.deliver([channel])
    assert channel.got == ["goal met"]
    assert len(names(tmp_path / "outbox/sent")) == 1
    assert Outbox(tmp_path).waiting() == []
    assert not Outbox(tmp_path).put(make(), ["webhook"])


def test_what_another_process_sent_meanwhile_is_not_said_again(tmp_path: Path, make: MakeNotification) -> None:
    (tmp_path / "outbox").write_text("in the way")
    box, other, channel = Outbox(tmp_path), Outbox(tmp_path), ChannelForTests()
    box.put(make(), ["webhook"])
    (tmp_path / "outbox").unlink()
    other.put(make(), ["webhook"])
    other.deliver([channel])
    box.deliver([channel])
    assert channel.got == ["goal met"]
    assert box.waiting() == []


@pytest.mark.parametrize("content", ["", '{"version": 1', "[]", '{"channel": "../x"}'])
def test_a_file_that_is_no_message_is_put_aside(tmp_path: Path, make: MakeNotification, content: str) -> None:
    box, channel = Outbox(tmp_path), ChannelForTests()
    box.put(make(), ["webhook"])
    (tmp_path / "outbox/broken.json").write_text(content)
    box.deliver([channel])
    assert channel.got == ["goal met"]
    assert names(tmp_path / "outbox/failed") == ["broken.json"]


def test_half_written_leftovers_are_removed_when_old(tmp_path: Path, make: MakeNotification) -> None:
    box = Outbox(tmp_path)
    box.put(make(), ["webhook"])
    old, fresh = (tmp_path / "outbox" / f".{make().id}.webhook.json.{end}" for end in ("old", "new"))
    old.write_text("{")
    fresh.write_text("{")
    os.utime(old, (1, 1))
    box.deliver([])
    assert (old.exists(), fresh.exists()) == (False, True)


# --- other processes ---------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from lodestone.loops.notify.message import Notification
from lodestone.loops.notify.outbox import Outbox
from lodestone.loops.notify.webhook import Webhook
box = Outbox(Path(sys.argv[1]))
for text in Path(sys.argv[1], "given.jsonl").read_text().splitlines():
    box.put(Notification.model_validate_json(text), ["webhook"])
for _ in range(int(sys.argv[3])):
    box.deliver([Webhook(sys.argv[2], secret="", body_format="json", timeout_s=5)])
"""


def process(directory: Path, url: str, rounds: int, **env: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPT, str(directory), url, str(rounds)]
    return subprocess.Popen(command, env=os.environ | env)


def give(directory: Path, notifications: list[Notification]) -> None:
    (directory / "given.jsonl").write_text("".join(n.canonical_json() + "\n" for n in notifications))


def test_killed_between_queueing_and_delivery_it_is_delivered_once_by_the_next(
    tmp_path: Path, http_server: HttpServer, make: MakeNotification
) -> None:
    give(tmp_path, [make()])
    killed = process(tmp_path, http_server.url, 1, LODESTONE_FAILPOINT="notify.queued")
    assert killed.wait(30) == -signal.SIGKILL
    assert http_server.requests == []
    assert process(tmp_path, http_server.url, 2).wait(30) == 0
    assert [json.loads(request.body)["id"] for request in http_server.requests] == [make().id]


def test_killed_after_the_answer_it_is_sent_again_with_the_same_key(
    tmp_path: Path, http_server: HttpServer, make: MakeNotification
) -> None:
    give(tmp_path, [make()])
    killed = process(tmp_path, http_server.url, 1, LODESTONE_FAILPOINT="notify.delivered")
    assert killed.wait(30) == -signal.SIGKILL
    assert process(tmp_path, http_server.url, 2).wait(30) == 0
    keys = [request.headers["Idempotency-Key"] for request in http_server.requests]
    assert keys == [f"{make().id}.webhook"] * 2


def test_three_processes_on_one_outbox_send_each_message_once(
    tmp_path: Path, http_server: HttpServer, make: MakeNotification
) -> None:
    notifications = [make(str(number)) for number in range(40)]
    give(tmp_path, notifications)
    running = [process(tmp_path, http_server.url, 3) for _ in range(3)]
    assert [one.wait(60) for one in running] == [0, 0, 0]
    sent: list[Any] = sorted(json.loads(request.body)["id"] for request in http_server.requests)
    assert sent == sorted(n.id for n in notifications)
