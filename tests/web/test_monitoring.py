"""The routes of monitoring: who may look, and what they get."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from typing import Any

import jsonschema
import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from pando.net import listener
from pando.net.request_policy import LIVE_PATH
from pando.reporting.monitor import MAX_REFUSALS, Monitor
from pando.reporting.run_figures import RunFigures
from pando.reports.counters import Counters
from pando.reports.records import Device, Report
from pando.running.served_run import ServedRun
from pando.web import monitoring

from ..net.clients import client_of, comes_true, serving
from ..processes import GENEROUS_SECONDS
from ..running.test_monitoring import SCHEMA

pytestmark = pytest.mark.socket

PATHS = ("/monitoring.json", "/metrics")
PREFACE = ("invitation", "rights")
"""What a stream may say before the state."""
PUBLIC = {"public_url": "http://localhost/"}
"""Where there is a proxy, nobody's address says anything."""


def token_of(served: ServedRun) -> str:
    return served.server._endpoint.view_token


class Watcher:
    """A live stream."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def next(self) -> dict[str, Any]:
        with trio.fail_after(GENEROUS_SECONDS):
            text = await trio.to_thread.run_sync(self.connection.recv, abandon_on_cancel=True)
            message: dict[str, Any] = json.loads(text)
        return await self.next() if message["type"] in PREFACE else message

    async def text(self) -> str:
        return str(await trio.to_thread.run_sync(self.connection.recv))

    async def say(self, command: dict[str, str]) -> None:
        await trio.to_thread.run_sync(self.connection.send, json.dumps(command))

    async def invitation(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await trio.to_thread.run_sync(self.connection.recv))
        return message

    async def close_code(self) -> int:
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await self.next()
        received = closed.value.rcvd
        return received.code if received else 0


@asynccontextmanager
async def watching(
    served: ServedRun, token: str | None = "", headers: dict[str, str] | None = None
) -> AsyncIterator[Watcher]:
    """Open a live stream; with None for a token nothing is said."""
    url = f"ws://localhost:{served.server.port}{LIVE_PATH}"
    stack = ExitStack()

    def open_connection() -> ClientConnection:
        return stack.enter_context(connect(url, additional_headers=headers, proxy=None))

    connection = await trio.to_thread.run_sync(open_connection)
    try:
        if token is not None:
            await trio.to_thread.run_sync(connection.send, token)
        yield Watcher(connection)
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(stack.close)


# ---- who may look ----


@pytest.mark.parametrize("path", PATHS)
async def test_on_this_machine_no_token_is_needed(path: str) -> None:
    async with serving() as served, client_of(served) as client:
        assert (await client.request("GET", path)).status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("header", ["Forwarded", "X_Forwarded_For", "Via"])
async def test_what_a_proxy_passes_on_needs_a_token(path: str, header: str) -> None:
    async with serving() as served, client_of(served) as client:
        refused = await client.request("GET", path, **{header: "192.0.2.1"})
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "root" not in refused.body
        assert "pando_" not in refused.body


@pytest.mark.parametrize("path", PATHS)
async def test_the_monitoring_token_opens_it_as_a_bearer_and_nowhere_else(path: str) -> None:
    async with serving(**PUBLIC) as served, client_of(served) as client:
        token = token_of(served)
        for wrong in ("", "x", token[:-1], token + "x", "é"):
            headers = {"Authorization": f"Bearer {wrong}"}
            assert (await client.request("GET", path, **headers)).status == 401
        assert (await client.request("GET", f"{path}?token={token}")).status == 401
        assert (await client.request("GET", path, Authorization=f"Basic {token}")).status == 401
        assert (await client.request("GET", path, Authorization=f"Bearer {token}")).status == 200


@pytest.mark.parametrize("path", PATHS)
async def test_a_volunteers_link_does_not_open_it(path: str) -> None:
    async with serving(**PUBLIC) as served, client_of(served) as client:
        volunteers = served.links[0].partition("#")[2]
        reply = await client.request("GET", path, Authorization=f"Bearer {volunteers}")
        assert reply.status == 401


async def test_a_chosen_token_is_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(**PUBLIC, monitoring_token="a-token-of-mine") as served:
        assert token_of(served) == "a-token-of-mine"
    monkeypatch.setenv("PANDO_MONITORING_TOKEN", "another-of-mine")
    async with serving(**PUBLIC) as served:
        assert token_of(served) == "another-of-mine"
        assert served.server.monitoring_link.endswith("/monitoring#another-of-mine")


async def test_a_live_stream_needs_the_token_as_its_first_message() -> None:
    async with serving(**PUBLIC) as served:
        async with watching(served, "wrong") as watcher:
            assert await watcher.close_code() == monitoring.REFUSED
        async with watching(served, token_of(served)) as watcher:
            assert (await watcher.next())["type"] == "state"


async def test_one_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "TOKEN_SECONDS", 0.05)
    async with serving(**PUBLIC) as served, watching(served, None) as watcher:
        assert await watcher.close_code() == monitoring.REFUSED


async def test_pages_of_other_origins_get_no_stream() -> None:
    async with serving() as served:
        with pytest.raises(InvalidStatus) as refused:
            async with watching(served, headers={"Origin": "http://evil.example"}):
                pass
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", PATHS)
async def test_programs_of_other_users_of_this_machine_need_the_token(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_is_own_user", lambda socket: False)
    async with serving() as served, client_of(served) as client:
        assert (await client.request("GET", path)).status == 401
        headers = {"Authorization": f"Bearer {token_of(served)}"}
        assert (await client.request("GET", path, **headers)).status == 200


# ---- who may send devices away ----


def management_token_of(served: ServedRun) -> str:
    return served.server._endpoint.management_token


async def hear(served: ServedRun) -> str:
    """Let a device report; return its identifier."""
    device = Device(bytes(range(8)), 1, name="phone")
    report = Report(device, 1, Counters(), Counters())
    served.monitoring.monitor.ledger.hear(report, "link", trio.current_time())
    return device.node.hex()


async def test_the_link_for_managing_is_another_one_and_opens_all() -> None:
    async with serving(**PUBLIC) as served, client_of(served) as client:
        token = management_token_of(served)
        assert served.server.management_link.endswith(f"/monitoring#{token}")
        assert token != token_of(served)
        for path in PATHS:
            reply = await client.request("GET", path, Authorization=f"Bearer {token}")
            assert reply.status == 200


async def test_who_may_only_view_sends_nobody_away() -> None:
    async with serving(**PUBLIC, reporting_interval=0.05) as served:
        device = await hear(served)
        async with watching(served, token_of(served)) as watcher:
            assert (await watcher.invitation())["type"] == "invitation"
            assert json.loads(await watcher.text())["type"] == "state"
            await watcher.say({"type": "send away", "id": device})
            await watcher.next()
            await watcher.next()
        assert not served.monitoring.monitor.sent_away
        assert not served.membership.sent_away


async def test_who_may_manage_sends_away_and_lets_back() -> None:
    async with serving(**PUBLIC, reporting_interval=0.05) as served:
        device = await hear(served)
        async with watching(served, management_token_of(served)) as watcher:
            await watcher.next()
            await watcher.say({"type": "send away", "id": device})
            while not (message := await watcher.next())["root"]["sentAway"]:
                pass
            assert message["root"]["sentAway"][0]["deviceName"] == "phone"
            assert message["events"][-1]["kind"] == "sent away"
            assert served.membership.sent_away == {bytes.fromhex(device)}
            await watcher.say({"type": "let back", "id": device})
            while (message := await watcher.next())["root"]["sentAway"]:
                pass
            assert message["events"][-1]["kind"] == "let back"
            assert not served.membership.sent_away


@pytest.mark.parametrize(
    "said", ['{"type": "send away", "id": "xyz"}', '{"type": "end"}', "[]", "é", "{"]
)
async def test_what_is_no_command_ends_the_stream(said: str) -> None:
    async with (
        serving(**PUBLIC) as served,
        watching(served, management_token_of(served)) as watcher,
    ):
        await watcher.next()
        await trio.to_thread.run_sync(watcher.connection.send, said)
        assert await watcher.close_code() == monitoring.MALFORMED


async def test_devices_that_are_not_known_are_not_sent_away() -> None:
    async with serving() as served:
        await served.monitoring.send_away(b"nobody!!")
        await served.monitoring.send_away(served.monitoring.monitor.root)
        assert not served.membership.sent_away


async def test_where_everybody_may_join_not_everybody_may_send_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listener, "_is_own_user", lambda socket: False)
    async with serving(open=True) as served:
        device = await hear(served)
        async with watching(served) as watcher:
            await watcher.next()
            await watcher.say({"type": "send away", "id": device})
        async with watching(served) as watcher:
            await watcher.next()
        assert not served.membership.sent_away


# ---- what they get ----


async def test_a_stream_begins_with_the_link_for_other_devices() -> None:
    async with serving(**PUBLIC) as served, watching(served, token_of(served)) as watcher:
        invitation = await watcher.invitation()
        assert invitation["link"] == served.links[0]
        assert invitation["code"].startswith("data:image/svg+xml")


async def test_json_fits_the_schema() -> None:
    async with serving() as served, client_of(served) as client:
        reply = await client.request("GET", "/monitoring.json")
        jsonschema.validate(json.loads(reply.body), SCHEMA)


async def test_metrics_are_read_by_the_official_parser() -> None:
    async with serving() as served, client_of(served) as client:
        reply = await client.request("GET", "/metrics")
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        names = {family.name for family in text_string_to_metric_families(reply.body)}
        assert {"pando_items", "pando_devices", "pando_item_latency_seconds"} <= names


async def test_a_stream_has_the_state_then_the_changes_then_the_end() -> None:
    async with serving(reporting_interval=0.05) as served, watching(served) as watcher:
        state = await watcher.next()
        assert (state["type"], state["root"]["state"]) == ("state", "running")
        assert (await watcher.next())["type"] == "changes"
        served.monitoring.finish()
        while (message := await watcher.next())["root"]["state"] != "over":
            pass
        assert message["type"] == "changes"
        assert await watcher.close_code() == 1000


async def test_one_viewer_goes_and_the_other_stays() -> None:
    async with serving(reporting_interval=0.05) as served, watching(served) as first:
        async with watching(served) as second:
            await second.next()
        await first.next()
        stamp = served.monitoring.monitor.stamp
        assert await comes_true(lambda: served.monitoring.monitor.stamp > stamp + 2)
        assert (await first.next())["type"] == "changes"


async def test_there_are_at_most_so_many_viewers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "MAX_VIEWERS", 1)
    async with serving() as served:
        async with watching(served) as first:
            await first.next()
            async with watching(served) as second:
                assert await second.close_code() == monitoring.TOO_MANY
        assert await comes_true(lambda: not served.monitoring._viewers)
        async with watching(served) as third:
            assert (await third.next())["type"] == "state"


@pytest.mark.parametrize("tabs", [1, 7])
async def test_streams_outlive_the_time_that_a_page_may_be_silent(
    tabs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A browser answers pings, and says nothing else; of a stream nothing comes meanwhile."""
    from pando.limits import Limits
    from pando.web import app

    monkeypatch.setattr(app, "PING_SECONDS", 0.1)
    limits = Limits(page_seconds=0.3)
    async with serving(limits=limits, reporting_interval=1000) as served, AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(watching(served)) for _ in range(tabs)]
        for watcher in watchers:
            await watcher.next()
        await trio.sleep(4 * limits.page_seconds)
        served.monitoring._tick()
        for watcher in watchers:
            assert (await watcher.next())["type"] == "changes"


