"""What the function cannot reach from a tab, and what other pages cannot reach of a run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from ..processes import wait_until
from ..roots import Party, free_port
from . import probes
from .chromium import Chromium, Tab, link_of
from .conftest import OpenTab
from .other_site import OtherSite

pytestmark = [pytest.mark.browser, pytest.mark.process, pytest.mark.socket]

PROBES_FILE = Path(probes.__file__)
WITH_NETWORK = {"fetch", "request", "pyfetch", "connect", "listen", "start_worker_inside"}
"""What `--network` lets the function reach: other sites, and never the run's own pages."""


@pytest.mark.parametrize("network", [False, True])
def test_the_function_reaches_nothing_it_should_not(
    network: bool, party: Party, tab: OpenTab
) -> None:
    port = free_port()
    options = ["--start-idle", "--strings", "--timeout=20", *["--network"] * network]
    with OtherSite() as site:
        items = [
            *(f"{probe.__name__} http://{site.address}/" for probe in probes.NETWORK),
            *(f"{probe.__name__} http://localhost:{port}/node" for probe in probes.NETWORK),
            *(f"{probe.__name__} -" for probe in probes.PAGE),
        ]
        root = party.root(*options, items=items, module=PROBES_FILE.read_text(), port=port)
        own = tab(root, start=False)
        assert own.says("asks for your help")
        assert own["network-choice"].is_visible() is network
        assert own["network"].is_checked() is network
        installs, rights, ends = own["assurances"].locator("li").all_text_contents()
        assert installs.startswith("Nothing is installed.")
        assert ("cannot see your files, your other tabs or your network" in rights) is not network
        assert ("may use the internet and this device's network" in rights) is network
        assert "until you pause it or close this page" in ends
        own.start()
        assert root.process.wait(60) == 0, root.errors.read_text()
    answers = dict(zip(items, map(str.split, root.output.read_text().splitlines()), strict=True))
    assert {answer[0] for answer in answers.values()} == {"null"}, "it has no origin"
    reached = {item for item, answer in answers.items() if answer[1] == "yes"}
    allowed = WITH_NETWORK if network else set()
    assert reached == {f"{name} http://{site.address}/" for name in allowed}, answers
    assert bool(site.requests) is network


def test_what_a_page_has_prepared_is_not_what_was_refused_afterwards(
    party: Party, tab: OpenTab
) -> None:
    with OtherSite() as site:
        items = [f"{probe.__name__} http://{site.address}/" for probe in probes.NETWORK]
        options = ["--start-idle", "--strings", "--timeout=20", "--network"]
        root = party.root(*options, items=items, module=PROBES_FILE.read_text())
        own = tab(root, start=False)
        frames = own.page.locator("iframe")
        expect(frames).to_have_attribute("src", re.compile("online"))
        if not own.page.workers:
            own.page.wait_for_event("worker")  # the node's program
        assert "joined" not in root.monitoring()["root"]["counters"]
        own["network"].uncheck()
        own.start()
        assert root.process.wait(60) == 0, root.errors.read_text()
        assert not site.requests
    assert {line.split()[1] for line in root.output.read_text().splitlines()} == {"no"}


def test_another_site_lets_pages_have_all_that_the_function_is_refused(
    chromium: Chromium,
) -> None:
    probe = """async ([url, open]) => {
        const opening = (0, eval)(open);
        await Promise.all([opening("WebSocket", url.replace("http", "ws")), import(url)]);
        await opening("EventSource", url);
        const program = `importScripts("${url}"); postMessage("imported")`;
        const worker = new Worker(URL.createObjectURL(new Blob([program])));
        return new Promise((answer) => { worker.onmessage = ({ data }) => answer(data); });
    }"""
    context = chromium.context()
    with OtherSite() as site, OtherSite() as home:
        page = context.new_page()
        page.goto(f"http://{home.address}/")
        assert page.evaluate(probe, [f"http://{site.address}/", probes.OPEN]) == "imported"
        context.close()


def test_another_site_s_page_can_neither_join_nor_frame_the_run(
    party: Party, chromium: Chromium
) -> None:
    root = party.root("--start-idle", items=5)
    context = chromium.context()
    with OtherSite() as site:
        page = context.new_page()
        page.goto(f"http://{site.address}/hostile")
        connect = """url => new Promise((answer) => {
            const socket = new WebSocket(url);
            socket.onopen = () => answer("open");
            socket.onerror = () => answer("refused");
        })"""
        for host in ("localhost", "127.0.0.1"):
            assert page.evaluate(connect, f"ws://{host}:{root.port}/node") == "refused"
        read = "url => fetch(url).then(() => 'read', () => 'refused')"
        assert page.evaluate(read, f"{root.link}monitoring.json") == "refused"
        frame = """url => new Promise((answer) => {
            const frame = document.createElement("iframe");
            frame.src = url;
            frame.onload = () => answer();
            document.body.append(frame);
        })"""
        for path in ("", "sandbox", "monitoring"):
            page.evaluate(frame, f"{root.link}{path}")
        assert all(f.locator("body *").count() == 0 or "error" in f.url for f in page.frames[1:])
        assert [frame.url for frame in page.frames[1:]] == ["chrome-error://chromewebdata/"] * 3
    context.close()
    counters = root.monitoring()["root"]["counters"]
    assert counters["requests_refused"] >= 3
    assert "joined" not in counters


def test_without_the_token_a_page_says_what_is_missing(party: Party, chromium: Chromium) -> None:
    """When it opens, not only when it starts; and the link may be pasted."""
    port = free_port()
    url = f"http://localhost:{port}/"
    root = party.root("--start-idle", f"--public-url={url}", "--requester=Ada", items=5, port=port)
    link = next(word for word in root.errors.read_text().split() if word.startswith(f"{url}#"))
    fragment = f"{link.partition('#')[2][:22]}{22 * 'A'}"
    wrong = Tab(chromium.context(), link_of(url, fragment, "start"))
    assert wrong.says("This link has expired"), wrong.state
    assert not wrong["start"].is_visible()
    assert "Ada" not in wrong.page.inner_text("body"), "strangers are not told who asks"
    assert wrong.barriers() == []
    wrong.close()
    incomplete = Tab(chromium.context(), url)
    assert incomplete.says("This link is incomplete"), incomplete.state
    assert not incomplete.problems
    incomplete["new-link"].fill(link)
    incomplete["new-link"].press("Enter")
    assert incomplete.says("Ada asks for your help"), incomplete.state
    incomplete.start()
    root.finish()
    incomplete.close()


def test_monitoring_shows_names_as_they_are(party: Party, tab: OpenTab) -> None:
    root = party.root("--start-idle", "--reporting-interval=0.2", items=100_000)
    own = tab(root, name="%3Cb%3Ebold%3C%2Fb%3E")
    assert own["name"].input_value() == "<b>bold</b>"
    assert wait_until(lambda: "<b>bold</b>" in root.volunteers())
    page = own.context.new_page()
    page.goto(f"{root.link}monitoring.json")
    assert page.locator("b", has_text="bold").count() == 0
    assert "bold" in json.dumps(root.monitoring())
