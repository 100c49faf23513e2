"""The pages of a server: what it is, and what it says of itself to machines."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping

HOME_SCRIPT = """\
const form = document.querySelector("form");
const problem = document.querySelector("[role=alert]");
form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = form.elements.link.value.trim();
  const code = /^([A-Za-z0-9_-]{22})(#.+)$/.exec(text);
  let target;
  try {
    target = new URL(code ? `/r/${code[1]}${code[2]}` : text, location.href);
  } catch {
    target = undefined;
  }
  const isLink = code || /^https?:\\/\\//.test(text);
  if (target && isLink && /^https?:$/.test(target.protocol) && target.hash) {
    location.assign(target);
  } else {
    problem.textContent = "This is no whole link: copy it with all that follows its # sign.";
  }
});
"""
"""The program of the page: what follows ``#`` must not be sent, so no form is."""
STYLE = """\
:root { color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif; }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem; }
input { box-sizing: border-box; width: 100%; font: inherit; padding: .6rem; }
button { font: inherit; padding: .6rem 1.2rem; margin-top: .6rem; min-height: 44px; }
"""
HOME = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Pando server</title>
<link rel="stylesheet" href="/home.css">
<h1>Pando server</h1>
<p>Pando computes with the devices of people who help each other. This server connects somebody's
run with the devices of those whom they have sent a link. It does not see what they compute.</p>
<form>
<label for="link">Have you been sent a link?</label>
<input id="link" name="link" autocomplete="off" autocapitalize="off" spellcheck="false"
 placeholder="https://…/r/…#…" required>
<button>Open</button>
<p role="alert"></p>
</form>
{runs}<script src="/home.js"></script>
</html>
"""
RUNS = "<h2>Your runs on this machine</h2>\n<ul>\n{}</ul>\n"


def render_home(rooms: Iterable[tuple[str, str]]) -> str:
    """The first page.

    Args:
        rooms: those to list, which are only for the user of this machine: the name of each, and
            what follows the ``#`` in the link of its run.
    """
    items = "".join(
        f'<li><a href="/r/{html.escape(room)}#{html.escape(fragment)}">{html.escape(room)}</a>\n'
        for room, fragment in rooms
    )
    return HOME.replace("{runs}", RUNS.format(items) if items else "")


METRICS = {
    "rooms": "Runs that are registered.",
    "nodes": "Nodes that are relayed.",
    "queued_bytes": "Bytes of parts that wait here.",
    "connections": "Open connections.",
}


def render_metrics(gauges: Mapping[str, int], counters: Mapping[str, int]) -> str:
    """Figures in Prometheus' text format."""
    lines = []
    for name, value in gauges.items():
        lines += [
            f"# HELP pando_server_{name} {METRICS[name]}",
            f"# TYPE pando_server_{name} gauge",
            f"pando_server_{name} {value}",
        ]
    for name, value in sorted(counters.items()):
        full = f"pando_server_{name.replace(' ', '_')}_total"
        lines += [f"# TYPE {full} counter", f"{full} {value}"]
    return "\n".join(lines) + "\n"