async def test_a_browser_with_a_wrong_link_is_an_event_and_one_that_insists_no_flood() -> None:
    async with serving(**PUBLIC) as served, client_of(served) as client:
        events = served.monitoring.monitor.events
        await client.request("GET", "/run")
        await client.request("GET", "/run", Pando_Proof="0" * 64)
        told = [(event.kind, event.text) for event in events.since(0)]
        assert told == [
            ("refused", "its link is not whole"),
            ("refused", "its link has expired, or is another run's"),
        ]
        assert all(event.name.startswith("a browser at ") for event in events.since(0))
        for number in range(100):
            await client.request("GET", "/run", Pando_Proof=f"{number}")
        assert events.total == MAX_REFUSALS


class Known:
    """A run of which something is known."""

    def __init__(self, function: str, device: bytes) -> None:
        monitor = Monitor(function, b"the root", 0.0, 3.0)
        told = Report(Device(device, 1, b"the root"), 1, Counters(3000, 5), Counters())
        monitor.ledger.hear(told, "a", 3.0)
        self._information = monitor.tick(RunFigures(done=5), 3.0)

    def read(self) -> Any:
        return self._information


def test_several_runs_are_one_object_with_the_newest_as_its_root() -> None:
    runs = [Known("new", b"device 1"), Known("old", b"device 2")]
    shown = json.loads(monitoring.describe(runs))  # type: ignore[arg-type]
    jsonschema.validate(shown, SCHEMA)
    assert shown["root"]["function"] == "new"
    assert [root["function"] for root in shown["runs"]] == ["new", "old"]
    assert set(shown["volunteers"]) == {b"device 1".hex(), b"device 2".hex()}
    assert set(shown) == set(SCHEMA["properties"])
    assert "runs" not in json.loads(monitoring.describe(runs[:1]))  # type: ignore[arg-type]
