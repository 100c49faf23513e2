"""The page of a run as a public server serves it, whose root it has never met."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ..processes import wait_until
from ..server.runs import SECRET, Scene
from ..web.test_browser_packages import make_wheel
from .chromium import Chromium, Tab

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]
SQUARE_BY_PACKAGE = """\
# /// script
# dependencies = ["marmalade"]
# ///
def pando(x):
    import marmalade

    return marmalade.square(x)
"""
WITHOUT_WORKERS = (f"--secret={SECRET}", "--start-idle")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as scene:
        yield scene


def test_a_tab_computes_through_the_server(scene: Scene, chromium: Chromium) -> None:
    server = scene.server()
    run = scene.run(f"localhost:{server.port}", *WITHOUT_WORKERS, "--requester=Ada", seconds=0)
    tab = Tab(chromium.context(), f"{run.link};device=tab")
    assert tab.says("Ada asks for your help"), tab.state
    tab.start()
    run.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results == len(run.items)
    assert not tab.problems
    tab.close()


def test_tabs_report_through_the_server_and_relayed_ones_are_counted(
    scene: Scene, chromium: Chromium
) -> None:
    server = scene.server()
    run = scene.run(
        f"localhost:{server.port}",
        *WITHOUT_WORKERS,
        "--degree=1",
        "--protocol=websocket",
        "--global-monitoring",
        "--reporting-interval=0.3",
        seconds=0,
    )
    tabs = [Tab(chromium.context(), f"{run.link};device={name}") for name in ("one", "two")]
    for tab in tabs:
        tab.start()
    page = chromium.context().new_page()
    page.goto(run.monitoring_link)
    expect(page.locator("#workers-label")).to_contain_text(
        "2 relayed (1 beyond the degree)", timeout=60_000
    )
    expect(page.locator("#reports")).to_contain_text("Over report links: 2 devices")
    run.finish()
    for tab in tabs:
        assert not tab.problems
        tab.close()
    page.close()


def test_opening_the_server_of_the_same_user_leads_to_the_run(
    scene: Scene, chromium: Chromium
) -> None:
    """As the original's `open http://localhost:5000` does."""
    server = scene.server(secret="")
    run = scene.run(f"localhost:{server.port}", "--start-idle", seconds=0)
    link = run.link
    assert wait_until(lambda: any((scene.folder / ".pando" / "rooms").iterdir()))
    tab = Tab(chromium.context(), f"http://localhost:{server.port}/")
    assert tab.page.url == link
    tab.start()
    run.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results == len(run.items)
    tab.close()


def test_a_page_that_comes_too_early_waits_for_the_run(scene: Scene, chromium: Chromium) -> None:
    server = scene.server()
    run = scene.run(f"localhost:{server.port}", *WITHOUT_WORKERS, seconds=0)
    link = run.link
    run.kill()
    tab = Tab(chromium.context(), link)
    assert tab.says("No run at the moment"), tab.state
    assert "lost its connection to the server" in tab.page.inner_text("#detail")
    again = scene.run(f"localhost:{server.port}", *WITHOUT_WORKERS, seconds=0)
    assert again.link == link
    assert tab.says("asks for your help"), tab.state
    tab.start()
    again.finish()
    tab.close()


def test_a_page_whose_link_is_of_another_run_says_so(scene: Scene, chromium: Chromium) -> None:
    server = scene.server()
    runs = [
        scene.run(f"localhost:{server.port}", *WITHOUT_WORKERS, name=name) for name in ("a", "b")
    ]
    mixed = runs[0].link.partition("#")[0] + "#" + runs[1].link.partition("#")[2]
    tab = Tab(chromium.context(), mixed)
    assert tab.says("This page has stopped"), tab.state
    assert "another run than the one whose link this is" in tab.page.inner_text("#detail")
    tab.close()


def test_a_run_is_watched_through_the_server_and_the_server_never_sees_the_token(
    scene: Scene, chromium: Chromium
) -> None:
    server = scene.server()
    run = scene.run(
        f"localhost:{server.port}", *WITHOUT_WORKERS, "--reporting-interval=0.3", name="watched"
    )
    link = run.monitoring_link
    assert link.startswith(f"{run.link.partition('#')[0]}/monitoring#")
    page = chromium.context().new_page()
    sent: list[str | bytes] = []
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    page.on("request", lambda request: sent.append(request.url))
    page.on(
        "websocket",
        lambda socket: socket.on("framereceived", lambda frame: sent.append(frame)),
    )
    page.goto(link)
    expect(page.get_by_text("No other device has joined yet")).to_be_visible()
    expect(page.locator("#link")).to_have_text(run.link)
    expect(page.get_by_text("As JSON")).to_have_count(0)
    scene.volunteer(run.link, name="marmalade")
    expect(page.locator("#devices")).to_contain_text("marmalade", timeout=60_000)
    run.finish()
    expect(page.locator("#state")).to_contain_text("over after")
    expect(page.locator("#done")).to_have_text(str(len(run.items)))
    seen = b"".join(each if isinstance(each, bytes) else each.encode() for each in sent)
    assert len([each for each in sent if isinstance(each, bytes)]) > 5
    for secret in (link.partition("#")[2][-8:], "watched", "marmalade"):
        assert secret.encode() not in seen
    page.close()


def test_a_link_to_volunteer_does_not_open_the_monitoring(scene: Scene, chromium: Chromium) -> None:
    server = scene.server()
    run = scene.run(f"localhost:{server.port}", *WITHOUT_WORKERS)
    room, _, credentials = run.link.partition("#")
    page = chromium.context().new_page()
    page.goto(f"{room}/monitoring#{credentials}")
    expect(page.locator("#state")).to_have_text("This link does not open the monitoring")
    page.get_by_label("The monitoring link, or its token").fill(run.monitoring_link)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#state")).to_contain_text("running for")
    page.close()


def test_monitoring_whose_link_is_of_another_run_says_so(scene: Scene, chromium: Chromium) -> None:
    server = scene.server()
    one, other = (
        scene.run(f"localhost:{server.port}", *WITHOUT_WORKERS, name=name) for name in ("a", "b")
    )
    page = chromium.context().new_page()
    room = one.monitoring_link.partition("#")[0]
    page.goto(f"{room}#{other.monitoring_link.partition('#')[2]}")
    expect(page.locator("#state")).to_have_text("This is not the run of this link")
    expect(page.locator("#detail")).to_contain_text("another run than the one whose link this is")
    page.close()


def test_the_watching_page_comes_back_to_a_run_that_was_killed(
    scene: Scene, chromium: Chromium, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANDO_MONITORING_TOKEN", "a-token-to-watch")
    server = scene.server()
    options = [f"localhost:{server.port}", *WITHOUT_WORKERS, "--reporting-interval=0.3"]
    run = scene.run(*options)
    page = chromium.context().new_page()
    page.goto(run.monitoring_link)
    expect(page.locator("#state")).to_contain_text("running for")
    run.kill()
    expect(page.locator("#state")).to_contain_text("gone after")
    again = scene.run(*options)
    assert again.monitoring_link == run.monitoring_link
    expect(page.locator("#state")).to_contain_text("running for", timeout=60_000)
    page.close()


def test_packages_of_the_run_come_over_the_proved_link_by_digest(
    scene: Scene, chromium: Chromium
) -> None:
    """The server, whose page this is, has none of them."""
    wheel = scene.folder / make_wheel(scene.folder, "marmalade", "py3-none-any")
    with zipfile.ZipFile(wheel, "a") as packed:
        packed.writestr("marmalade.py", "def square(x):\n    return x * x\n")
    server = scene.server()
    run = scene.run(
        f"localhost:{server.port}",
        *WITHOUT_WORKERS,
        f"--wheels={scene.folder}",
        source=SQUARE_BY_PACKAGE,
    )
    tab = Tab(chromium.context(), run.link)
    asked: list[str] = []
    sockets: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.on("websocket", lambda socket: sockets.append(socket.url))
    tab.start()
    run.finish()
    assert tab.says("finished. Thank you!"), tab.state
    assert tab.results == len(run.items)
    assert any(url.endswith("/page") for url in sockets)
    assert not any("marmalade" in url for url in asked)
    tab.close()
